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
    u64 refused = 0;
    for (usize i = 1; i < hyperv_counters_.hypercalls_by_status.size(); ++i) {
        refused += hyperv_counters_.hypercalls_by_status[i];
    }
    // Plain pointers: this is a long list, and each text's length would be code.
    struct Named {
        char const* name;
        u64 value;
    };
    Named const named[] = {
        {"interrupts injected", vp_counters_.interrupts_injected},
        {"unknown MSRs", vp_counters_.unknown_msrs},
        {"absent ports", port_counters_.absent_reads + port_counters_.absent_writes},
        {"ballooned pages touched", memory_counters_.ballooned_touches},
        {"holes touched", vp_counters_.hole_touches + mmio_counters_.absent},
        {"refused register values", vp_counters_.refused_writes},
        {"instructions not emulated", vp_counters_.emulation_failures},
        {"triple faults", vp_counters_.triple_faults},
        {"guest panics", panics_},
        {"pages mapped at first touch", memory_counters_.faults},
        {"pages zeroed", memory_counters_.zeroed_pages},
        {"blocks compacted", memory_counters_.compactions},
        {"memory reports", dm_counters_.reports},
        {"host pages beside its memory", overhead_pages_},
        {"pages ballooned", dm_counters_.ballooned_pages},
        {"pages given back", dm_counters_.given_back_pages},
        {"ticks spent ballooning", ballooning_ticks_},
        {"ticks spent giving back", giving_back_ticks_},
        {"pages hot-added", dm_counters_.hot_added_pages},
        {"memory messages malformed", dm_counters_.malformed},
        {"memory messages unexpected", dm_counters_.unexpected},
        {"foreign balloon ranges", dm_counters_.foreign_ranges},
        {"short balloon answers", dm_counters_.short_answers},
        {"vmbus messages malformed", vmbus_counters_.messages_malformed},
        {"vmbus messages unexpected", vmbus_counters_.messages_unexpected},
        {"vmbus GPADLs refused", vmbus_counters_.gpadls_refused},
        {"vmbus opens refused", vmbus_counters_.opens_refused},
        {"vmbus packets received", vmbus_counters_.packets_received},
        {"vmbus packets sent", vmbus_counters_.packets_sent},
        {"vmbus stray signals", vmbus_counters_.signals_stray},
        {"vmbus channels broken", vmbus_counters_.channels_broken},
        {"hypercalls", hyperv_counters_.hypercalls_by_status[0] + refused},
        {"hypercalls refused", refused},
        {"hypercalls while disabled", hyperv_counters_.hypercalls_while_disabled},
        {"synthetic MSR faults", hyperv_counters_.msr_faults},
        {"synthetic timer expirations", hyperv_counters_.timer_expirations},
        {"instructions stepped", debug_counters_.steps},
        {"guarded pages touched", debug_counters_.guard_faults},
        {"debug steps", debug_counters_.round_trips},
        {"debug step ticks", debug_counters_.round_trip_ticks},
        {"debug false conditions", debug_counters_.false_conditions},
        {"debug condition ticks", debug_counters_.false_condition_ticks},
    };
    for (Named const& counter : named) {
        add(counter.name, counter.value);
    }
    return count;
}
} // namespace hv::partition
