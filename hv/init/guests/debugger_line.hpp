// SPDX-License-Identifier: Apache-2.0
// The serial port that the configuration gives to the debugger: bytes to its session and back, from the boot
// processor's housekeeping. Nobody attached, it is one look at the port a millisecond.
#pragma once
#include "drivers/uart/uart16550.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/core/housekeeping.hpp"
#include "hv/gdb/session.hpp"
#include "hv/init/debugger/partition_target.hpp"

namespace hv::init {
class DebuggerLine {
  public:
    DebuggerLine(Cpu const& boot_cpu, HostServices& host, Housekeeping& jobs, u16 port)
        : boot_cpu_{boot_cpu}, host_{host}, jobs_{jobs}, uart_{{}, port} {}

    /// @return false when no serial port answers there
    bool open();
    /// Starts to listen. @param set and @param schedulers are complete
    void start(partition::PartitionSet& set, std::span<Scheduler* const> schedulers);
    /// What partitions tell their stops to; from open() on, nothing is told before start().
    partition::DebuggerHost& host_side() { return relay_; }

  private:
    /// Partitions are made before the set that the target works on.
    class Relay final : public partition::DebuggerHost {
      public:
        void partition_stopped(u16 id) override {
            if (target != nullptr) {
                target->partition_stopped(id);
            }
        }
        bool read_register(partition::VirtualProcessor& vp, u16 number, u64& value) override {
            return target != nullptr && target->read_register(vp, number, value);
        }
        PartitionTarget* target = nullptr;
    };
    static u64 job(void* self, u64) { return static_cast<DebuggerLine*>(self)->serve(); }
    static void wake(void* self);
    u64 serve();

    Cpu const& boot_cpu_;
    HostServices& host_;
    Housekeeping& jobs_;
    drivers::Uart16550<arch::RealCpu> uart_;
    Relay relay_;
    std::optional<PartitionTarget> target_;
    std::optional<gdb::Session> session_;
    unsigned job_ = 0;
    u64 poll_ticks_ = 0, busy_ticks_ = 0, coming_ticks_ = 0;
};

/// The port address behind "com2" … "com4".
u16 serial_port(std::string_view name);
} // namespace hv::init
