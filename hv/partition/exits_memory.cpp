// SPDX-License-Identifier: Apache-2.0
// Nested faults: first touch of backed memory, device pages, ballooned memory, and addresses where nothing
// is.
#include "hv/core/decode/mmio_emulator.hpp"
#include "hv/partition/guest.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::partition {
void VirtualProcessor::on_nested_fault(Exit const& exit) {
    mm::Touch const touch = guest_.memory().touch(exit.fault.gpa);
    if (touch != mm::Touch::Mapped) [[unlikely]] {
        on_unbacked_page(exit.fault, touch);
    }
}

/// Apart from the first touches, which are counted in instructions.
[[gnu::noinline]] void VirtualProcessor::on_unbacked_page(NestedFaultExit const& fault, mm::Touch touch) {
    switch (touch) {
    case mm::Touch::Mapped: return;
    case mm::Touch::Guarded:
        if (guest_.memory().denies(fault.gpa,
                                   fault.access)) { // else the processor had an older translation in mind
            guard_fault_ = fault;
        }
        return;
    case mm::Touch::Ballooned:
    case mm::Touch::SmartPaged:
        // The guest gave this page away and knows it. #GP is a fault that its own guarded accesses survive;
        // it never sees bytes.
        raise_gp();
        return;
    case mm::Touch::NotAdded:
    case mm::Touch::Hole: break;
    }
    if (fault.during_walk || fault.during_delivery || fault.access == Access::X) {
        // Page tables, code, an exception's stack where no memory is: what a processor would make of an open
        // bus is a machine check; #GP ends it sooner. An event that cannot be delivered must not go back as
        // it came: its next try would exit before the processor looks at interrupts, for ever. With #GP it
        // becomes a double fault, then a triple fault.
        ++counters_.hole_touches;
        raise_gp();
        return;
    }
    VcpuView view{hw_};
    auto const done = decode::emulate_mmio(view, guest_.memory(), guest_.mmio());
    if (!done) {
        fail(done.error());
    } else if (done.value().advance_bytes != 0) {
        hw_.advance(done.value().advance_bytes);
    }
    timers_changed();
}
} // namespace hv::partition
