// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/serial.hpp"

#include "boot/efi/cpu_ops.hpp"

namespace ballast::loader {
namespace {
// PC16550D data sheet, table "Register addresses" and "Summary of registers".
constexpr std::uint16_t kCom1 = 0x3f8;
constexpr std::uint16_t kData = kCom1 + 0; // divisor low while DLAB is set
constexpr std::uint16_t kInterruptEnable = kCom1 + 1;
constexpr std::uint16_t kFifoControl = kCom1 + 2;
constexpr std::uint16_t kLineControl = kCom1 + 3;
constexpr std::uint16_t kModemControl = kCom1 + 4;
constexpr std::uint16_t kLineStatus = kCom1 + 5;
constexpr std::uint8_t kDivisorLatch = 0x80;
constexpr std::uint8_t k8N1 = 0x03;
constexpr std::uint8_t kFifoEnableAndClear = 0x07;
constexpr std::uint8_t kDtrRts = 0x03;
constexpr std::uint8_t kHoldingEmpty = 0x20;
constexpr std::uint8_t kTransmitterEmpty = 0x40;
constexpr std::uint8_t kDivisor115200 = 1;

/// A character takes 87 us at 115200; a port read about 1 us. A UART that is stuck must not stop the
/// machine's start.
constexpr unsigned kMaxPolls = 100'000;

void wait_for(std::uint8_t status) {
    for (unsigned polls = 0; polls < kMaxPolls && (in8(kLineStatus) & status) == 0; polls++)
        pause();
}
} // namespace

void Serial::open() {
    drain(); // firmware may still be printing through the same UART
    out8(kInterruptEnable, 0);
    out8(kLineControl, kDivisorLatch);
    out8(kData, kDivisor115200);
    out8(kInterruptEnable, 0); // divisor high
    out8(kLineControl, k8N1);
    out8(kFifoControl, kFifoEnableAndClear);
    out8(kModemControl, kDtrRts);
}

void Serial::write(std::string_view text) {
    for (char const c : text) {
        wait_for(kHoldingEmpty);
        out8(kData, static_cast<std::uint8_t>(c));
    }
}

void Serial::drain() {
    wait_for(kTransmitterEmpty);
}
} // namespace ballast::loader
