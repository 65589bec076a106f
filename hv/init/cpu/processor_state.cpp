// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/processor_state.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/core/registers.hpp"

namespace hv::init {
namespace {
constexpr u32 IA32_PAT = 0x277, IA32_EFER = 0xc000'0080;
constexpr u64 kPowerOnPat =
    0x0007'0406'0007'0406; // entry 3 (PCD and PWT set) is UC: SDM vol 3A, "Programming the PAT"
constexpr u64 kPowerOnDr7 = 0x400;

using EcxXsave = Bits<26>;
using EbxSmep = Bits<7>;
using EbxSmap = Bits<20>;
using EdxNx = Bits<20>;
using EdxPage1Gb = Bits<26>;

struct Needed {
    u8 bit;
    std::string_view name;
};
constexpr Needed kNeededEdx[] = {{4, "TSC"},  {5, "MSR"},  {6, "PAE"},   {7, "MCE"}, {9, "APIC"},
                                 {13, "PGE"}, {16, "PAT"}, {24, "FXSR"}, {25, "SSE"}};

u32 extended_edx() {
    return arch::cpuid(0x8000'0000).eax >= 0x8000'0001 ? arch::cpuid(0x8000'0001).edx : 0;
}
} // namespace

void prepare_processor(FpuLayout const& fpu) {
    arch::wrmsr(IA32_EFER, arch::rdmsr(IA32_EFER) | efer::kNxe);
    arch::write_cr0(kHostCr0);
    static_assert(kHostCr0 == (cr0::kPe | cr0::kMp | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kPg));
    u32 const leaf7 = arch::cpuid(0).eax >= 7 ? arch::cpuid(7).ebx : 0;
    u64 cr4 = arch::read_cr4() & cr4::kLa57; // the loader's paging depth stays
    cr4 |= cr4::kPae | cr4::kPge | cr4::kMce | cr4::kOsfxsr | cr4::kOsxmmexcpt;
    cr4 |= fpu.switched != 0 ? cr4::kOsxsave : 0;
    cr4 |= EbxSmep::get(leaf7) != 0 ? cr4::kSmep : 0;
    cr4 |= EbxSmap::get(leaf7) != 0 ? cr4::kSmap : 0;
    arch::write_cr4(cr4);
    arch::wrmsr(IA32_PAT, kPowerOnPat);
    arch::write_dr<7>(kPowerOnDr7);
    if (fpu.switched != 0) {
        arch::xsetbv(0, fpu.switched);
    }
}

std::optional<std::string_view> missing_feature() {
    u32 const edx = arch::cpuid(1).edx;
    for (Needed const& needed : kNeededEdx) {
        if ((edx >> needed.bit & 1) == 0) {
            return needed.name;
        }
    }
    if (EdxNx::get(extended_edx()) == 0) {
        return "NX (execute disable)";
    }
    return std::nullopt;
}

bool has_huge_pages() {
    return EdxPage1Gb::get(extended_edx()) != 0;
}

VendorName vendor_name() {
    arch::CpuidResult const r = arch::cpuid(0);
    VendorName name{};
    unsigned at = 0;
    for (u32 word : {r.ebx, r.edx, r.ecx}) {
        for (unsigned i = 0; i < 4; ++i) {
            name.text[at++] = static_cast<char>(word >> (8 * i));
        }
    }
    return name;
}
} // namespace hv::init
