// SPDX-License-Identifier: Apache-2.0
// All partitions of the machine, seen from the boot processor: the operator's requests and the balancer's
// tick. Touches partitions through their mailboxes only.
#pragma once
#include "hv/core/scheduler.hpp"
#include "hv/mm/frame_allocator.hpp"
#include "hv/partition/partition.hpp"

namespace hv::partition {
/// Proves the memory invariants; implemented over hv/mm where all nested maps are known.
class MemoryProof {
  public:
    virtual ~MemoryProof() = default;
    virtual bool check(TextBuffer& verdict) = 0;
};

class PartitionSet final : public mgmt::Operator {
  public:
    PartitionSet(HostConfig const& config, HostServices& host, mm::FrameAllocator& frames,
                 std::string_view backend_name)
        : config_{config},
          host_{host},
          frames_{frames},
          backend_name_{backend_name},
          start_tsc_{host.now_tsc()} {}

    /// Set-up, in the order of the configuration.
    void add(Partition&);
    void set_proof(MemoryProof& proof) { proof_ = &proof; }
    /// Once a second: looks at every partition, balances, posts the orders.
    void balance(u64 now_tsc);
    /// Whether every partition that ever started has ended, and all in order: what `scripts/run` waits for.
    bool all_ended();
    /// The name of one that crashed, or empty.
    std::string_view crashed();
    std::span<Partition* const> partitions() const { return {partitions_, count_}; }

    u32 partition_count() const override { return count_; }
    mgmt::PartitionStatus status(u32 index) override;
    mgmt::HostStatus host() override;
    u32 counters(u32 index, std::span<mgmt::NamedCounter> into) override;
    dm::Journal const& journal(u32 index) override { return journals_[index]; }
    bool request(u32 index, mgmt::Request, TextBuffer& why) override;
    bool check(TextBuffer& verdict) override;

  private:
    void fill_settings(u32 index, dm::PartitionView&) const;
    u64 uptime_seconds() const { return (host_.now_tsc() - start_tsc_) / host_.tsc_hz(); }

    HostConfig const& config_;
    HostServices& host_;
    mm::FrameAllocator& frames_;
    std::string_view backend_name_;
    u64 start_tsc_;
    MemoryProof* proof_ = nullptr;
    Partition* partitions_[kMaxPartitions] = {};
    dm::Journal journals_[kMaxPartitions];
    dm::PartitionMemory memory_[kMaxPartitions];
    u64 seen_starts_[kMaxPartitions] = {};
    u8 by_priority_[kMaxPartitions] = {}; ///< indices, least priority first
    u32 count_ = 0;
};
} // namespace hv::partition
