// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/uart16550.hpp"

namespace hv::platform {
namespace {
// PC16550D datasheet, "Summary of registers".
constexpr u8 kIerData = 1, kIerTransmit = 2, kIerLine = 4, kIerModem = 8, kIerMask = 0x0f;
constexpr u8 kIirNone = 0x01, kIirModem = 0x00, kIirTransmit = 0x02, kIirData = 0x04, kIirLine = 0x06,
             kIirTimeout = 0x0c, kIirFifos = 0xc0;
constexpr u8 kFcrEnable = 1, kFcrClearReceive = 2;
constexpr u8 kLcrDivisor = 0x80;
constexpr u8 kMcrDtr = 1, kMcrRts = 2, kMcrOut1 = 4, kMcrOut2 = 8, kMcrLoop = 0x10, kMcrMask = 0x1f;
constexpr u8 kLsrData = 1, kLsrOverrun = 2, kLsrHoldingEmpty = 0x20, kLsrEmpty = 0x40;
constexpr u8 kMsrCts = 0x10, kMsrDsr = 0x20, kMsrRi = 0x40, kMsrDcd = 0x80;
constexpr u8 kTriggers[] = {1, 4, 8, 14};
} // namespace

void Uart16550::reset() {
    head_ = queued_ = 0;
    ier_ = lcr_ = mcr_ = scratch_ = divisor_high_ = modem_deltas_ = line_errors_ = 0;
    divisor_low_ = 12;
    trigger_ = 1;
    fifo_ = transmit_empty_pending_ = false;
    update_line();
}

u32 Uart16550::read(u16 port, u8) {
    return read_register(static_cast<u8>(port - first_port_));
}

void Uart16550::write(u16 port, u8, u32 value) {
    write_register(static_cast<u8>(port - first_port_), static_cast<u8>(value));
}

u8 Uart16550::read_register(u8 offset) {
    switch (offset) {
    case Data: return (lcr_ & kLcrDivisor) != 0 ? divisor_low_ : pop();
    case InterruptEnable: return (lcr_ & kLcrDivisor) != 0 ? divisor_high_ : ier_;
    case InterruptIdentity: {
        u8 const id = identify();
        if (id == kIirTransmit) { // reading it as the source clears it
            transmit_empty_pending_ = false;
            update_line();
        }
        return static_cast<u8>(id | (fifo_ ? kIirFifos : 0));
    }
    case LineControl: return lcr_;
    case ModemControl: return mcr_;
    case LineStatus: {
        u8 const status =
            static_cast<u8>(kLsrHoldingEmpty | kLsrEmpty | (queued_ != 0 ? kLsrData : 0) | line_errors_);
        line_errors_ = 0;
        update_line();
        return status;
    }
    case ModemStatus: {
        u8 const status = static_cast<u8>(modem_inputs() | modem_deltas_);
        modem_deltas_ = 0;
        update_line();
        return status;
    }
    case Scratch: return scratch_;
    default: return 0xff;
    }
}

void Uart16550::write_register(u8 offset, u8 value) {
    switch (offset) {
    case Data:
        if ((lcr_ & kLcrDivisor) != 0) {
            divisor_low_ = value;
        } else {
            transmit(value);
        }
        break;
    case InterruptEnable:
        if ((lcr_ & kLcrDivisor) != 0) {
            divisor_high_ = value;
            break;
        }
        // Enabling the transmit interrupt with an empty transmitter raises it: Linux's start of output.
        if ((value & kIerTransmit) != 0 && (ier_ & kIerTransmit) == 0) {
            transmit_empty_pending_ = true;
        }
        ier_ = value & kIerMask;
        update_line();
        break;
    case InterruptIdentity: write_fifo_control(value); break;
    case LineControl: lcr_ = value; break;
    case ModemControl: write_modem_control(value); break;
    case Scratch: scratch_ = value; break;
    default: break; // LSR and MSR are read-only
    }
}

void Uart16550::transmit(u8 byte) {
    // The holding register is full for an instant: the line drops and rises, which an edge pin needs.
    transmit_empty_pending_ = false;
    update_line();
    ++counters_.sent;
    if ((mcr_ & kMcrLoop) == 0) {
        sink_.put(byte);
    } else if (!push(byte)) {
        line_errors_ |= kLsrOverrun;
        ++counters_.overruns;
    }
    transmit_empty_pending_ = true;
    update_line();
}

void Uart16550::write_fifo_control(u8 value) {
    bool const enable = (value & kFcrEnable) != 0;
    if (enable != fifo_ || (enable && (value & kFcrClearReceive) != 0)) {
        head_ = queued_ = 0;
    }
    fifo_ = enable;
    trigger_ = enable ? kTriggers[value >> 6] : 1;
    update_line();
}

/// In loopback the outputs are wired to the inputs, otherwise a cable with everything ready is plugged in.
u8 Uart16550::modem_inputs() const {
    if ((mcr_ & kMcrLoop) == 0) {
        return kMsrCts | kMsrDsr | kMsrDcd;
    }
    return static_cast<u8>(((mcr_ & kMcrRts) != 0 ? kMsrCts : 0) | ((mcr_ & kMcrDtr) != 0 ? kMsrDsr : 0) |
                           ((mcr_ & kMcrOut1) != 0 ? kMsrRi : 0) | ((mcr_ & kMcrOut2) != 0 ? kMsrDcd : 0));
}

void Uart16550::write_modem_control(u8 value) {
    u8 const before = modem_inputs();
    mcr_ = value & kMcrMask;
    u8 const after = modem_inputs();
    // Delta bits sit four below their inputs; RI counts only when it ends.
    u8 const changed = static_cast<u8>((before ^ after) & ~(after & kMsrRi));
    modem_deltas_ = static_cast<u8>(modem_deltas_ | changed >> 4);
    update_line();
}

usize Uart16550::receive(std::span<u8 const> bytes) {
    usize taken = 0;
    while (taken < bytes.size() && push(bytes[taken])) {
        ++taken;
    }
    update_line();
    return taken;
}

bool Uart16550::push(u8 byte) {
    if (queued_ == kQueueBytes) {
        return false;
    }
    queue_[(head_ + queued_++) % kQueueBytes] = byte;
    ++counters_.received;
    return true;
}

u8 Uart16550::pop() {
    if (queued_ == 0) {
        return 0;
    }
    u8 const byte = queue_[head_];
    head_ = (head_ + 1) % kQueueBytes;
    --queued_;
    update_line();
    return byte;
}

/// The highest-priority interrupt that is enabled and present, as IIR shows it.
u8 Uart16550::identify() const {
    if ((ier_ & kIerLine) != 0 && line_errors_ != 0) {
        return kIirLine;
    }
    if ((ier_ & kIerData) != 0 && queued_ != 0) {
        return queued_ >= trigger_ ? kIirData : kIirTimeout;
    }
    if ((ier_ & kIerTransmit) != 0 && transmit_empty_pending_) {
        return kIirTransmit;
    }
    if ((ier_ & kIerModem) != 0 && modem_deltas_ != 0) {
        return kIirModem;
    }
    return kIirNone;
}

/// OUT2 gates the interrupt output on every PC, and loopback disconnects it.
void Uart16550::update_line() {
    bool const wanted = identify() != kIirNone && (mcr_ & (kMcrOut2 | kMcrLoop)) == kMcrOut2;
    if (wanted != asserted_) {
        asserted_ = wanted;
        line_.set(wanted);
    }
}
} // namespace hv::platform
