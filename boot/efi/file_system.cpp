// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/file_system.hpp"

#include "boot/efi/boot_memory.hpp"
#include "boot/efi/console.hpp"
#include "boot/handoff/boot_info.hpp"
#include <algorithm>
#include <array>

namespace ballast::loader {
namespace {
constexpr std::size_t kChunkBytes = 1u << 20; // some firmware fails on very long reads
constexpr std::size_t kProgressFromBytes = 4u << 20;
constexpr std::uint64_t kMaxFileBytes = 64ull << 30;

/// An open file; closed at the end of the scope.
class File {
  public:
    explicit File(EFI_FILE_HANDLE handle) : handle_(handle) {}
    File(File const&) = delete;
    File& operator=(File const&) = delete;
    ~File() { handle_->Close(handle_); }

    EFI_FILE_HANDLE operator->() const { return handle_; }
    EFI_FILE_HANDLE get() const { return handle_; }

  private:
    EFI_FILE_HANDLE handle_;
};

/// EFI_FILE_INFO with room for the name that the firmware puts behind it.
struct FileInfo {
    EFI_FILE_INFO info;
    CHAR16 name[256];
};

void read_all(EFI_FILE_HANDLE file, std::span<std::byte> memory, std::string_view path,
              std::string_view remedy) {
    std::size_t done = 0;
    std::size_t const step = std::max(memory.size() / 4, kProgressFromBytes);
    std::size_t next_report = step;
    while (done < memory.size()) {
        UINTN bytes = std::min(kChunkBytes, memory.size() - done);
        EFI_STATUS const status = file->Read(file, &bytes, memory.data() + done);
        if (failed(status))
            fail(path, ": cannot be read (", describe_status(status), " after ", done, " of ", memory.size(),
                 " bytes); ", remedy);
        if (bytes == 0)
            fail(path, ": ends after ", done, " of ", memory.size(),
                 " bytes; check the disk's file system, then ", remedy);
        done += bytes;
        if (done >= next_report && done < memory.size()) {
            say(path, ": ", done >> 20, " of ", memory.size() >> 20, " MiB");
            next_report += step;
        }
    }
}
} // namespace

FileSystem::FileSystem(EFI_HANDLE image) {
    auto* const loaded = protocol_on<EFI_LOADED_IMAGE>(image, EFI_LOADED_IMAGE_PROTOCOL_GUID);
    auto* const volume = loaded == nullptr || loaded->DeviceHandle == nullptr
                             ? nullptr
                             : protocol_on<EFI_SIMPLE_FILE_SYSTEM_PROTOCOL>(
                                   loaded->DeviceHandle, EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID);
    if (volume == nullptr)
        fail("BOOTX64.EFI was not started from a file system; start it from a disk's EFI system partition");
    EFI_STATUS const status = volume->OpenVolume(volume, &root_);
    if (failed(status))
        fail("the EFI system partition cannot be opened (", describe_status(status),
             "); check or rebuild the disk");
}

std::span<std::byte> FileSystem::read(std::string_view path, std::string_view remedy) {
    std::array<CHAR16, handoff::kImageNameBytes> name{};
    if (path.size() >= name.size()) fail(path, ": the path is too long");
    std::transform(path.begin(), path.end(), name.begin(),
                   [](char c) { return static_cast<CHAR16>(c == '/' ? '\\' : c); });

    EFI_FILE_HANDLE handle = nullptr;
    EFI_STATUS status = root_->Open(root_, &handle, name.data(), EFI_FILE_MODE_READ, 0);
    if (status == EFI_NOT_FOUND) fail(path, ": not found on the EFI system partition; ", remedy);
    if (failed(status)) fail(path, ": cannot be opened (", describe_status(status), "); ", remedy);
    File const file{handle};

    FileInfo about{};
    UINTN bytes = sizeof about;
    EFI_GUID guid = EFI_FILE_INFO_ID;
    status = file->GetInfo(file.get(), &guid, &bytes, &about);
    if (failed(status)) fail(path, ": its size cannot be read (", describe_status(status), "); ", remedy);
    if ((about.info.Attribute & EFI_FILE_DIRECTORY) != 0)
        fail(path, ": is a directory, not a file; ", remedy);
    if (about.info.FileSize == 0) fail(path, ": is empty; ", remedy);
    if (about.info.FileSize > kMaxFileBytes)
        fail(path, ": claims an impossible size; check the disk's file system, then ", remedy);

    auto const memory = allocate_dirty(about.info.FileSize, path);
    read_all(file.get(), memory, path, remedy);
    say(path, ": ", memory.size(), " bytes");
    return memory;
}
} // namespace ballast::loader
