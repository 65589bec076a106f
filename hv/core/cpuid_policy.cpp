// SPDX-License-Identifier: Apache-2.0
#include "hv/core/cpuid_policy.hpp"
#include "hv/base/assert.hpp"
#include "hv/core/registers.hpp"

namespace hv {
namespace {
constexpr u32 bit(unsigned n) {
    return 1u << n;
}

// Leaf 1, SDM vol 2A "CPUID", feature information returned in ECX and EDX. Allowed through from the host:
constexpr u32 kLeaf1Ecx = bit(0) /*SSE3*/ | bit(1) /*PCLMULQDQ*/ | bit(9) /*SSSE3*/ | bit(12) /*FMA*/ |
                          bit(13) /*CX16*/ | bit(17) /*PCID*/ | bit(19) /*SSE4.1*/ | bit(20) /*SSE4.2*/ |
                          bit(22) /*MOVBE*/ | bit(23) /*POPCNT*/ | bit(25) /*AES*/ | bit(26) /*XSAVE*/ |
                          bit(28) /*AVX*/ | bit(29) /*F16C*/ | bit(30) /*RDRAND*/;
constexpr u32 kOsxsave = bit(27);
// Emulated whatever the host has: x2APIC, TSC-deadline timer, hypervisor present.
constexpr u32 kLeaf1EcxOurs = bit(21) | bit(24) | bit(31);
constexpr u32 kLeaf1Edx = bit(0) /*FPU*/ | bit(1) /*VME*/ | bit(2) /*DE*/ | bit(3) /*PSE*/ | bit(4) /*TSC*/ |
                          bit(5) /*MSR*/ | bit(6) /*PAE*/ | bit(8) /*CX8*/ | bit(11) /*SEP*/ |
                          bit(12) /*MTRR*/ | bit(13) /*PGE*/ | bit(15) /*CMOV*/ | bit(16) /*PAT*/ |
                          bit(17) /*PSE36*/ | bit(19) /*CLFSH*/ | bit(23) /*MMX*/ | bit(24) /*FXSR*/ |
                          bit(25) /*SSE*/ | bit(26) /*SSE2*/ | bit(27) /*SS*/;
constexpr u32 kApic = bit(9);

// Leaf 7.0: no MPX, SGX, AVX-512, PKU, CET, LA57, perf or speculation-control interfaces: their state is not
// switched.
constexpr u32 kLeaf7Ebx = bit(0) /*FSGSBASE*/ | bit(3) /*BMI1*/ | bit(5) /*AVX2*/ | bit(7) /*SMEP*/ |
                          bit(8) /*BMI2*/ | bit(9) /*ERMS*/ | bit(10) /*INVPCID*/ | bit(18) /*RDSEED*/ |
                          bit(19) /*ADX*/ | bit(20) /*SMAP*/ | bit(23) /*CLFLUSHOPT*/ | bit(24) /*CLWB*/ |
                          bit(29) /*SHA*/;
constexpr u32 kLeaf7Ecx = bit(2) /*UMIP*/ | bit(8) /*GFNI*/ | bit(9) /*VAES*/ | bit(10) /*VPCLMULQDQ*/;
constexpr u32 kLeaf7Edx = bit(4) /*FSRM*/;
constexpr u32 kLeaf7EbxAvx = bit(5), kLeaf7EcxAvx = bit(9) | bit(10); // mean nothing without XSAVE

// Leaf 8000_0001: long mode and its friends; no SVM, no performance counters, no OSVW, no 3DNow.
constexpr u32 kExt1Ecx = bit(0) /*LAHF*/ | bit(4) /*CR8 legacy*/ | bit(5) /*LZCNT*/ | bit(6) /*SSE4A*/ |
                         bit(7) /*misaligned SSE*/ | bit(8) /*PREFETCHW*/;
constexpr u32 kExt1Edx = bit(11) /*SYSCALL*/ | bit(20) /*NX*/ | bit(22) /*MMX ext*/ | bit(25) /*FFXSR*/ |
                         bit(26) /*1 GiB pages*/ | bit(27) /*RDTSCP*/ | bit(29) /*LM*/;
// The low bits of 8000_0001 EDX repeat leaf 1 on AMD-compatible processors.
constexpr u32 kExt1EdxCopies = 0x0183'f3ff & ~(bit(7) | kApic);

bool is_amd(CpuidRegs const& vendor) {
    return vendor.ebx == 0x68747541; // "Auth"enticAMD
}

u32 family_of(u32 signature) {
    u32 const base = (signature >> 8) & 0xf;
    return base == 0xf ? base + ((signature >> 20) & 0xff) : base;
}
} // namespace

CpuidPolicy::CpuidPolicy(CpuidSetup const& setup) : setup_{setup} {
    HV_ASSERT(setup.host != nullptr && setup.guest_physical_bits >= 32 && setup.guest_physical_bits <= 52);
    build_xsave();
    build_features();
    build_caches_and_topology();
    build_extended();
}

void CpuidPolicy::build_features() {
    CpuidRegs const vendor = host(0);
    basic_[0] = {.eax = has_xsave_ ? 0xdu : 0xbu, .ebx = vendor.ebx, .ecx = vendor.ecx, .edx = vendor.edx};
    CpuidRegs const one = host(1);
    u32 signature = one.eax;
    // Software QEMU calls itself a K8; guests would take that family's errata paths, and
    // those of Zen 1 to 4 ask for microcode. Say family 1Ah, which asks for nothing.
    if (is_amd(vendor) && family_of(signature) < 0x17) {
        signature = 0x00b0'0f21;
    }
    u32 const vps = setup_.vp_count < 255 ? setup_.vp_count : 255;
    basic_[1] = {.eax = signature,
                 .ebx = (one.ebx & 0x0000'ff00) | vps << 16 | setup_.apic_id << 24,
                 .ecx =
                     (one.ecx & kLeaf1Ecx & (has_xsave_ ? ~0u : ~(bit(26) | bit(28) | bit(12) | bit(29)))) |
                     kLeaf1EcxOurs,
                 .edx = (one.edx & kLeaf1Edx) | kApic | (vps > 1 ? bit(28) : 0)};
    basic_[2] = is_amd(vendor) ? CpuidRegs{} : host(2);
    // Thermal and power: only "APIC timer always runs" (ARAT), so that Linux trusts it.
    basic_[6] = {.eax = bit(2)};
    CpuidRegs const seven = vendor.eax >= 7 ? host(7) : CpuidRegs{};
    basic_[7] = {
        .eax = 0, .ebx = seven.ebx & kLeaf7Ebx, .ecx = seven.ecx & kLeaf7Ecx, .edx = seven.edx & kLeaf7Edx};
    if (!has_xsave_) {
        basic_[7].ebx &= ~kLeaf7EbxAvx;
        basic_[7].ecx &= ~kLeaf7EcxAvx;
    }
}

void CpuidPolicy::build_caches_and_topology() {
    if (!is_amd(host(0)) && host(0).eax >= 4) {
        for (u32 i = 0; i < 4; ++i) {
            caches_[i] = host(4, i);
            if ((caches_[i].eax & 0x1f) == 0) {
                caches_[i] = {};
                break;
            }
            caches_[i].eax &= 0x3fff; // one thread, one core: EAX 31:14 = 0
        }
    }
    // Leaf 0Bh: level 0 one thread a core, level 1 all virtual processors in one package.
    u32 shift = 0;
    while ((1u << shift) < setup_.vp_count) {
        ++shift;
    }
    topology_[0] = {.eax = 0, .ebx = 1, .ecx = 1u << 8, .edx = setup_.apic_id};
    topology_[1] = {.eax = shift, .ebx = setup_.vp_count, .ecx = 2u << 8 | 1, .edx = setup_.apic_id};
}

void CpuidPolicy::build_xsave() {
    if (host(0).eax < 0xd || (host(1).ecx & bit(26)) == 0) {
        return;
    }
    CpuidRegs const zero = host(0xd, 0);
    CpuidRegs const one = host(0xd, 1);
    xcr0_mask_ = zero.eax & kGuestXcr0;
    if ((xcr0_mask_ & 3) != 3) {
        return;
    }
    has_xsave_ = true;
    CpuidRegs const avx = host(0xd, 2);
    if ((xcr0_mask_ & 4) != 0) {
        xsave_[2] = avx;
    }
    u32 const largest = (xcr0_mask_ & 4) != 0 ? avx.ebx + avx.eax : 576;
    xsave_[0] = {.eax = static_cast<u32>(xcr0_mask_), .ebx = 576, .ecx = largest, .edx = 0};
    xsave_[1] = {.eax = one.eax & (bit(0) /*XSAVEOPT*/ | bit(2) /*XGETBV(1)*/)};
}

void CpuidPolicy::build_extended() {
    CpuidRegs const top = host(0x8000'0000);
    extended_[0] = {.eax = 0x8000'0008, .ebx = top.ebx, .ecx = top.ecx, .edx = top.edx};
    CpuidRegs const one = host(0x8000'0001);
    // Bochs shows SYSCALL only to 64-bit code, and AMD-compatible processors repeat leaf 1's bits.
    u32 const copies = is_amd(host(0)) ? (basic_[1].edx & kExt1EdxCopies) | kApic : 0;
    extended_[1] = {.eax = is_amd(host(0)) ? basic_[1].eax : one.eax,
                    .ebx = 0,
                    .ecx = one.ecx & kExt1Ecx,
                    .edx = (one.edx & kExt1Edx) | bit(11) | copies};
    for (u32 i = 2; i <= 6; ++i) {
        extended_[i] = host(0x8000'0000 + i);
    }
    extended_[7] = {
        .edx = bit(8)}; // invariant TSC: the hypervisor keeps every virtual processor's clock in step
    CpuidRegs const widths = host(0x8000'0008);
    extended_[8] = {.eax = setup_.guest_physical_bits | 48u << 8, .ebx = widths.ebx & bit(0) /*CLZERO*/};
}

CpuidRegs const& CpuidPolicy::query_other(u32 leaf, u32 subleaf) const {
    if (leaf - 0x4000'0000u < kHypervisorLeaves) {
        return hypervisor_[leaf - 0x4000'0000u];
    }
    if (leaf - 0x8000'0000u < kExtendedLeaves) {
        return extended_[leaf - 0x8000'0000u];
    }
    switch (leaf) {
    case 4: return subleaf < 5 ? caches_[subleaf] : zero_;
    case 7: return subleaf == 0 ? basic_[7] : zero_;
    case 0xb: return subleaf < 2 ? topology_[subleaf] : zero_;
    case 0xd: return subleaf < 3 ? xsave_[subleaf] : zero_;
    default: return zero_;
    }
}

void CpuidPolicy::set_hypervisor_leaf(u32 n, CpuidRegs const& regs) {
    HV_ASSERT(n < kHypervisorLeaves);
    hypervisor_[n] = regs;
}

void CpuidPolicy::set_osxsave(bool on) {
    basic_[1].ecx = on ? basic_[1].ecx | kOsxsave : basic_[1].ecx & ~kOsxsave;
}

void CpuidPolicy::set_xcr0(u64 xcr0) {
    if (has_xsave_) {
        xsave_[0].ebx = (xcr0 & 4) != 0 ? xsave_[2].ebx + xsave_[2].eax : 576;
    }
}

void CpuidPolicy::set_apic_enabled(bool on) {
    basic_[1].edx = on ? basic_[1].edx | kApic : basic_[1].edx & ~kApic;
    if (is_amd(basic_[0])) {
        extended_[1].edx = on ? extended_[1].edx | kApic : extended_[1].edx & ~kApic;
    }
}

u64 CpuidPolicy::allowed_cr4() const {
    // VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT are always there.
    u64 bits = 0x7ff;
    if ((basic_[7].ecx & bit(2)) != 0) {
        bits |= cr4::kUmip;
    }
    if ((basic_[7].ebx & bit(0)) != 0) {
        bits |= cr4::kFsgsbase;
    }
    if ((basic_[1].ecx & bit(17)) != 0) {
        bits |= cr4::kPcide;
    }
    if (has_xsave_) {
        bits |= cr4::kOsxsave;
    }
    if ((basic_[7].ebx & bit(7)) != 0) {
        bits |= cr4::kSmep;
    }
    if ((basic_[7].ebx & bit(20)) != 0) {
        bits |= cr4::kSmap;
    }
    return bits;
}

u64 CpuidPolicy::allowed_efer() const {
    u64 bits = efer::kSce | efer::kLme | efer::kLma;
    if ((extended_[1].edx & bit(20)) != 0) {
        bits |= efer::kNxe;
    }
    if ((extended_[1].edx & bit(25)) != 0) {
        bits |= efer::kFfxsr;
    }
    return bits;
}
} // namespace hv
