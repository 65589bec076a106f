// SPDX-License-Identifier: Apache-2.0
// What a guest learns of its processor: nothing that it cannot use, whatever the host has.
#include "hv/core/cpuid_policy.hpp"
#include "hv/core/registers.hpp"
#include "tests/unit/core/captured_cpuid.hpp"
#include <catch2/catch.hpp>
#include <functional>
#include <span>

using namespace hv;
using namespace hv::test;

namespace {
constexpr u32 kAuth = 0x6874'7541; // of "AuthenticAMD"
constexpr u32 kOnes = ~0u;

/// A host that answers from a function.
struct Host {
    std::function<CpuidRegs(u32, u32)> answer;
    static CpuidRegs ask(void* self, u32 leaf, u32 subleaf) {
        return static_cast<Host*>(self)->answer(leaf, subleaf);
    }
};
Host captured(std::span<CapturedLeaf const> rows) {
    return {[rows](u32 leaf, u32 subleaf) {
        bool const indexed = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
        for (CapturedLeaf const& row : rows) {
            if (row.leaf == leaf && (!indexed || row.subleaf == subleaf)) {
                return row.regs;
            }
        }
        return CpuidRegs{};
    }};
}
/// A host that has every feature there is or will be.
Host everything(u32 vendor_ebx) {
    return {[vendor_ebx](u32 leaf, u32 subleaf) {
        CpuidRegs regs{kOnes, kOnes, kOnes, kOnes};
        if (leaf == 0) {
            regs = {0x20, vendor_ebx, 0x444d'4163, 0x6974'6e65};
        }
        if (leaf == 0x8000'0000) {
            regs.eax = 0x8000'0021;
        }
        if (leaf == 0xd && subleaf == 2) {
            regs = {256, 576, 0, 0};
        }
        return regs;
    }};
}

struct Guest {
    Host host;
    CpuidPolicy policy;
    explicit Guest(Host h, u32 vp_count = 1, u32 apic_id = 0)
        : host{std::move(h)},
          policy{{.apic_id = apic_id, .vp_count = vp_count, .host = Host::ask, .host_context = &host}} {}
    CpuidRegs operator()(u32 leaf, u32 subleaf = 0) const { return policy.query(leaf, subleaf); }
};
std::vector<Host> hosts() {
    return {captured(kQemuMax), captured(kBochsBroadwell), everything(kAuth), everything(0x756e'6547)};
}
bool has(u32 word, unsigned bit) {
    return (word >> bit & 1) != 0;
}
} // namespace

TEST_CASE("no host feature that a guest cannot use is shown", "[cpuid]") {
    for (Host const& host : hosts()) {
        Guest const guest{host};
        CpuidRegs const one = guest(1), seven = guest(7), extended = guest(0x8000'0001);
        // DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, CNXT-ID, SDBG, xTPR, PDCM, DCA
        for (unsigned bit : {2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 18}) {
            CHECK_FALSE(has(one.ecx, bit));
        }
        // MCE, MCA, PSN, DS, ACPI, TM, IA64, PBE
        for (unsigned bit : {7, 14, 18, 21, 22, 29, 30, 31}) {
            CHECK_FALSE(has(one.edx, bit));
        }
        // TSC_ADJUST, SGX, HLE, RTM, PQM, MPX, PQE, PT and all of AVX-512
        for (unsigned bit : {1, 2, 4, 11, 12, 14, 15, 16, 17, 21, 25, 26, 27, 28, 30, 31}) {
            CHECK_FALSE(has(seven.ebx, bit));
        }
        // AVX-512, PKU, OSPKE, WAITPKG, CET, LA57, RDPID, SGX_LC, PKS
        for (unsigned bit : {1, 3, 4, 5, 6, 7, 11, 12, 14, 16, 22, 30, 31}) {
            CHECK_FALSE(has(seven.ecx, bit));
        }
        CHECK((seven.edx & ~(1u << 4)) == 0); // no speculation control, CET, AMX, capabilities MSRs
        CHECK(seven.eax == 0);                // and no more subleaves
        // SVM, extended APIC, OSVW, IBS, XOP, SKINIT, WDT, LWP, FMA4, TBM, topology, PMU, MONITORX
        for (unsigned bit : {1, 2, 3, 9, 10, 11, 12, 13, 15, 16, 21, 22, 23, 24, 28, 29}) {
            CHECK_FALSE(has(extended.ecx, bit));
        }
        CHECK_FALSE(has(extended.edx, 30)); // 3DNow
        CHECK_FALSE(has(extended.edx, 31));
        CHECK(guest(6) == CpuidRegs{.eax = 1u << 2}); // the APIC timer always runs; nothing thermal
        CHECK(guest(0x8000'0007) == CpuidRegs{.edx = 1u << 8});
        // MONITOR, DCA, PMU, QoS, SGX, PT, frequencies, SVM, memory encryption
        for (u32 leaf : {3u,    5u,           8u,           9u,           0xau,         0xcu,        0xeu,
                         0xfu,  0x10u,        0x12u,        0x14u,        0x15u,        0x16u,       0x18u,
                         0x20u, 0x8000'0009u, 0x8000'000au, 0x8000'001bu, 0x8000'001fu, 0x8000'0021u}) {
            CAPTURE(leaf);
            CHECK(guest(leaf) == CpuidRegs{});
        }
    }
}

TEST_CASE("the highest leaves hide nothing that is shown and show nothing that is not", "[cpuid]") {
    for (Host const& host : hosts()) {
        Guest const guest{host};
        CHECK(guest(0).eax == 0xd);
        CHECK(guest(0x8000'0000).eax == 0x8000'0008);
        CHECK(guest(0).ebx == host.answer(0, 0).ebx); // the vendor is the host's: it chooses instructions
        CHECK(guest(0).ecx == host.answer(0, 0).ecx);
        CHECK(guest(0).edx == host.answer(0, 0).edx);
    }
}

TEST_CASE("a guest has what every x86-64 kernel needs", "[cpuid]") {
    for (Host const& host : {captured(kQemuMax), captured(kBochsBroadwell)}) {
        Guest const guest{host};
        CpuidRegs const one = guest(1), extended = guest(0x8000'0001);
        // FPU, PSE, TSC, MSR, PAE, CX8, APIC, MTRR, PGE, CMOV, PAT, CLFLUSH, FXSR, SSE, SSE2
        for (unsigned bit : {0, 3, 4, 5, 6, 8, 9, 12, 13, 15, 16, 19, 24, 25, 26}) {
            CHECK(has(one.edx, bit));
        }
        for (unsigned bit : {0, 9, 13, 19, 20, 23, 26}) {
            CHECK(has(one.ecx, bit));
        } // SSE3 … POPCNT, XSAVE
        for (unsigned bit : {11, 20, 29}) {
            CHECK(has(extended.edx, bit));
        }                                       // SYSCALL, NX, long mode
        CHECK((guest(1).ebx >> 8 & 0xff) == 8); // CLFLUSH line: 64 bytes
        CHECK_FALSE(guest(0x8000'0002) == CpuidRegs{});
    }
}

TEST_CASE("what is emulated is shown whatever the host has", "[cpuid]") {
    Guest const guest{{[](u32 leaf, u32) {
        return leaf == 0             ? CpuidRegs{.eax = 1}
               : leaf == 0x8000'0000 ? CpuidRegs{.eax = 0x8000'0008}
                                     : CpuidRegs{};
    }}};
    CHECK(has(guest(1).ecx, 21)); // x2APIC
    CHECK(has(guest(1).ecx, 24)); // TSC deadline
    CHECK(has(guest(1).ecx, 31)); // hypervisor present
    CHECK(has(guest(1).edx, 9));  // APIC
    CHECK(guest(0).eax == 0xb);   // no XSAVE, no leaf for it
    CHECK_FALSE(guest.policy.has_xsave());
}

TEST_CASE("nothing is invented: a feature that the host lacks is not shown", "[cpuid]") {
    for (auto const& rows : {std::span<CapturedLeaf const>{kQemuMax}, {kBochsBroadwell}}) {
        Host const host = captured(rows);
        Guest const guest{host};
        u32 const ours = 1u << 21 | 1u << 24 | 1u << 31;
        CHECK((guest(1).ecx & ~host.answer(1, 0).ecx & ~ours) == 0);
        CHECK((guest(1).edx & ~host.answer(1, 0).edx) == 0);
        CHECK((guest(7).ebx & ~host.answer(7, 0).ebx) == 0);
        CHECK((guest(7).ecx & ~host.answer(7, 0).ecx) == 0);
        CHECK((guest(0x8000'0001).ecx & ~host.answer(0x8000'0001, 0).ecx) == 0);
        CHECK((guest(0x8000'0001).edx & ~host.answer(0x8000'0001, 0).edx & ~(1u << 11)) == 0);
    }
}

TEST_CASE("a K8 of software QEMU is not passed on: kernels would work around its errata", "[cpuid]") {
    Guest const qemu{captured(kQemuMax)}, bochs{captured(kBochsBroadwell)};
    u32 const signature = qemu(1).eax;
    CHECK((signature >> 8 & 0xf) == 0xf);
    CHECK(0xf + (signature >> 20 & 0xff) >= 0x17);
    CHECK(qemu(0x8000'0001).eax == signature);
    CHECK(bochs(1).eax == 0x0003'06d4);
}

TEST_CASE("OSXSAVE mirrors CR4 and is off at reset", "[cpuid]") {
    Guest guest{captured(kQemuMax)};
    CHECK_FALSE(has(guest(1).ecx, 27));
    guest.policy.set_osxsave(true);
    CHECK(has(guest(1).ecx, 27));
    guest.policy.set_osxsave(false);
    CHECK_FALSE(has(guest(1).ecx, 27));
    Guest const all{everything(kAuth)};
    CHECK_FALSE(has(all(1).ecx, 27)); // the host's own is not the guest's
}

TEST_CASE("the APIC bit mirrors the APIC, in both places where AMD has it", "[cpuid]") {
    Guest amd{captured(kQemuMax)}, intel{captured(kBochsBroadwell)};
    CHECK(has(amd(0x8000'0001).edx, 9));
    CHECK_FALSE(has(intel(0x8000'0001).edx, 9));
    for (bool const on : {false, true}) {
        amd.policy.set_apic_enabled(on);
        intel.policy.set_apic_enabled(on);
        CHECK(has(amd(1).edx, 9) == on);
        CHECK(has(intel(1).edx, 9) == on);
        CHECK(has(amd(0x8000'0001).edx, 9) == on);
        CHECK_FALSE(has(intel(0x8000'0001).edx, 9));
    }
}

TEST_CASE("XSAVE leaves tell x87, SSE and AVX and their sizes", "[cpuid]") {
    for (Host const& host : hosts()) {
        Guest guest{host};
        REQUIRE(guest.policy.has_xsave());
        CHECK(guest.policy.allowed_xcr0() == 7);
        CHECK(guest(0xd, 0) == CpuidRegs{.eax = 7, .ebx = 576, .ecx = 832, .edx = 0});
        CHECK((guest(0xd, 1).eax & ~5u) == 0); // XSAVEOPT and XGETBV(1); no XSAVEC, no supervisor state
        CHECK(guest(0xd, 1).ebx == 0);
        CHECK(guest(0xd, 1).ecx == 0);
        CHECK(guest(0xd, 2).eax == 256);
        CHECK(guest(0xd, 2).ebx == 576);
        for (u32 subleaf : {3u, 4u, 5u, 9u, 17u, 62u, 63u, 64u, kOnes}) {
            CHECK(guest(0xd, subleaf) == CpuidRegs{});
        }
        guest.policy.set_xcr0(7);
        CHECK(guest(0xd, 0).ebx == 832);
        guest.policy.set_xcr0(3);
        CHECK(guest(0xd, 0).ebx == 576);
    }
}

TEST_CASE("without XSAVE there is no AVX in any form", "[cpuid]") {
    Host all = everything(kAuth);
    Guest const guest{{[&](u32 leaf, u32 subleaf) {
        CpuidRegs regs = all.answer(leaf, subleaf);
        if (leaf == 1) {
            regs.ecx &= ~(1u << 26);
        }
        return regs;
    }}};
    for (unsigned bit : {12, 26, 28, 29}) {
        CHECK_FALSE(has(guest(1).ecx, bit));
    }                                   // FMA, XSAVE, AVX, F16C
    CHECK_FALSE(has(guest(7).ebx, 5));  // AVX2
    CHECK_FALSE(has(guest(7).ecx, 9));  // VAES
    CHECK_FALSE(has(guest(7).ecx, 10)); // VPCLMULQDQ
    CHECK(guest(0xd) == CpuidRegs{});
    CHECK(guest.policy.allowed_xcr0() == 0);
    CHECK((guest.policy.allowed_cr4() & cr4::kOsxsave) == 0);
}

TEST_CASE("topology tells one package of single-threaded cores", "[cpuid]") {
    Guest const guest{captured(kBochsBroadwell), 4, 3};
    CHECK((guest(1).ebx >> 24) == 3);
    CHECK((guest(1).ebx >> 16 & 0xff) == 4);
    CHECK(has(guest(1).edx, 28)); // several logical processors
    CHECK(guest(0xb, 0) == CpuidRegs{.eax = 0, .ebx = 1, .ecx = 0x100, .edx = 3});
    CHECK(guest(0xb, 1) == CpuidRegs{.eax = 2, .ebx = 4, .ecx = 0x201, .edx = 3});
    CHECK(guest(0xb, 2).ebx == 0);
    Guest const single{captured(kBochsBroadwell)};
    CHECK_FALSE(has(single(1).edx, 28));
    CHECK(single(0xb, 1).eax == 0);
}

TEST_CASE("caches are the host's, without its cores", "[cpuid]") {
    Guest const intel{captured(kBochsBroadwell)};
    for (u32 i = 0; i < 4; ++i) {
        CHECK((intel(4, i).eax & 0x1f) != 0);
        CHECK((intel(4, i).eax >> 14) == 0);
        CHECK(intel(4, i).ecx == captured(kBochsBroadwell).answer(4, i).ecx);
    }
    for (u32 i : {4u, 5u, 1000u}) {
        CHECK(intel(4, i) == CpuidRegs{});
    } // ends with "no more"
    Guest const amd{captured(kQemuMax)};
    CHECK(amd(4) == CpuidRegs{});
    CHECK(amd(2) == CpuidRegs{});
    CHECK(amd(0x8000'0005).ecx == 0x4002'0140);
}

TEST_CASE("guest-physical addresses have the partition's width", "[cpuid]") {
    Host host = captured(kQemuMax);
    CpuidPolicy const policy{{.guest_physical_bits = 39, .host = Host::ask, .host_context = &host}};
    CHECK(policy.query(0x8000'0008, 0).eax == (39 | 48 << 8));
    CHECK(policy.physical_bits() == 39);
}

TEST_CASE("hypervisor leaves are those that are set", "[cpuid]") {
    Guest guest{everything(kAuth)};
    CHECK(guest(0x4000'0000) == CpuidRegs{});
    CpuidRegs const regs{1, 2, 3, 4};
    guest.policy.set_hypervisor_leaf(5, regs);
    CHECK(guest(0x4000'0005) == regs);
    CHECK(guest(0x4000'0005, 77) == regs);
    CHECK(guest(0x4000'0000 + CpuidPolicy::kHypervisorLeaves) == CpuidRegs{});
    CHECK(guest(0x3fff'ffff) == CpuidRegs{});
    CHECK(guest(0x4000'0100) == CpuidRegs{});
}

TEST_CASE("leaves outside all ranges are zero", "[cpuid]") {
    Guest const guest{everything(kAuth)};
    for (u32 leaf :
         {0x17u, 0x100u, 0x2000'0000u, 0x7fff'ffffu, 0x8000'0020u, 0x8860'0000u, 0xc000'0000u, kOnes}) {
        CHECK(guest(leaf) == CpuidRegs{});
    }
}

TEST_CASE("subleaves of leaf 7 beyond the first are zero, other leaves ignore the subleaf", "[cpuid]") {
    Guest const guest{everything(0x756e'6547)};
    CHECK(guest(7, 1) == CpuidRegs{});
    CHECK(guest(7, kOnes) == CpuidRegs{});
    for (u32 leaf : {0u, 1u, 2u, 6u}) {
        CHECK(CpuidPolicy::plain(leaf));
        CHECK(guest(leaf, 9) == guest(leaf, 0));
    }
    for (u32 leaf : {4u, 7u, 0xbu, 0xdu, CpuidPolicy::kBasicLeaves, 0x4000'0001u, 0x8000'0001u, kOnes}) {
        CHECK_FALSE(CpuidPolicy::plain(leaf));
    }
}

TEST_CASE("CR4 and EFER may hold what CPUID shows and nothing else", "[cpuid]") {
    for (Host const& host : hosts()) {
        Guest const guest{host};
        u64 const cr4 = guest.policy.allowed_cr4(), efer = guest.policy.allowed_efer();
        CHECK((cr4 & 0x7ff) == 0x7ff);
        CHECK((cr4 & (cr4::kVmxe | cr4::kSmxe | cr4::kLa57 | cr4::kPke)) == 0);
        CHECK((cr4 >> 22) == 0); // CET, PKS, UINTR, LAM …
        CHECK(((cr4 & cr4::kSmep) != 0) == has(guest(7).ebx, 7));
        CHECK(((cr4 & cr4::kSmap) != 0) == has(guest(7).ebx, 20));
        CHECK(((cr4 & cr4::kFsgsbase) != 0) == has(guest(7).ebx, 0));
        CHECK(((cr4 & cr4::kUmip) != 0) == has(guest(7).ecx, 2));
        CHECK(((cr4 & cr4::kPcide) != 0) == has(guest(1).ecx, 17));
        CHECK(((cr4 & cr4::kOsxsave) != 0) == has(guest(1).ecx, 26));
        CHECK((efer & (efer::kSce | efer::kLme | efer::kLma)) == (efer::kSce | efer::kLme | efer::kLma));
        CHECK(((efer & efer::kNxe) != 0) == has(guest(0x8000'0001).edx, 20));
        CHECK(((efer & efer::kFfxsr) != 0) == has(guest(0x8000'0001).edx, 25));
        CHECK((efer & efer::kSvme) == 0);
        CHECK((efer >> 15) == 0);
    }
}
