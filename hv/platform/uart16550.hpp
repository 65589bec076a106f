// SPDX-License-Identifier: Apache-2.0
// A 16550A serial port whose transmitter is infinitely fast. Source: National Semiconductor PC16550D
// datasheet.
#pragma once
#include "hv/platform/interrupt_line.hpp"
#include "hv/platform/port_bus.hpp"
#include "hv/platform/serial_sink.hpp"

namespace hv::platform {
/// Eight byte-wide ports. Calls are serialised by the caller.
class Uart16550 final : public PortDevice {
  public:
    static constexpr u16 kPorts = 8;
    struct Counters {
        u64 sent = 0;
        u64 received = 0;
        u64 overruns = 0; ///< loopback bytes that found the queue full
    };

    /// @param first_port the data register.
    Uart16550(u16 first_port, SerialSink& sink, InterruptLine& line)
        : first_port_{first_port}, sink_{sink}, line_{line} {}
    Uart16550(Uart16550 const&) = delete;
    Uart16550& operator=(Uart16550 const&) = delete;

    u32 read(u16 port, u8 size_bytes) override;
    void write(u16 port, u8 size_bytes, u32 value) override;

    /// Bytes for the guest to read, from the host. @return how many fitted into the queue.
    usize receive(std::span<u8 const> bytes);
    usize receive_room() const { return kQueueBytes - queued_; }

    void reset();
    Counters const& counters() const { return counters_; }

  private:
    enum Offset : u8 {
        Data,
        InterruptEnable,
        InterruptIdentity,
        LineControl,
        ModemControl,
        LineStatus,
        ModemStatus,
        Scratch
    };
    static constexpr usize kQueueBytes = 256; ///< the 16-byte FIFO with the host's patience behind it

    u8 read_register(u8 offset);
    void write_register(u8 offset, u8 value);
    u8 pop();
    bool push(u8 byte);
    void transmit(u8 byte);
    void write_fifo_control(u8 value);
    void write_modem_control(u8 value);
    u8 modem_inputs() const;
    u8 identify() const;
    void update_line();

    u16 first_port_;
    SerialSink& sink_;
    InterruptLine& line_;
    u8 queue_[kQueueBytes];
    usize head_ = 0;
    usize queued_ = 0;
    u8 ier_ = 0;
    u8 lcr_ = 0;
    u8 mcr_ = 0;
    u8 scratch_ = 0;
    u8 divisor_low_ = 12; ///< 9600 baud
    u8 divisor_high_ = 0;
    u8 modem_deltas_ = 0;
    u8 line_errors_ = 0;
    u8 trigger_ = 1;
    bool fifo_ = false;
    bool transmit_empty_pending_ = false;
    bool asserted_ = false;
    Counters counters_;
};
} // namespace hv::platform
