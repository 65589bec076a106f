// SPDX-License-Identifier: Apache-2.0
// The other end of a session's line: frames requests, and takes replies apart, strictly.
#pragma once
#include "hv/gdb/session.hpp"
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace hv::test {
inline u32 hex_digit_value(char c) {
    s32 const value = gdb::hex_value(static_cast<u8>(c));
    if (value < 0) throw std::runtime_error("not a digit");
    return static_cast<u32>(value);
}
inline std::string framed(std::string_view data) {
    u8 sum = 0;
    for (char c : data) {
        sum = static_cast<u8>(sum + static_cast<u8>(c));
    }
    std::string packet{"$"};
    packet.append(data);
    packet += '#';
    packet += gdb::kHexDigits[sum >> 4];
    packet += gdb::kHexDigits[sum & 15];
    return packet;
}
inline std::string hex_of(std::string_view text) {
    std::string out;
    for (char c : text) {
        out += gdb::kHexDigits[static_cast<u8>(c) >> 4];
        out += gdb::kHexDigits[c & 15];
    }
    return out;
}
inline std::string from_hex(std::string_view digits) {
    std::string out;
    for (usize i = 0; i + 1 < digits.size(); i += 2) {
        out += static_cast<char>(hex_digit_value(digits[i]) << 4 | hex_digit_value(digits[i + 1]));
    }
    return out;
}

/// What a line carried, as packets; throws where it is none.
class PacketParser {
  public:
    void take(std::span<u8 const> bytes) {
        for (u8 const byte : bytes) {
            take(static_cast<char>(byte));
        }
    }
    std::vector<std::string> packets; ///< with escapes and run lengths undone
    std::vector<std::string> notifications;
    u32 acks = 0, naks = 0;
    bool whole() const { return left_ == 0 && !inside_; }

  private:
    void take(char c) {
        if (left_ == 2) {
            digit_ = hex_digit_value(c);
            left_ = 1;
        } else if (left_ == 1) {
            left_ = 0;
            if ((digit_ << 4 | hex_digit_value(c)) != sum_) throw std::runtime_error("checksum");
            (notification_ ? notifications : packets).push_back(unpacked());
        } else if (!inside_) {
            if (c == '+') {
                ++acks;
            } else if (c == '-') {
                ++naks;
            } else if (c == '$' || c == '%') {
                inside_ = true, notification_ = c == '%', sum_ = 0, data_.clear();
            } else {
                throw std::runtime_error("noise");
            }
        } else if (c == '#') {
            inside_ = false, left_ = 2;
        } else if (c == '$') {
            throw std::runtime_error("$ inside");
        } else {
            sum_ = static_cast<u8>(sum_ + static_cast<u8>(c));
            data_ += c;
            if (data_.size() > gdb::PacketWriter::kDataBytes) throw std::runtime_error("too long");
        }
    }
    std::string unpacked() const {
        std::string out;
        for (usize i = 0; i < data_.size(); ++i) {
            if (data_[i] == '}') {
                out += static_cast<char>(data_.at(++i) ^ 0x20);
            } else if (data_[i] == '*') {
                int const n = data_.at(++i) - 29;
                if (out.empty() || n < 3 || n > 97) throw std::runtime_error("run length");
                out.append(static_cast<usize>(n), out.back());
            } else {
                out += data_[i];
            }
        }
        return out;
    }
    bool inside_ = false, notification_ = false;
    u32 left_ = 0, digit_ = 0;
    u8 sum_ = 0;
    std::string data_;
};

/// Speaks to one session, which stays in no-ack mode after connect().
class GdbClient {
  public:
    explicit GdbClient(gdb::Session& session) : session_{session} {}
    PacketParser line;
    bool acknowledge = true; ///< packets, until no-ack mode

    void send_raw(std::string_view bytes) {
        session_.receive({reinterpret_cast<u8 const*>(bytes.data()), bytes.size()});
        drain();
    }
    void send(std::string_view data) { send_raw(framed(data)); }
    /// Gives the machine time, and takes what there is.
    void wait(u32 looks = 1) {
        for (u32 i = 0; i < looks; ++i) {
            (void)session_.poll();
            drain();
        }
    }
    /// The packets since the last call.
    std::vector<std::string> taken() { return std::exchange(line.packets, {}); }
    /// The one reply, which may need some time; "(silence)" or "(several)" otherwise.
    std::string reply(u32 looks = 50) {
        for (u32 i = 0; i < looks && line.packets.empty(); ++i) {
            wait();
        }
        auto const all = taken();
        return all.empty() ? "(silence)" : all.size() == 1 ? all.front() : "(several)";
    }
    std::string ask(std::string_view data) {
        send(data);
        return reply();
    }
    /// The text of a monitor command.
    std::string monitor(std::string_view words) {
        send("qRcmd," + hex_of(words));
        for (u32 i = 0; i < 50 && (line.packets.empty() || line.packets.back().starts_with('O')) &&
                        (line.packets.empty() || line.packets.back() != "OK");
             ++i) {
            wait();
        }
        std::string text;
        for (auto const& packet : taken()) {
            if (packet == "OK") return text;
            if (!packet.starts_with('O')) return "(" + packet + ")";
            text += from_hex(std::string_view{packet}.substr(1));
        }
        return text + "(no end)";
    }
    /// A whole document, in pieces of @p bytes.
    std::string document(std::string_view object_and_annex, u32 bytes = 0x1000) {
        std::string text;
        for (;;) {
            char range[40];
            std::snprintf(range, sizeof range, ":%zx,%x", text.size(), bytes);
            std::string const piece = ask("qXfer:" + std::string{object_and_annex} + range);
            if (piece.empty() || (piece[0] != 'm' && piece[0] != 'l')) return piece;
            text += piece.substr(1);
            if (piece[0] == 'l') return text;
            if (piece.size() == 1) return "(no progress)";
        }
    }
    /// The notifications since the last call, after @p looks at the machine.
    std::vector<std::string> notifications(u32 looks = 5) {
        wait(looks);
        return std::exchange(line.notifications, {});
    }
    /// As gdb 13 does it. @return the answer to `?`
    std::string connect(bool non_stop = false) {
        send_raw("+");
        (void)ask("qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+;xmlRegisters=i386");
        (void)ask("vMustReplyEmpty");
        (void)ask("QStartNoAckMode");
        acknowledge = false;
        (void)ask("!");
        (void)ask("Hgp0.0");
        (void)document("features:read:target.xml");
        (void)ask(non_stop ? "QNonStop:1" : "QNonStop:0");
        return ask("?");
    }

  private:
    void drain() {
        for (auto out = session_.pending(); !out.empty(); out = session_.pending()) {
            auto const piece = out.first(out.size() < 16 ? out.size() : 16);
            usize const before = line.packets.size();
            line.take(piece);
            session_.sent(piece.size());
            if (acknowledge && line.packets.size() != before) session_.receive(std::span{&kPlus, 1});
        }
    }
    static constexpr u8 kPlus = '+';
    gdb::Session& session_;
};
} // namespace hv::test
