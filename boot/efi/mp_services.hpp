// SPDX-License-Identifier: Apache-2.0
// EFI_MP_SERVICES_PROTOCOL, as far as it is used; GNU-EFI does not declare it. Layout only.
// Source: UEFI Platform Initialization 1.7, volume 2, §13.4 "MP Services Protocol".
#pragma once
#include "boot/efi/efi_api.hpp"

namespace ballast::loader {
inline constexpr EFI_GUID kMpServicesGuid = {
    0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};

/// EFI_PROCESSOR_INFORMATION. The two locations are not used, but newer firmware writes both.
struct ProcessorInformation {
    UINT64 processor_id; ///< the local APIC ID
    UINT32 status_flags;
    UINT32 location[3];
    UINT32 extended_location[6];
};
inline constexpr UINT32 kProcessorEnabled = 1u << 1;
inline constexpr UINT32 kProcessorHealthy = 1u << 2;

struct MpServices {
    EFI_STATUS(EFIAPI* get_number_of_processors)(MpServices* self, UINTN* total, UINTN* enabled);
    EFI_STATUS(EFIAPI* get_processor_info)(MpServices* self, UINTN number, ProcessorInformation* information);
    // Starting, switching and disabling processors follow; the hypervisor does that itself.
};
static_assert(offsetof(ProcessorInformation, status_flags) == 8 && sizeof(ProcessorInformation) == 48);
} // namespace ballast::loader
