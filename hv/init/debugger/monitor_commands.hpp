// SPDX-License-Identifier: Apache-2.0
// gdb's `monitor` commands that are about a partition; the session knows those about itself.
#pragma once
#include "hv/gdb/target.hpp"
#include "hv/partition/partition_set.hpp"

namespace hv::init {
struct MonitorCommand {
    std::string_view name;
    std::string_view usage;
    std::string_view help;
    /// With the guest's state on the CPU; or
    void (*on_guest)(partition::Partition&, partition::Guest&, std::string_view argument, gdb::LineSink&);
    /// from what partitions publish, on the boot processor.
    void (*by_operator)(partition::PartitionSet&, u32 index, gdb::LineSink&);
};

/// The command that @p words begin with, or nullptr.
MonitorCommand const* find_monitor_command(std::string_view words);
/// What follows the first word.
std::string_view argument_of(std::string_view words);
void list_monitor_commands(gdb::LineSink&);
} // namespace hv::init
