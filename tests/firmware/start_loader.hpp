// SPDX-License-Identifier: Apache-2.0
// What every application here ends with: the loader, started as the firmware would have.
#pragma once
#include <string_view>
extern "C" {
#include <efi.h>
}

namespace ballast::test_firmware {
/// Gives up, saying `what`, when `status` is an error.
void check(EFI_STATUS status, std::string_view what);

/// Loads and starts \EFI\BOOT\BALLAST.EFI of the volume that the image `self` comes from. The loader does not
/// return when all is well.
void start_loader(EFI_HANDLE self, EFI_BOOT_SERVICES& boot);
} // namespace ballast::test_firmware
