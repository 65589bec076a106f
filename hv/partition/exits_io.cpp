// SPDX-License-Identifier: Apache-2.0
// IN, OUT, INS, OUTS.
#include "hv/core/decode/string_io.hpp"
#include "hv/partition/guest.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::partition {
namespace {
constexpr u16 kTimerPortsEnd = 0x80; ///< PIT and RTC are below, and little else

class PartitionPorts final : public PortTarget {
  public:
    explicit PartitionPorts(platform::PortBus& bus) : bus_{bus} {}
    u32 read(u16 port, u8 size_bytes) override { return bus_.read(port, size_bytes); }
    void write(u16 port, u8 size_bytes, u32 value) override { bus_.write(port, size_bytes, value); }

  private:
    platform::PortBus& bus_;
};
} // namespace

void VirtualProcessor::on_io(Exit const& exit) {
    IoExit const io = exit.io;
    platform::PortBus& bus = guest_.devices().ports();
    if (io.string) {
        VcpuView view{hw_};
        PartitionPorts ports{bus};
        auto const done = decode::string_io(view, guest_.memory(), guest_.mmio(), ports, io);
        if (!done) {
            fail(done.error());
        } else if (done.value().advance_bytes != 0) {
            hw_.advance(done.value().advance_bytes);
        }
        timers_changed(); // it may have spoken to a timer or an interrupt controller
        return;
    }
    u64& rax = hw_.gprs[Reg::Rax];
    if (io.in) {
        u64 const mask = io.size_bytes == 4 ? 0xffff'ffff : io.size_bytes == 2 ? 0xffff : 0xff;
        u64 const value = bus.read(io.port, io.size_bytes) & mask;
        // A 32-bit result clears RAX's upper half, narrower ones leave it (SDM vol 1, "General-purpose
        // registers in 64-bit mode").
        rax = io.size_bytes == 4 ? value : (rax & ~mask) | value;
    } else {
        bus.write(io.port, io.size_bytes, static_cast<u32>(rax));
    }
    if (io.port < kTimerPortsEnd) {
        timers_changed();
    }
    skip(exit);
}
} // namespace hv::partition
