// SPDX-License-Identifier: Apache-2.0
// GNU-EFI's C headers for C++, and the firmware's tables for whoever needs them. Calls go straight through
// the function pointers: they carry the Microsoft calling convention (GNU_EFI_USE_MS_ABI).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
extern "C" {
#include <efi.h>
}

namespace ballast::loader {
/// Set once by efi_main before anything else runs.
extern constinit EFI_SYSTEM_TABLE* system_table;

inline EFI_BOOT_SERVICES& boot_services() {
    return *system_table->BootServices;
}

inline bool failed(EFI_STATUS status) {
    return (status & EFI_ERROR_MASK) != 0;
}

/// The firmware's words for an error status.
std::string_view describe_status(EFI_STATUS status);

/// The protocol's interface on `handle`, or null.
template <class Protocol>
Protocol* protocol_on(EFI_HANDLE handle, EFI_GUID guid) {
    void* interface = nullptr;
    return failed(boot_services().HandleProtocol(handle, &guid, &interface))
               ? nullptr
               : static_cast<Protocol*>(interface);
}

/// The only, or any, interface of a protocol in the system, or null.
template <class Protocol>
Protocol* locate_protocol(EFI_GUID guid) {
    void* interface = nullptr;
    return failed(boot_services().LocateProtocol(&guid, nullptr, &interface))
               ? nullptr
               : static_cast<Protocol*>(interface);
}
} // namespace ballast::loader
