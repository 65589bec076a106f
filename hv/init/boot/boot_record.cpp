// SPDX-License-Identifier: Apache-2.0
#include "hv/init/boot/boot_record.hpp"
#include <algorithm>

namespace hv::init {
namespace handoff = ballast::handoff;
using handoff::MemoryKind;
using mm::FrameKind;

namespace {
FrameKind frame_kind(MemoryKind kind) {
    switch (kind) {
    case MemoryKind::Usable: return FrameKind::Free;
    case MemoryKind::Loader: return FrameKind::Data;
    case MemoryKind::Image: return FrameKind::Image;
    default: return FrameKind::NotRam;
    }
}
bool inside_ram(BootInfo const& info, handoff::Span span) {
    if (span.bytes == 0) {
        return true;
    }
    for (u32 i = 0; i < info.memory_count; ++i) {
        handoff::MemoryRange const& range = info.memory[i];
        if (frame_kind(range.kind) != FrameKind::NotRam && span.base >= range.base &&
            span.base - range.base < range.bytes && span.bytes <= range.bytes - (span.base - range.base)) {
            return true;
        }
    }
    return false;
}
} // namespace

std::optional<std::string_view> find_fault(BootInfo const& info) {
    if (info.magic != handoff::kMagic) {
        return "the loader's record has a wrong signature";
    }
    if (info.version != handoff::kVersion || info.bytes != sizeof(BootInfo)) {
        return "loader and hypervisor are of different versions: install both from one build";
    }
    if (info.memory_count == 0 || info.memory_count > handoff::kMaxMemoryRanges || info.cpu_count == 0 ||
        info.cpu_count > handoff::kMaxCpus || info.node_count == 0 ||
        info.node_range_count > handoff::kMaxNodeRanges || info.image_count > handoff::kMaxImages) {
        return "the loader's record has a count out of range";
    }
    u64 end = 0;
    for (u32 i = 0; i < info.memory_count; ++i) {
        handoff::MemoryRange const& range = info.memory[i];
        if ((range.base | range.bytes) % kPageBytes != 0 || range.base < end ||
            range.bytes > ~0ull - range.base) {
            return "the loader's memory map is not sorted, disjoint and page aligned";
        }
        end = range.base + range.bytes;
    }
    if (info.hv_image.base % kLargePageBytes != 0 || info.hv_image.bytes == 0 ||
        !inside_ram(info, info.hv_image) || !inside_ram(info, info.hv_file) ||
        !inside_ram(info, info.device_tree)) {
        return "the loader's record names an image that lies outside RAM";
    }
    for (u32 i = 0; i < info.image_count; ++i) {
        if (!inside_ram(info, {info.images[i].base, info.images[i].bytes})) {
            return "the loader's record names a guest image that lies outside RAM";
        }
    }
    if (info.ap_trampoline % kPageBytes != 0 || info.ap_trampoline >= MiB) {
        return "the loader's record names no page below 1 MiB to start processors from";
    }
    return std::nullopt;
}

u32 node_of(BootInfo const& info, u64 at) {
    for (u32 i = 0; i < info.node_range_count; ++i) {
        handoff::NodeRange const& range = info.node_ranges[i];
        if (at >= range.base && at - range.base < range.bytes) {
            return range.node;
        }
    }
    return 0;
}

void RamList::add(u64 base, u64 bytes, u32 node, FrameKind kind) {
    if (count_ == kMaxRamRanges) {
        dropped_bytes_ += bytes;
        return;
    }
    ranges_[count_++] = {Hpa{base}, bytes, node, kind};
}

void RamList::fill(BootInfo const& info) {
    count_ = 0;
    dropped_bytes_ = 0;
    add(0, kPageBytes, node_of(info, 0), FrameKind::Data);
    if (info.ap_trampoline != 0) {
        add(info.ap_trampoline, kPageBytes, node_of(info, info.ap_trampoline), FrameKind::Data);
    }
    for (u32 i = 0; i < info.memory_count; ++i) {
        handoff::MemoryRange const& range = info.memory[i];
        FrameKind const kind = frame_kind(range.kind);
        if (kind == FrameKind::NotRam) {
            continue;
        }
        u64 const end = range.base + range.bytes;
        for (u64 at = range.base; at < end;) {
            u64 stop = end; // of the piece that lies on one node
            for (u32 n = 0; n < info.node_range_count; ++n) {
                handoff::NodeRange const& node = info.node_ranges[n];
                for (u64 const border : {node.base, node.base + node.bytes}) {
                    // A page with a border inside belongs to the node of its first byte.
                    if (border > at && border < stop) {
                        stop = align_up(border, kPageBytes);
                    }
                }
            }
            add(at, stop - at, node_of(info, at), kind);
            at = stop;
        }
    }
}

u64 RamList::bytes() const {
    u64 sum = 0;
    for (usize i = 0; i < count_; ++i) {
        sum += ranges_[i].bytes;
    }
    return sum;
}
} // namespace hv::init
