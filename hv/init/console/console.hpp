// SPDX-License-Identifier: Apache-2.0
// COM1 as everyone uses it: lines go into a ring and out as the port takes them; bytes that arrive become
// lines for one listener. Nothing here waits, but for the operator's own output, start-up and a panic.
#pragma once
#include "hv/base/format.hpp"
#include "hv/base/spin_lock.hpp"
#include "hv/init/console/line_editor.hpp"
#include "hv/init/console/output_ring.hpp"

namespace hv::init {
/// What a console needs of a port: Uart16550, or a fake.
template <class P>
concept ConsolePort = requires(P& p, std::span<u8 const> bytes) {
    { p.write_some(bytes) } -> std::same_as<usize>;
    { p.read_byte() } -> std::same_as<std::optional<u8>>;
    { p.drained() } -> std::same_as<bool>;
};

/// Any CPU may write lines; interrupts masked (no handler writes, so no lock is taken twice).
template <ConsolePort Port, usize RingBytes = 64 * KiB>
class Console {
  public:
    using LineHandler = void (*)(void* context, std::string_view line);

    constexpr explicit Console(Port port) : port_{port} {}
    Port& port() { return port_; }

    /// True: each line is out before write_line() returns. For start-up, when nobody polls yet.
    void set_synchronous(bool on) {
        synchronous_ = on;
        if (on) {
            drain();
        }
    }
    /// Shows typed characters to the one who types. Off at first: scripts do not want to see themselves.
    void set_echo(bool on) { echo_ = on; }
    /// Who gets the lines that arrive, from poll(). One listener.
    void on_line(LineHandler handler, void* context) { handler_ = handler, context_ = context; }

    /// One line: prefix, text, CR LF. Lost and counted when the ring is full; never waits, unless
    /// synchronous.
    void write_line(std::string_view prefix, std::string_view text) {
        bool drain_now = false;
        {
            Guard const guard{*this};
            tell_loss();
            put(prefix, text);
            drain_now = synchronous_;
        }
        if (drain_now) {
            drain();
        }
    }
    /// The same for what the operator asked for: waits for room instead of losing it. Not for guests' output,
    /// not on the way to a guest.
    void write_line_waiting(std::string_view prefix, std::string_view text) {
        usize const bytes = prefix.size() + text.size() + kEnd.size();
        for (;;) {
            {
                Guard const guard{*this};
                if (ring_.room() >= bytes + kLossLineBytes) {
                    break;
                }
                send_some();
            }
            __builtin_ia32_pause();
        }
        write_line(prefix, text);
    }

    /// Moves what the port takes now, and delivers what it received. Called from the housekeeping tick and
    /// the idle loop of one CPU. Bounded: at most kBytesPerPoll out and kBytesPerPoll in.
    /// @return whether output is still waiting, so come back soon.
    bool poll() {
        bool more;
        {
            Guard const guard{*this};
            usize sent = 0;
            for (usize n = send_some(); n != 0; n = send_some()) {
                sent += n;
                if (sent >= kBytesPerPoll) {
                    break;
                }
            }
            more = !ring_.empty();
        }
        for (usize i = 0; i < kBytesPerPoll; ++i) {
            std::optional<u8> const byte = port_.read_byte();
            if (!byte) {
                break;
            }
            receive(*byte);
        }
        return more;
    }

    /// Waits until everything has left the machine. A port that stays stuck for kDrainTries looks is given
    /// up.
    void drain() {
        for (u64 tries = 0; tries < kDrainTries; ++tries) {
            {
                Guard const guard{*this};
                if (send_some() != 0) {
                    tries = 0;
                }
                if (ring_.empty() && port_.drained()) {
                    return;
                }
            }
            __builtin_ia32_pause();
        }
    }

    /// For a panic: from here on no lock is taken (its owner may be the CPU that stopped) and every line is
    /// out at once.
    void seize() {
        seized_ = true;
        synchronous_ = true;
    }

    u64 lost_bytes() const { return ring_.lost_bytes(); }

  private:
    static constexpr std::string_view kEnd = "\r\n";
    static constexpr usize kLossLineBytes = 96; ///< room the line about lost bytes may take
    static constexpr usize kBytesPerPoll = 256;
    static constexpr u64 kDrainTries = 4'000'000;

    class Guard {
      public:
        explicit Guard(Console& c) : console_{c}, locked_{!c.seized_} {
            if (locked_) {
                console_.lock_.lock();
            }
        }
        ~Guard() {
            if (locked_) {
                console_.lock_.unlock();
            }
        }
        Guard(Guard const&) = delete;
        Guard& operator=(Guard const&) = delete;

      private:
        Console& console_;
        bool locked_;
    };

    bool put(std::string_view prefix, std::string_view text) {
        std::string_view const parts[] = {prefix, text, kEnd};
        return ring_.push(parts);
    }
    void tell_loss() {
        if (ring_.lost_bytes() == told_lost_ || ring_.room() < RingBytes / 4) {
            return;
        }
        char space[kLossLineBytes];
        TextBuffer line{space};
        format(line, "warning: console: {} bytes lost, the port is too slow",
               ring_.lost_bytes() - told_lost_);
        told_lost_ = ring_.lost_bytes();
        put("ballast: ", line.text());
    }
    usize send_some() {
        if (ring_.empty()) {
            return 0;
        }
        usize const sent = port_.write_some(ring_.front());
        ring_.pop(sent);
        return sent;
    }
    void receive(u8 byte) {
        std::optional<std::string_view> const line = editor_.put(byte);
        if (echo_ && !editor_.echo().empty()) {
            Guard const guard{*this};
            std::string_view const parts[] = {editor_.echo()};
            ring_.push(parts);
        }
        if (line && handler_ != nullptr) {
            handler_(context_, *line);
        }
    }

    Port port_;
    SpinLock lock_; ///< guards ring_, told_lost_ and the sending half of port_
    OutputRing<RingBytes> ring_;
    u64 told_lost_ = 0;
    LineEditor editor_;
    LineHandler handler_ = nullptr;
    void* context_ = nullptr;
    bool synchronous_ = false;
    bool echo_ = false;
    bool seized_ = false;
};
} // namespace hv::init
