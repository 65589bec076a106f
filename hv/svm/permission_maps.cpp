// SPDX-License-Identifier: Apache-2.0
#include "hv/svm/permission_maps.hpp"
#include "hv/base/assert.hpp"
#include "hv/core/registers.hpp"
#include <algorithm>

namespace hv::svm {
void fill_io_map(std::span<u8, kIoMapBytes> map) {
    std::fill(map.begin(), map.end(), u8{0xff});
}

void fill_msr_map(std::span<u8, kMsrMapBytes> map) {
    std::fill(map.begin(), map.end(), u8{0xff});
    // EFER and PAT are not among them: the guest must not see SVME, and one emulator has one PAT for all.
    for (StateMsr const open :
         {StateMsr::IA32_SYSENTER_CS, StateMsr::IA32_SYSENTER_ESP, StateMsr::IA32_SYSENTER_EIP,
          StateMsr::IA32_STAR, StateMsr::IA32_LSTAR, StateMsr::IA32_CSTAR, StateMsr::IA32_FMASK,
          StateMsr::IA32_FS_BASE, StateMsr::IA32_GS_BASE, StateMsr::IA32_KERNEL_GS_BASE}) {
        s64 const bit = msr_map_bit(static_cast<u32>(open));
        HV_ASSERT(bit >= 0);
        map[static_cast<usize>(bit / 8)] &= static_cast<u8>(~(3u << (bit % 8)));
    }
}
} // namespace hv::svm
