// SPDX-License-Identifier: Apache-2.0
// Reads whole files from the EFI system partition that the loader was started from.
#pragma once
#include "boot/efi/efi_api.hpp"
#include <cstddef>
#include <span>
#include <string_view>

namespace ballast::loader {
class FileSystem {
  public:
    /// Opens the volume that holds the running loader `image`; fails by name when there is none.
    explicit FileSystem(EFI_HANDLE image);

    FileSystem(FileSystem const&) = delete;
    FileSystem& operator=(FileSystem const&) = delete;
    ~FileSystem() { root_->Close(root_); }

    /// Reads the file at `path` (ASCII, '/' between names, from the volume's root, shorter than 128) into
    /// memory of its own, page aligned, and says how far it is when that takes long. Fails with the file's
    /// name, the reason and `remedy` when it is missing, empty, not a file or cannot be read.
    std::span<std::byte> read(std::string_view path, std::string_view remedy);

  private:
    EFI_FILE_HANDLE root_ = nullptr;
};
} // namespace ballast::loader
