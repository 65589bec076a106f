// SPDX-License-Identifier: Apache-2.0
#include "hv/init/debugger/partition_target.hpp"
#include "hv/core/vcpu_view.hpp"
#include "hv/init/debugger/guest_map.hpp"
#include "hv/init/debugger/monitor_commands.hpp"
#include "hv/init/debugger/vcpu_registers.hpp"
#include "hv/partition/debugger/linear_memory.hpp"
#include <algorithm>

namespace hv::init {
using partition::Guest;
using partition::Partition;
using partition::ResumeOrder;
using partition::StopEvent;

namespace {
gdb::Stop::Reason reason_of(StopEvent::Reason reason) {
    switch (reason) {
    case StopEvent::Reason::Halted: return gdb::Stop::Reason::Halted;
    case StopEvent::Reason::Stepped: return gdb::Stop::Reason::Stepped;
    case StopEvent::Reason::Breakpoint: return gdb::Stop::Reason::Breakpoint;
    case StopEvent::Reason::WriteWatch: return gdb::Stop::Reason::WriteWatch;
    case StopEvent::Reason::ReadWatch: return gdb::Stop::Reason::ReadWatch;
    case StopEvent::Reason::AccessWatch: return gdb::Stop::Reason::AccessWatch;
    case StopEvent::Reason::Crashed: break;
    }
    return gdb::Stop::Reason::Crashed;
}

ResumeOrder order_of(gdb::Resume const& how) {
    switch (how.kind) {
    case gdb::Resume::Kind::Continue: return {};
    case gdb::Resume::Kind::Step: return {.kind = ResumeOrder::Kind::Step};
    case gdb::Resume::Kind::StepRange: break;
    }
    return {.kind = ResumeOrder::Kind::StepRange, .range_first = how.range_first, .range_end = how.range_end};
}

void fill(gdb::Stop::Registers& registers, VirtVcpu& hw) {
    VcpuView view{hw};
    registers.filled = true;
    registers.code_bits = hw.in_64bit_code() ? 64 : code_mode(view).code_bits;
    registers.rip = hw.read(Reg::Rip);
    registers.rsp = hw.read(Reg::Rsp);
    registers.rbp = hw.read(Reg::Rbp);
    registers.cs_base = registers.ss_base = 0;
    if (registers.code_bits != 64) {
        registers.cs_base = hw.read(Seg::Cs).base;
        registers.ss_base = hw.read(Seg::Ss).base;
    }
}

debug::PointSpec spec_of(gdb::PointSpec const& wanted) {
    using Kind = gdb::PointSpec::Kind;
    debug::PointSpec spec{.software = wanted.kind == Kind::SoftwareBreak, .address = wanted.address};
    switch (wanted.kind) {
    case Kind::SoftwareBreak:
    case Kind::HardwareBreak: return spec;
    case Kind::WriteWatch: spec.kind = debug::PointKind::Write; break;
    case Kind::ReadWatch: spec.kind = debug::PointKind::Read; break;
    case Kind::AccessWatch: spec.kind = debug::PointKind::Access; break;
    }
    spec.bytes = wanted.bytes;
    return spec;
}
} // namespace

gdb::InferiorInfo PartitionTarget::inferior(u32 index) {
    Partition& p = *set_.partitions()[index];
    partition::Snapshot const s = p.mailbox().snapshot();
    bool const runs = s.state == mgmt::RunState::Running || s.state == mgmt::RunState::Halted ||
                      s.state == mgmt::RunState::Debug;
    return {.name = p.name(),
            .vps = p.config().processors,
            .on = runs || s.kept,
            .waits = s.waits_for_debugger,
            .crashed = s.kept};
}

bool PartitionTarget::attach(u32 index) {
    bool attached = false;
    on_cpu(index, [&](Partition& p, Cpu& cpu) { attached = p.debug_attach(cpu); });
    return attached;
}

void PartitionTarget::detach(u32 index) {
    on_cpu(index, [](Partition& p, Cpu& cpu) { p.debug_detach(cpu); });
}

void PartitionTarget::kill(u32 index) {
    on_cpu(index, [](Partition& p, Cpu& cpu) { p.debug_kill(cpu); });
}

bool PartitionTarget::restart(u32 index) {
    bool restarts = false;
    on_cpu(index, [&](Partition& p, Cpu& cpu) { restarts = p.debug_restart(cpu); });
    return restarts;
}

void PartitionTarget::remove_points(u32 index) {
    with_guest(index, [](Partition& p, Guest&) {
        if (p.debugger() != nullptr) {
            p.debugger()->remove_all_points();
        }
    });
}

void PartitionTarget::interrupt(u32 index) {
    on_cpu(index, [](Partition& p, Cpu& cpu) { p.debug_interrupt(cpu); });
}

void PartitionTarget::resume(u32 index, u32, gdb::Resume const& how) {
    if (how.kind == gdb::Resume::Kind::Step) {
        step_since_tsc_ = arrived_tsc_;
    }
    ResumeOrder const order = order_of(how);
    on_cpu(index, [&](Partition& p, Cpu& cpu) {
        if (p.guest() != nullptr) {
            p.debug_load(cpu);
            if (p.debug_resume(cpu, order)) { // the session looks before it rests
                __atomic_fetch_or(&stopped_, u64{1} << index, __ATOMIC_RELEASE);
            }
        }
    });
}

gdb::Stop const* PartitionTarget::take_stop(u32 index) {
    u64 const bit = u64{1} << index;
    if ((__atomic_load_n(&stopped_, __ATOMIC_ACQUIRE) & bit) == 0) {
        return nullptr;
    }
    __atomic_fetch_and(&stopped_, ~bit, __ATOMIC_ACQ_REL);
    bool taken = false;
    on_cpu(index, [&](Partition& p, Cpu& cpu) {
        if (p.debug_take_end()) {
            stop_ = {.reason = gdb::Stop::Reason::Ended};
            taken = true;
            return;
        }
        StopEvent const* const event = p.debugger() != nullptr ? p.debugger()->take_stop() : nullptr;
        if (event != nullptr) {
            taken = true;
            stop_.reason = reason_of(event->reason);
            stop_.vp = event->vp;
            stop_.address = event->address;
            stop_.software = event->software;
            p.debug_load(cpu);
            fill(stop_.registers, p.guest()->vp().hardware());
        }
    });
    if (!taken) {
        return nullptr;
    }
    if (stop_.reason == gdb::Stop::Reason::Stepped && step_since_tsc_ != 0) {
        stepped_ = index;
    }
    return &stop_;
}

void PartitionTarget::answered(u64 tsc) {
    if (stepped_ == kNone) {
        return;
    }
    u64 const ticks = tsc - std::exchange(step_since_tsc_, 0);
    on_cpu(std::exchange(stepped_, kNone), [&](Partition& p, Cpu&) {
        if (p.debugger() != nullptr) {
            p.debugger()->note_round_trip(ticks);
        }
    });
}

bool PartitionTarget::read_register(u32 index, u32, gdb::RegisterId id, std::span<u8> to) {
    bool read = false;
    with_guest(index, [&](Partition&, Guest& guest) { read = init::read_register(guest.vp(), id, to); });
    return read;
}

bool PartitionTarget::write_register(u32 index, u32, gdb::RegisterId id, std::span<u8 const> from) {
    bool written = false;
    with_guest(index, [&](Partition&, Guest& guest) { written = init::write_register(guest, id, from); });
    return written;
}

bool PartitionTarget::read_register(partition::VirtualProcessor& vp, u16 number, u64& value) {
    return number < static_cast<u16>(gdb::RegisterId::Count) &&
           read_integer(vp, static_cast<gdb::RegisterId>(number), value);
}

u32 PartitionTarget::code_bits(u32 index, u32) {
    u32 bits = 64;
    with_guest(index, [&](Partition&, Guest& guest) {
        VcpuView view{guest.vp().hardware()};
        bits = code_mode(view).code_bits;
    });
    return bits;
}

usize PartitionTarget::read_memory(u32 index, u32, gdb::AddressSpace space, u64 address, std::span<u8> to) {
    usize read = 0;
    with_guest(index, [&](Partition&, Guest& guest) {
        if (space == gdb::AddressSpace::Virtual) {
            VcpuView view{guest.vp().hardware()};
            read = partition::read_linear_memory(view, guest.memory(), address, to);
            return;
        }
        while (read < to.size()) {
            u64 const from = address + read;
            usize const piece = std::min<u64>(to.size() - read, kPageBytes - (from & (kPageBytes - 1)));
            if (!guest.memory().read(Gpa{from}, to.subspan(read, piece))) {
                break;
            }
            read += piece;
        }
    });
    return read;
}

bool PartitionTarget::write_memory(u32 index, u32, gdb::AddressSpace space, u64 address,
                                   std::span<u8 const> from) {
    bool written = false;
    with_guest(index, [&](Partition&, Guest& guest) {
        if (space == gdb::AddressSpace::Virtual) {
            VcpuView view{guest.vp().hardware()};
            written = partition::write_linear_memory(view, guest.memory(), address, from);
            return;
        }
        for (u64 at = address & ~(kPageBytes - 1); at < address + from.size(); at += kPageBytes) {
            if (!guest.memory().page(Gpa{at})) {
                return;
            }
        }
        written = guest.memory().write(Gpa{address}, from).ok();
    });
    return written;
}

u32 PartitionTarget::memory_map(u32 index, std::span<gdb::MemoryRegion> into) {
    u32 count = 0;
    with_guest(index, [&](Partition&, Guest& guest) { count = guest_map(guest, into); });
    return count;
}

Result<void, gdb::PointError> PartitionTarget::insert(u32 index, gdb::PointSpec const& wanted,
                                                      std::span<u8 const> conditions) {
    auto result = Result<void, gdb::PointError>{Err{gdb::PointError::Unsupported}};
    with_guest(index, [&](Partition& p, Guest&) {
        if (p.debugger() == nullptr) {
            return;
        }
        auto const inserted = p.debugger()->insert(spec_of(wanted), conditions);
        if (inserted) {
            result = {};
        } else if (inserted.error() == debug::PointTableError::Full) {
            result = Err{gdb::PointError::Full};
        }
    });
    return result;
}

bool PartitionTarget::remove(u32 index, gdb::PointSpec const& wanted) {
    bool removed = false;
    with_guest(index, [&](Partition& p, Guest&) {
        removed = p.debugger() != nullptr && p.debugger()->remove(spec_of(wanted));
    });
    return removed;
}

void PartitionTarget::partition_stopped(u16 id) {
    __atomic_fetch_or(&stopped_, u64{1} << id, __ATOMIC_RELEASE);
    wake_(wake_context_);
}

bool PartitionTarget::monitor(u32 index, u32, std::string_view words, gdb::LineSink& lines) {
    MonitorCommand const* const command = find_monitor_command(words);
    if (command == nullptr) {
        return false;
    }
    if (command->by_operator != nullptr) { // reads what partitions publish; may look at all of them
        command->by_operator(set_, index, lines);
        return true;
    }
    bool on = false;
    with_guest(index, [&](Partition& p, Guest& guest) {
        command->on_guest(p, guest, argument_of(words), lines);
        on = true;
    });
    if (!on) {
        lines.line("this partition is off");
    }
    return true;
}

void PartitionTarget::monitor_help(gdb::LineSink& lines) {
    list_monitor_commands(lines);
}
} // namespace hv::init
