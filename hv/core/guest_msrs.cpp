// SPDX-License-Identifier: Apache-2.0
#include "hv/core/guest_msrs.hpp"
#include "hv/base/bits.hpp"

namespace hv {
namespace {
// SDM vol 4, "Model-Specific Registers".
constexpr u32 kPlatformId = 0x17, kFeatureControl = 0x3a, kMicrocodeRevision = 0x8b, kMtrrCap = 0xfe,
              kMiscEnable = 0x1a0, kDebugCtl = 0x1d9, kMtrrVariable = 0x200, kMtrrDefaultType = 0x2ff,
              kMicrocodeUpdate = 0x79;
constexpr u32 kMtrrFixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
// APM vol 2 §3.2, "Model-Specific Registers"; BKDG names.
constexpr u32 kSyscfg = 0xc001'0010, kHwcr = 0xc001'0015, kTopMem = 0xc001'001a, kTopMem2 = 0xc001'001d,
              kDeCfg = 0xc001'1029, kNbCfg = 0xc001'001f, kPatchLevel = kMicrocodeRevision;

constexpr u64 kMtrrCapValue = 8 | 1u << 8 | 1u << 10; // 8 variable ranges, fixed ranges, write combining
constexpr u64 kWriteBack = 6;
constexpr u64 kDefaultTypeReset = kWriteBack | 1u << 11; // MTRRs on, everything write-back
constexpr u64 kFastStrings = 1;
constexpr u64 kTscCountsAtP0 = 1u << 24; // HWCR.TscFreqSel
constexpr u64 kLfenceSerializes = 1u << 1;

bool valid_type(u64 type) {
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}
std::optional<u32> fixed_index(u32 index) {
    for (u32 i = 0; i < sizeof kMtrrFixed / sizeof kMtrrFixed[0]; ++i) {
        if (kMtrrFixed[i] == index) {
            return i;
        }
    }
    return {};
}
} // namespace

void GuestMsrs::reset() {
    for (u64& v : variable_) {
        v = 0;
    }
    for (u64& f : fixed_) {
        f = 0x0606'0606'0606'0606;
    }
    default_type_ = kDefaultTypeReset;
    misc_enable_ = kFastStrings;
    amd_hwcr_ = kTscCountsAtP0;
    amd_nb_cfg_ = 0;
}

std::optional<u64> GuestMsrs::read(u32 index) const {
    if (index - kMtrrVariable < 2 * kVariablePairs) {
        return variable_[index - kMtrrVariable];
    }
    if (auto const fixed = fixed_index(index)) {
        return fixed_[*fixed];
    }
    switch (index) {
    case kMtrrCap: return kMtrrCapValue;
    case kMtrrDefaultType: return default_type_;
    case kMiscEnable: return misc_enable_;
    case kFeatureControl: return 1; // locked, VMX off
    case kHwcr: return amd_hwcr_;
    case kNbCfg: return amd_nb_cfg_;
    case kDeCfg: return kLfenceSerializes;
    case kPlatformId:
    case kPatchLevel:
    case kDebugCtl:
    case kSyscfg:
    case kTopMem:
    case kTopMem2: return 0;
    default: return {};
    }
}

bool GuestMsrs::write(u32 index, u64 value) {
    if (index - kMtrrVariable < 2 * kVariablePairs) {
        bool const is_base = (index & 1) == 0;
        if (is_base && !valid_type(Bits<7, 0>::get(value))) {
            return false;
        }
        variable_[index - kMtrrVariable] = value;
        return true;
    }
    if (auto const fixed = fixed_index(index)) {
        for (u32 i = 0; i < 8; ++i) {
            if (!valid_type(value >> (8 * i) & 0xff)) {
                return false;
            }
        }
        fixed_[*fixed] = value;
        return true;
    }
    switch (index) {
    case kMtrrDefaultType:
        if (!valid_type(Bits<7, 0>::get(value)) || (value & ~0xcffull) != 0) {
            return false;
        }
        default_type_ = value;
        return true;
    case kMiscEnable: misc_enable_ = value; return true;
    case kHwcr: amd_hwcr_ = value; return true;
    case kNbCfg: amd_nb_cfg_ = value; return true;
    case kMicrocodeRevision: // cleared before CPUID reads it back
    case kMicrocodeUpdate:   // no update is ever offered
    case kDeCfg:
    case kSyscfg: return true;
    case kDebugCtl:
        return (value & ~0xffffull) == 0; // last-branch records are not offered; the bits are dropped
    default: return false;
    }
}
} // namespace hv
