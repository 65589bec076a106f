// SPDX-License-Identifier: Apache-2.0
// A machine with RAM, an allocator and partitions with real nested tables, for the tests of guest memory.
#pragma once
#include "hv/mm/memory_check.hpp"
#include "hv/mm/nested_table.hpp"
#include "tests/fakes/arena_ram.hpp"
#include "tests/unit/mm/nested_walk.hpp"
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#define BOTH(name) TEMPLATE_TEST_CASE(name, "[mm][guest]", Ept, Npt)
#define CHECK_MEMORY(machine, ...) CHECK(verdict(*(machine).frames, {__VA_ARGS__}) == "ok")

namespace hv::test {
inline constexpr u64 kPage = kPageBytes;
inline mm::GuestMemoryConfig sized(u64 startup, u64 maximum, u16 id = 0) {
    return {.owner = mm::partition_owner(id), .startup_bytes = startup, .maximum_bytes = maximum};
}

struct Ept {
    static constexpr mm::NestedFormat const& kFormat = mm::kEptFormat;
    using Rules = EptRules;
};
struct Npt {
    static constexpr mm::NestedFormat const& kFormat = mm::kNptFormat;
    using Rules = NptRules;
};

/// A partition of the bed: heap, memory and map, ended in the right order.
template <class V>
struct Partition {
    Partition(mm::FrameAllocator& frames, mm::GuestMemoryConfig const& config)
        : heap{frames, config.owner}, created{mm::GuestMemory::create(heap, frames, config)} {
        if (created.ok()) {
            memory = created.value();
            map = mm::create_nested_table(V::kFormat, memory->table_frames());
            memory->attach(*map);
            settled = memory->table_pool().shared_allocations();
        }
    }
    ~Partition() {
        if (memory != nullptr) {
            memory->discard();
            mm::destroy_nested_table(map, memory->table_frames());
            mm::GuestMemory::destroy(heap, memory);
        }
    }
    mm::GuestMemory* operator->() { return memory; }
    std::optional<Translation> at(u64 gpa) {
        return walk<typename V::Rules>(memory->table_frames(), map->root(), gpa);
    }
    /// Frames for tables that the partition's own pool did not have ready, since it was made.
    u64 shared_allocations() const {
        return memory->table_pool().shared_allocations() - settled + memory->counters().late_tables;
    }

    mm::KernelHeap heap;
    Result<mm::GuestMemory*, mm::GuestMemoryRefusal> created;
    mm::GuestMemory* memory = nullptr;
    NestedMap* map = nullptr;
    u64 settled = 0;
};

struct GuestMachine {
    explicit GuestMachine(u64 bytes, u32 nodes = 1) : ram{Hpa{0}, bytes} {
        std::vector<mm::RamRange> ranges;
        for (u32 n = 0; n < nodes; ++n) {
            ranges.push_back({Hpa{bytes / nodes * n}, bytes / nodes, n});
        }
        REQUIRE(frames->build(ranges, ram.map()).ok());
        free_at_start = frames->free_pages();
    }
    /// Takes all free frames but about @p keep for somebody else.
    void fill_up(u64 keep) {
        while (frames->free_pages() > keep) {
            unsigned order = frames->free_pages() - keep >= 512 ? 9 : 0;
            if (!hold(order)) {
                REQUIRE(hold(0));
            }
        }
    }
    bool hold(unsigned order) {
        auto const at = frames->allocate(order, mm::kAnyNode, kHolder, mm::FrameKind::Data);
        if (at.ok()) {
            held.push_back({at.value(), order});
        }
        return at.ok();
    }
    void let_go() {
        for (auto [at, order] : held) {
            frames->free(at, order, kHolder);
        }
        held.clear();
    }
    static constexpr mm::Owner kHolder = mm::Owner::Hypervisor;

    ArenaRam ram;
    std::unique_ptr<mm::FrameAllocator> frames = std::make_unique<mm::FrameAllocator>();
    u64 free_at_start = 0;
    std::vector<std::pair<Hpa, unsigned>> held;
};

inline std::string verdict(mm::FrameAllocator& frames,
                           std::vector<mm::GuestMemory const*> const& partitions) {
    char text[300];
    TextBuffer out{text};
    mm::MemoryReport const report = mm::check_memory(frames, partitions);
    print(out, report);
    return report.ok() ? "ok" : std::string{out.text()};
}
} // namespace hv::test
