// SPDX-License-Identifier: Apache-2.0
#include "hv/init/guests/debugger_line.hpp"

namespace hv::init {
namespace {
constexpr u32 kBaud = 115200;
/// 16 bytes, the receiver's FIFO, take 1.39 ms: looked at every millisecond it does not overrun.
constexpr u64 kPollUs = 1000;
constexpr u64 kBusyUs = 700;
/// While bytes come. Some receivers have no FIFO behind them (Bochs's, of a socket): a byte a look, 87 µs
/// apart.
constexpr u64 kComingUs = 100;
constexpr usize kBytesPerPoll = 512;
} // namespace

u16 serial_port(std::string_view name) {
    return name == "com2"   ? drivers::uart::kCom2
           : name == "com3" ? drivers::uart::kCom3
                            : drivers::uart::kCom4;
}

bool DebuggerLine::open() {
    return uart_.initialise(kBaud);
}

void DebuggerLine::start(partition::PartitionSet& set, std::span<Scheduler* const> schedulers) {
    target_.emplace(set, schedulers, boot_cpu_, wake, this);
    session_.emplace(*target_);
    relay_.target = &*target_;
    u64 const ticks_per_us = host_.tsc_hz() / 1'000'000;
    poll_ticks_ = kPollUs * ticks_per_us;
    busy_ticks_ = kBusyUs * ticks_per_us;
    coming_ticks_ = kComingUs * ticks_per_us;
    job_ = jobs_.add(job, this, poll_ticks_, host_.now_tsc());
}

void DebuggerLine::wake(void* self) {
    auto& line = *static_cast<DebuggerLine*>(self);
    line.jobs_.hurry(line.job_);
    line.host_.kick(line.boot_cpu_.index);
}

/// Housekeeping: bounded by what the port holds.
u64 DebuggerLine::serve() {
    u8 bytes[kBytesPerPoll];
    usize count = 0;
    while (count < kBytesPerPoll) {
        std::optional<u8> const byte = uart_.read_byte();
        if (!byte) {
            break;
        }
        bytes[count++] = *byte;
    }
    gdb::Session& session = *session_;
    if (count != 0) {
        target_->request_arrived(host_.now_tsc()); // reading the port is the line's time, not ours
        session.receive({bytes, count});
    }
    session.poll();
    target_->answered(host_.now_tsc());
    while (!session.pending().empty()) {
        usize const sent = uart_.write_some(session.pending());
        if (sent == 0) {
            break;
        }
        session.sent(sent);
    }
    return count != 0 ? coming_ticks_ : session.pending().empty() ? 0 : busy_ticks_;
}
} // namespace hv::init
