// SPDX-License-Identifier: Apache-2.0
// What an operator can see and do, independent of the line it comes in on: the console now, the management
// protocol later.
#pragma once
#include "hv/dm/journal.hpp"

namespace hv::mgmt {
enum class RunState : u8 {
    Off,     ///< never started, stopped, or powered itself off
    Waiting, ///< wants to start, its startup memory is being collected
    Running,
    Halted,  ///< HLT with interrupts off: only a restart helps
    Debug,   ///< stands still for the debugger
    Crashed, ///< triple fault, refused state, reported panic
};
char const* text(RunState);

/// One partition at one moment. Pages are 4 KiB.
struct PartitionStatus {
    std::string_view name;
    RunState state = RunState::Off;
    std::string_view detail; ///< why it is off or crashed; may be empty
    u64 assigned = 0, demand = 0, wanted = 0;
    bool reporting = false;
    dm::MemoryStatus memory_status = dm::MemoryStatus::NotReported;
    u64 minimum = 0, startup = 0, maximum = 0;
    u32 buffer_percent = 0, priority = 0;
    u64 ballooned = 0, hot_added = 0;
    u64 large_percent = 0;      ///< share of mapped memory in 2 MiB pages or larger
    std::string_view heartbeat; ///< "OK", "lost", "none"
    std::string_view
        driver; ///< the dynamic-memory driver: "none", "active", "inactive", "uncooperative", "distrusted"
    u32 cpu = 0;
    u64 uptime_seconds = 0;
    u64 restarts = 0;
};

/// A named number of show's list.
struct NamedCounter {
    std::string_view name;
    u64 value = 0;
};

struct HostStatus {
    u64 total = 0, free = 0, reserve = 0, hypervisor = 0; ///< pages
    u32 cpus = 0, nodes = 0;
    u64 uptime_seconds = 0;
    std::string_view backend;
};

enum class Request : u8 {
    Start,    ///< power on
    Shutdown, ///< ask the guest for a clean power-off
    TurnOff,  ///< at once, as if the power failed
    Restart,  ///< at once: reset
};

/// Where lines of an answer go.
class Answer {
  public:
    virtual ~Answer() = default;
    virtual void line(std::string_view text) = 0;
};

/// Implemented where the partitions are (hv/init). Called on the boot processor, outside any exit.
class Operator {
  public:
    virtual ~Operator() = default;
    virtual u32 partition_count() const = 0;
    virtual PartitionStatus status(u32 index) = 0;
    virtual HostStatus host() = 0;
    /// Fills @p into with as many counters as fit. @return how many
    virtual u32 counters(u32 index, std::span<NamedCounter> into) = 0;
    virtual dm::Journal const& journal(u32 index) = 0;
    /// @return false with the reason in @p why when it makes no sense now
    virtual bool request(u32 index, Request, TextBuffer& why) = 0;
    /// Walks every frame and every nested table. @return true and a summary, or false and the first
    /// violation, in @p verdict
    virtual bool check(TextBuffer& verdict) = 0;
};
} // namespace hv::mgmt
