// SPDX-License-Identifier: Apache-2.0
#include "hv/init/debugger/guest_map.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::init {
namespace {
using Kind = gdb::MemoryRegion::Kind;

/// Joins what is told page by page, or block by block.
class Regions {
  public:
    explicit Regions(std::span<gdb::MemoryRegion> into) : into_{into} {}
    void add(Kind kind, u64 first, u64 bytes) {
        if (bytes_ != 0 && kind == kind_ && first_ + bytes_ == first) {
            bytes_ += bytes;
            return;
        }
        flush();
        kind_ = kind;
        first_ = first;
        bytes_ = bytes;
    }
    void flush() {
        if (bytes_ == 0) {
            return;
        }
        if (count_ < into_.size()) {
            into_[count_] = {kind_, first_, bytes_};
        }
        ++count_;
        bytes_ = 0;
    }
    u32 count() const { return count_; }

  private:
    std::span<gdb::MemoryRegion> into_;
    u32 count_ = 0;
    Kind kind_ = Kind::Ram;
    u64 first_ = 0, bytes_ = 0;
};

Kind kind_of(mm::PageState state, bool hot) {
    switch (state) {
    case mm::PageState::Backed:
    case mm::PageState::SmartPaged: return hot ? Kind::HotAdded : Kind::Ram;
    case mm::PageState::Ballooned: return Kind::Ballooned;
    case mm::PageState::NotAdded: break;
    }
    return Kind::NotAdded;
}

void add_range(Regions& regions, mm::GuestMemory const& memory, mm::GuestRange const& range, bool hot) {
    for (Gpa at = range.first; at < range.last;) {
        mm::GuestBlock const* const block = memory.find_block(at);
        if (block != nullptr && block->whole() && at.aligned(kLargePageBytes) &&
            range.last - at >= kLargePageBytes) {
            regions.add(kind_of(mm::PageState::Backed, hot), at.raw, kLargePageBytes);
            at = at + kLargePageBytes;
            continue;
        }
        if (!mm::GuestLayout::in_hole(at)) {
            regions.add(kind_of(memory.state(at), hot), at.raw, kPageBytes);
        }
        at = at + kPageBytes;
    }
}
} // namespace

u32 guest_map(partition::Guest& guest, std::span<gdb::MemoryRegion> into) {
    Regions regions{into};
    mm::GuestMemory const& memory = guest.memory();
    mm::GuestLayout const& layout = memory.layout();
    add_range(regions, memory, layout.low, false);
    regions.add(Kind::Device, platform::kIoApicBase, kPageBytes);
    platform::LocalApic& apic = guest.vp().apic();
    if (apic.enabled() && !apic.x2apic()) {
        regions.add(Kind::Device, apic.mmio_base().raw, kPageBytes);
    }
    add_range(regions, memory, layout.high, false);
    add_range(regions, memory, layout.hot, true);
    regions.flush();
    return regions.count();
}
} // namespace hv::init
