// SPDX-License-Identifier: Apache-2.0
// The debugger's inferiors are the partitions: each request of its session is carried out on the physical CPU
// where the partition lives.
#pragma once
#include "hv/core/scheduler.hpp"
#include "hv/gdb/target.hpp"
#include "hv/partition/partition_set.hpp"

namespace hv::init {
class PartitionTarget final : public gdb::Target, public partition::DebuggerHost {
  public:
    /// Called, on any CPU, when a partition has stopped: the session is to be polled soon.
    using Wake = void (*)(void* context);

    /// @param boot_cpu where the session runs
    PartitionTarget(partition::PartitionSet& set, std::span<Scheduler* const> schedulers, Cpu const& boot_cpu,
                    Wake wake, void* context)
        : set_{set}, schedulers_{schedulers}, boot_cpu_{boot_cpu}, wake_{wake}, wake_context_{context} {}

    u32 inferior_count() override { return set_.partition_count(); }
    gdb::InferiorInfo inferior(u32 index) override;
    bool attach(u32 index) override;
    void detach(u32 index) override;
    void kill(u32 index) override;
    bool restart(u32 index) override;
    void remove_points(u32 index) override;
    void interrupt(u32 index) override;
    void resume(u32 index, u32 vp, gdb::Resume const& how) override;
    gdb::Stop const* take_stop(u32 index) override;
    bool read_register(u32 index, u32 vp, gdb::RegisterId, std::span<u8> to) override;
    bool write_register(u32 index, u32 vp, gdb::RegisterId, std::span<u8 const> from) override;
    u32 code_bits(u32 index, u32 vp) override;
    usize read_memory(u32 index, u32 vp, gdb::AddressSpace, u64 address, std::span<u8> to) override;
    bool write_memory(u32 index, u32 vp, gdb::AddressSpace, u64 address, std::span<u8 const> from) override;
    u32 memory_map(u32 index, std::span<gdb::MemoryRegion> into) override;
    Result<void, gdb::PointError> insert(u32 index, gdb::PointSpec const&,
                                         std::span<u8 const> conditions) override;
    bool remove(u32 index, gdb::PointSpec const&) override;
    bool monitor(u32 index, u32 vp, std::string_view words, gdb::LineSink&) override;
    void monitor_help(gdb::LineSink&) override;

    // partition::DebuggerHost
    void partition_stopped(u16 id) override;
    bool read_register(partition::VirtualProcessor&, u16 number, u64& value) override;

    /// Host TSC when the request that is being served arrived, for the cost of a step's round trip.
    void request_arrived(u64 tsc) { arrived_tsc_ = tsc; }
    /// Replies have been put together: a step's round trip is over, the line's own time aside.
    void answered(u64 tsc);

  private:
    /// Runs f(partition, cpu) on the partition's CPU.
    template <class F>
    void on_cpu(u32 index, F&& f) {
        partition::Partition& p = *set_.partitions()[index];
        schedulers_[p.cpu_index()]->call(boot_cpu_, [&](Cpu& cpu) { f(p, cpu); });
    }
    /// The same with its guest's state on the CPU; not when it is off.
    template <class F>
    void with_guest(u32 index, F&& f) {
        on_cpu(index, [&](partition::Partition& p, Cpu& cpu) {
            if (p.guest() != nullptr) {
                p.debug_load(cpu);
                f(p, *p.guest());
            }
        });
    }

    partition::PartitionSet& set_;
    std::span<Scheduler* const> schedulers_;
    Cpu const& boot_cpu_;
    Wake wake_;
    void* wake_context_;
    u64 stopped_ = 0; ///< bit n: partition n has a stop to tell; any CPU
    gdb::Stop stop_;  ///< taken last
    u64 arrived_tsc_ = 0;
    u64 step_since_tsc_ = 0; ///< of the step that is under way or has just ended
    u32 stepped_ = kNone;    ///< whose step has ended
    static constexpr u32 kNone = ~0u;
};
static_assert(partition::kMaxPartitions <= 64);
} // namespace hv::init
