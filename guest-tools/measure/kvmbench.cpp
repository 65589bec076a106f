// SPDX-License-Identifier: Apache-2.0
// kvmbench: the least virtual machine monitor that runs bench_guest under Linux KVM, for scripts/bench to
// compare with. One vCPU, memory touched up front in 4 KiB pages (so a guest's first touch costs only KVM's
// own work) but for those that the guest wants fresh, COM1's output on stdout. Ends when the guest writes
// ACPI's PM1a control port or halts.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {
constexpr std::size_t kMemoryBytes = 64u << 20;
constexpr std::size_t kFreshFrom = 40u << 20, kFreshEnd = 44u << 20; // as in bench_guest.asm
constexpr std::uint16_t kCom1 = 0x3f8;
constexpr std::uint16_t kLineStatus = kCom1 + 5;
constexpr std::uint16_t kPm1Control = 0x404;

[[noreturn]] void fail(char const* what) {
    std::perror(what);
    std::exit(1);
}

int checked(int result, char const* what) {
    if (result < 0) {
        fail(what);
    }
    return result;
}

std::vector<char> read_file(char const* path) {
    std::FILE* file = std::fopen(path, "rbe");
    if (file == nullptr) {
        fail(path);
    }
    std::vector<char> bytes;
    char space[4096];
    for (std::size_t got = 0; (got = std::fread(space, 1, sizeof space, file)) != 0;) {
        bytes.insert(bytes.end(), space, space + got);
    }
    std::fclose(file);
    return bytes;
}

/// Copies the segments of an ELF32 file to their physical addresses; returns the entry point.
std::uint32_t load(std::vector<char> const& image, char* memory) {
    Elf32_Ehdr header{};
    if (image.size() < sizeof header) {
        fail("short image");
    }
    std::memcpy(&header, image.data(), sizeof header);
    for (unsigned index = 0; index < header.e_phnum; ++index) {
        Elf32_Phdr segment{};
        std::memcpy(&segment, image.data() + header.e_phoff + index * sizeof segment, sizeof segment);
        if (segment.p_type == PT_LOAD) {
            std::memcpy(memory + segment.p_paddr, image.data() + segment.p_offset, segment.p_filesz);
        }
    }
    return header.e_entry;
}

kvm_segment flat(std::uint16_t selector, std::uint8_t type) {
    kvm_segment segment{};
    segment.limit = 0xffffffff;
    segment.selector = selector;
    segment.type = type;
    segment.present = 1;
    segment.db = 1;
    segment.s = 1;
    segment.g = 1;
    return segment;
}
} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: kvmbench ELF32-FILE\n", stderr);
        return 2;
    }
    int const kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    int const machine = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    void* const place =
        mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) {
        fail("mmap");
    }
    madvise(place, kMemoryBytes, MADV_NOHUGEPAGE);
    auto* const memory = static_cast<char*>(place);
    for (std::size_t at = 0; at < kMemoryBytes; at += 4096) {
        if (at < kFreshFrom || at >= kFreshEnd) {
            memory[at] = 1;
            memory[at] = 0;
        }
    }
    std::uint32_t const entry = load(read_file(argv[1]), memory);
    kvm_userspace_memory_region region{};
    region.memory_size = kMemoryBytes;
    region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory);
    checked(ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");

    int const vcpu = checked(ioctl(machine, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    auto const bytes = static_cast<std::size_t>(checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size"));
    auto* const run =
        static_cast<kvm_run*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
    if (run == MAP_FAILED) {
        fail("mmap of the vCPU");
    }
    kvm_sregs special{};
    checked(ioctl(vcpu, KVM_GET_SREGS, &special), "KVM_GET_SREGS");
    special.cs = flat(0x08, 0xb);
    special.ds = special.es = special.fs = special.gs = special.ss = flat(0x10, 0x3);
    special.cr0 |= 1;
    checked(ioctl(vcpu, KVM_SET_SREGS, &special), "KVM_SET_SREGS");
    kvm_regs registers{};
    registers.rip = entry;
    registers.rflags = 2;
    registers.rax = 0x2badb002; // what a multiboot loader leaves
    checked(ioctl(vcpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");

    for (;;) {
        checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_HLT) {
            return 0;
        }
        if (run->exit_reason != KVM_EXIT_IO) {
            std::fprintf(stderr, "kvmbench: exit %u\n", run->exit_reason);
            return 1;
        }
        char* const data = reinterpret_cast<char*>(run) + run->io.data_offset;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            std::memset(data, run->io.port == kLineStatus ? 0x60 : 0xff,
                        std::size_t{run->io.size} * run->io.count);
        } else if (run->io.port == kCom1) {
            std::putchar(*data);
            std::fflush(stdout);
        } else if (run->io.port == kPm1Control) {
            return 0;
        }
    }
}
