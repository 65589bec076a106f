// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/efi_api.hpp"

namespace ballast::loader {
constinit EFI_SYSTEM_TABLE* system_table = nullptr;

std::string_view describe_status(EFI_STATUS status) {
    // UEFI 2.10 appendix D, Status Codes.
    switch (status & ~EFI_ERROR_MASK) {
    case 0: return "success";
    case 1: return "load error";
    case 2: return "invalid parameter";
    case 3: return "unsupported";
    case 5: return "buffer too small";
    case 6: return "not ready";
    case 7: return "device error";
    case 9: return "out of resources";
    case 10: return "volume corrupted";
    case 12: return "no media";
    case 13: return "media changed";
    case 14: return "not found";
    case 15: return "access denied";
    case 18: return "timeout";
    case 21: return "aborted";
    case 26: return "security violation";
    case 27: return "CRC error";
    default: return "firmware error";
    }
}
} // namespace ballast::loader
