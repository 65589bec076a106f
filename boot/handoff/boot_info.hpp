// SPDX-License-Identifier: Apache-2.0
// The record the loader (boot/efi) leaves for the hypervisor (hv/init): a versioned ABI, <cstdint> only.
//
// At entry: long mode, interrupts off, RDI = the record's physical address as a pointer that is valid under
// the loader's page tables. Those map: all physical memory below physical_limit one to one at virtual =
// physical and again at kDirectMapBase + physical (2 MiB or 1 GiB pages, writable), and hv.elf's segments at
// their linked addresses (kImageBase upwards). The stack is boot_stack_top (direct-map address), 64 KiB.
// Everything the record points to lies in memory whose map entry is Loader or Image; the hypervisor may reuse
// Loader memory once it has copied what it needs.
#pragma once
#include <cstdint>

namespace ballast::handoff {
inline constexpr std::uint64_t kMagic = 0x3154534c4c414221; // "!BALLST1"
inline constexpr std::uint32_t kVersion = 1;

inline constexpr std::uint64_t kDirectMapBase = 0xffff'8000'0000'0000; ///< + physical address
inline constexpr std::uint64_t kImageBase = 0xffff'ffff'8000'0000;     ///< where hv.elf is linked

inline constexpr std::uint32_t kMaxMemoryRanges = 512;
inline constexpr std::uint32_t kMaxCpus = 256;
inline constexpr std::uint32_t kMaxImages = 64;
inline constexpr std::uint32_t kMaxNodeRanges = 64;
inline constexpr std::uint32_t kImageNameBytes = 128;

enum class MemoryKind : std::uint32_t {
    Usable = 1, ///< free RAM
    Loader = 2, ///< RAM holding this record, page tables, boot stack: free once copied
    Image = 3,  ///< RAM holding hv.elf's loaded segments, the hv.elf file, ballast.dtb and guest images: kept
    Firmware = 4, ///< EFI runtime services, reserved: never touched
    Acpi = 5,     ///< ACPI tables (reclaim or NVS): read only
    Mmio = 6,
};

struct MemoryRange {
    std::uint64_t base;  ///< page aligned
    std::uint64_t bytes; ///< multiple of 4096
    MemoryKind kind;
    std::uint32_t reserved;
};

struct CpuRecord {
    std::uint32_t apic_id;
    std::uint32_t node;  ///< index of the NUMA node (dense, 0 without SRAT); it may have no memory
    std::uint32_t flags; ///< bit 0: the boot processor
    std::uint32_t reserved;
};

/// RAM [base, base + bytes) belongs to `node`; empty without SRAT (everything is node 0).
struct NodeRange {
    std::uint64_t base;
    std::uint64_t bytes;
    std::uint32_t node;
    std::uint32_t reserved;
};

/// A file read from the ESP, by the path the configuration uses for it.
struct ImageRecord {
    char name[kImageNameBytes]; ///< NUL-terminated, as written in ballast.dtb, e.g. "/images/vmlinuz"
    std::uint64_t base;         ///< physical, page aligned
    std::uint64_t bytes;        ///< file size
};

struct Span {
    std::uint64_t base; ///< physical; 0 with bytes == 0 when absent
    std::uint64_t bytes;
};

struct BootInfo {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t bytes; ///< sizeof(BootInfo)

    std::uint64_t physical_limit; ///< first physical address past everything the loader's tables map
    std::uint64_t boot_stack_top; ///< direct-map address
    std::uint64_t ap_trampoline;  ///< physical page below 1 MiB, 4096 bytes, free for INIT-SIPI start-up code
    std::uint64_t acpi_rsdp;      ///< physical address of the RSDP, 0 where the firmware has none (Bochs)
    std::uint64_t efi_epoch_seconds; ///< wall clock when boot services were left, seconds since 1970-01-01
                                     ///< UTC; 0 unknown
    std::uint64_t efi_epoch_tsc;     ///< TSC at that moment
    Span hv_image;    ///< loaded segments of hv.elf: physical home of kImageBase, 2 MiB aligned, contiguous
    Span hv_file;     ///< the whole hv.elf file (symbols for traces)
    Span device_tree; ///< ballast.dtb

    std::uint32_t memory_count;
    std::uint32_t cpu_count;
    std::uint32_t node_count; ///< at least 1
    std::uint32_t node_range_count;
    std::uint32_t image_count;
    std::uint32_t reserved;

    MemoryRange memory[kMaxMemoryRanges]; ///< sorted by base, disjoint
    CpuRecord cpus[kMaxCpus];             ///< cpus[0] is the boot processor
    NodeRange node_ranges[kMaxNodeRanges];
    ImageRecord images[kMaxImages];
};

static_assert(sizeof(MemoryRange) == 24 && sizeof(CpuRecord) == 16 && sizeof(NodeRange) == 24);
static_assert(sizeof(ImageRecord) == kImageNameBytes + 16);
} // namespace ballast::handoff
