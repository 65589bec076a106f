// SPDX-License-Identifier: Apache-2.0
// The 16550 serial port behind COM1 to COM4: set-up, and bytes in and out without waiting. Ports are a
// parameter, so the same driver runs on the machine, in the loader of a test, or against a fake. Source:
// National Semiconductor PC16550D data sheet, "Registers" and "FIFO Polled Mode Operation".
#pragma once
#include "hv/base/bits.hpp"
#include <concepts>
#include <optional>
#include <span>

namespace drivers {
using namespace hv; // the integer names and Bits

template <class P>
concept UartPorts = requires(P& p, u16 port, u8 v) {
    { p.in8(port) } -> std::same_as<u8>;
    { p.out8(port, v) } -> std::same_as<void>;
};

namespace uart {
inline constexpr u16 kCom1 = 0x3f8, kCom2 = 0x2f8, kCom3 = 0x3e8, kCom4 = 0x2e8;
// Register offsets (data sheet, table "Register Addresses"); the first two change meaning with LCR.DLAB.
inline constexpr u16 kData = 0, kInterruptEnable = 1, kFifoControl = 2, kInterruptId = 2, kLineControl = 3,
                     kModemControl = 4, kLineStatus = 5, kScratch = 7, kDivisorLow = 0, kDivisorHigh = 1;
inline constexpr u8 kLineControl8N1 = 0x03;
inline constexpr u8 kLineControlDivisorAccess = 0x80;
inline constexpr u8 kFifoEnableAndClear = 0x07;
inline constexpr u8 kModemDtrRtsOut2 = 0x0b;
using LineDataReady = Bits<0>;
using LineTransmitHoldingEmpty = Bits<5>;
using LineTransmitterEmpty = Bits<6>;
using InterruptIdFifos = Bits<7, 6>;
inline constexpr u32 kClockHz = 115200; ///< baud at divisor 1
} // namespace uart

/// One port. Not locked: the caller serialises.
template <UartPorts Ports>
class Uart16550 {
  public:
    constexpr Uart16550(Ports ports, u16 base) : ports_{ports}, base_{base} {}

    /// 8 bits, no parity, one stop bit, FIFOs on and empty, interrupts off.
    /// @param baud divides 115200.
    /// @return false when nothing answers there (the scratch register does not hold); other calls then do
    /// nothing useful.
    bool initialise(u32 baud) {
        write(uart::kScratch, 0x5a);
        bool const low = read(uart::kScratch) == 0x5a;
        write(uart::kScratch, 0xa5);
        if (!low || read(uart::kScratch) != 0xa5) {
            return false;
        }
        u32 const divisor = uart::kClockHz / baud;
        write(uart::kInterruptEnable, 0);
        write(uart::kLineControl, uart::kLineControlDivisorAccess);
        write(uart::kDivisorLow, static_cast<u8>(divisor));
        write(uart::kDivisorHigh, static_cast<u8>(divisor >> 8));
        write(uart::kLineControl, uart::kLineControl8N1);
        write(uart::kFifoControl, uart::kFifoEnableAndClear);
        write(uart::kModemControl, uart::kModemDtrRtsOut2);
        fifo_bytes_ = uart::InterruptIdFifos::get(read(uart::kInterruptId)) == 3 ? 16 : 1;
        return true;
    }

    /// Hands over as much of @p bytes as the transmitter takes without waiting: a FIFO full when it is empty,
    /// else nothing.
    /// @return how many were taken.
    usize write_some(std::span<u8 const> bytes) {
        if (uart::LineTransmitHoldingEmpty::get(read(uart::kLineStatus)) == 0) {
            return 0;
        }
        usize const count = bytes.size() < fifo_bytes_ ? bytes.size() : fifo_bytes_;
        for (usize i = 0; i < count; ++i) {
            write(uart::kData, bytes[i]);
        }
        return count;
    }
    /// The next byte received, if any.
    std::optional<u8> read_byte() {
        if (uart::LineDataReady::get(read(uart::kLineStatus)) == 0) {
            return std::nullopt;
        }
        return read(uart::kData);
    }
    /// Nothing left in the FIFO or the shift register.
    bool drained() { return uart::LineTransmitterEmpty::get(read(uart::kLineStatus)) != 0; }

  private:
    u8 read(u16 reg) { return ports_.in8(static_cast<u16>(base_ + reg)); }
    void write(u16 reg, u8 v) { ports_.out8(static_cast<u16>(base_ + reg), v); }

    Ports ports_;
    u16 base_;
    usize fifo_bytes_ = 1;
};
} // namespace drivers
