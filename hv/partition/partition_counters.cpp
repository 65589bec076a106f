// SPDX-License-Identifier: Apache-2.0
// The partition's counters under the names the operator sees.
#include "hv/partition/partition.hpp"

namespace hv::partition {
u32 Partition::counters(std::span<mgmt::NamedCounter> into) const {
    u32 count = 0;
    auto const add = [&](std::string_view name, u64 value) {
        if (count < into.size()) {
            into[count++] = {name, value};
        }
    };
    for (u32 i = 0; i < kExitKinds; ++i) {
        add(kExitNames[i], vp_counters_.exits[i]);
    }
    add("interrupts injected", vp_counters_.interrupts_injected);
    add("unknown MSRs", vp_counters_.unknown_msrs);
    add("absent ports", port_counters_.absent_reads + port_counters_.absent_writes);
    add("ballooned pages touched", memory_counters_.ballooned_touches);
    add("holes touched", vp_counters_.hole_touches);
    add("refused register values", vp_counters_.refused_writes);
    add("instructions not emulated", vp_counters_.emulation_failures);
    add("triple faults", vp_counters_.triple_faults);
    add("guest panics", panics_);
    add("pages mapped at first touch", memory_counters_.faults);
    add("pages zeroed", memory_counters_.zeroed_pages);
    add("blocks compacted", memory_counters_.compactions);
    add("memory reports", dm_counters_.reports);
    add("host pages beside its memory", overhead_pages_);
    add("pages ballooned", dm_counters_.ballooned_pages);
    add("pages given back", dm_counters_.given_back_pages);
    add("ticks spent ballooning", ballooning_ticks_);
    add("ticks spent giving back", giving_back_ticks_);
    add("pages hot-added", dm_counters_.hot_added_pages);
    add("memory messages malformed", dm_counters_.malformed);
    add("memory messages unexpected", dm_counters_.unexpected);
    add("foreign balloon ranges", dm_counters_.foreign_ranges);
    add("short balloon answers", dm_counters_.short_answers);
    add("vmbus messages malformed", vmbus_counters_.messages_malformed);
    add("vmbus messages unexpected", vmbus_counters_.messages_unexpected);
    add("vmbus GPADLs refused", vmbus_counters_.gpadls_refused);
    add("vmbus opens refused", vmbus_counters_.opens_refused);
    add("vmbus packets received", vmbus_counters_.packets_received);
    add("vmbus packets sent", vmbus_counters_.packets_sent);
    add("vmbus stray signals", vmbus_counters_.signals_stray);
    add("vmbus channels broken", vmbus_counters_.channels_broken);
    u64 refused = 0;
    for (usize i = 1; i < hyperv_counters_.hypercalls_by_status.size(); ++i) {
        refused += hyperv_counters_.hypercalls_by_status[i];
    }
    add("hypercalls", hyperv_counters_.hypercalls_by_status[0] + refused);
    add("hypercalls refused", refused);
    add("hypercalls while disabled", hyperv_counters_.hypercalls_while_disabled);
    add("synthetic MSR faults", hyperv_counters_.msr_faults);
    add("synthetic timer expirations", hyperv_counters_.timer_expirations);
    add("instructions stepped", debug_counters_.steps);
    add("guarded pages touched", debug_counters_.guard_faults);
    add("debug steps", debug_counters_.round_trips);
    add("debug step ticks", debug_counters_.round_trip_ticks);
    add("debug false conditions", debug_counters_.false_conditions);
    add("debug condition ticks", debug_counters_.false_condition_ticks);
    return count;
}
} // namespace hv::partition
