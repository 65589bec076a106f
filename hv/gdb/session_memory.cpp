// SPDX-License-Identifier: Apache-2.0
// m, M, X: memory; Z, z: points and their conditions.
#include "hv/gdb/agent_registers.hpp"
#include "hv/gdb/session.hpp"

namespace hv::gdb {
namespace {
// gdb knows two hexadecimal digits as an error; which ones is for the reader of a log.
constexpr u8 kFault = 0x0e;   // EFAULT
constexpr u8 kInvalid = 0x16; // EINVAL
constexpr u8 kNoSpace = 0x1c; // ENOSPC
} // namespace

/// As much from the start as can be read.
void Session::read_memory(Scanner words) {
    u64 address = 0, bytes = 0;
    if (!words.number(address) || !words.eat(',') || !words.number(bytes)) return error();
    if (bytes > PacketWriter::kDataBytes / 2) bytes = PacketWriter::kDataBytes / 2;
    AddressSpace const space = physical_ ? AddressSpace::Physical : AddressSpace::Virtual;
    u8 chunk[256];
    u64 done = 0;
    out_.begin();
    while (reachable() && done < bytes) {
        usize const wanted = bytes - done < sizeof chunk ? bytes - done : sizeof chunk;
        usize const got = target_.read_memory(current_, vp_, space, address + done, {chunk, wanted});
        out_.hex({chunk, got});
        done += got;
        if (got != wanted) break;
    }
    if (done == 0) return error(kFault); // begins anew
    out_.end(true);
}

void Session::write_memory(Scanner words, bool binary) {
    u64 address = 0, bytes = 0;
    if (!words.number(address) || !words.eat(',') || !words.number(bytes) || !words.eat(':')) return error();
    std::string_view const rest = words.rest();
    if (bytes > PacketReader::kDataBytes || rest.size() != (binary ? bytes : bytes * 2))
        return error(kInvalid);
    if (!reachable()) return error();
    // The reader's buffer serves: two digits become a byte, further to the front.
    std::span<u8> const data = in_.packet().subspan(0, bytes);
    if (!binary) {
        for (u8& to : data) {
            if (!words.byte(to)) return error(kInvalid);
        }
    }
    std::span<u8 const> const from = binary ? in_.packet().last(bytes) : data;
    AddressSpace const space = physical_ ? AddressSpace::Physical : AddressSpace::Virtual;
    return bytes == 0 || target_.write_memory(current_, vp_, space, address, from) ? ok() : error(kFault);
}

/// type,address,kind[;conditions]. Inserting and removing can be repeated: gdb does. `z` of what is not there
/// is done already.
void Session::point(Scanner words, bool insert) {
    u64 type = 0, bytes = 0;
    PointSpec spec{};
    if (!words.number(type) || !words.eat(',') || !words.number(spec.address) || !words.eat(',') ||
        !words.number(bytes)) {
        return error(kInvalid);
    }
    if (type > static_cast<u64>(PointSpec::Kind::AccessWatch)) return unknown();
    spec.kind = static_cast<PointSpec::Kind>(type);
    if (spec.kind >= PointSpec::Kind::WriteWatch) spec.bytes = bytes;
    if (!reachable() || spec.bytes == 0) return error();
    if (!insert) {
        (void)target_.remove(current_, spec);
        return ok();
    }
    std::span<u8> const conditions = take_conditions(words);
    auto result = target_.insert(current_, spec, conditions);
    // gdb evaluates conditions once more itself.
    if (!result.ok() && !conditions.empty() && result.error() == PointError::Full) {
        auto plain = target_.insert(current_, spec, {});
        return plain.ok() ? ok() : error(kNoSpace);
    }
    if (result.ok()) return ok();
    if (result.error() == PointError::Full) return error(kNoSpace);
    // For want of read watchpoints gdb takes access ones and compares.
    return spec.kind == PointSpec::Kind::ReadWatch ? unknown() : error(kInvalid);
}

/// `;Xlen,hex…` lists without separators, rewritten in the reader's buffer, where they get shorter: two bytes
/// of length for at least three characters, a byte for two digits. @return empty when one of them cannot be
/// had, for then the point must be hit always
std::span<u8> Session::take_conditions(Scanner words) {
    u8* const out = in_.packet().data();
    usize used = 0;
    while (words.eat(';')) {
        while (words.eat('X')) { // cmds: are not advertised, and not looked at
            u64 bytes = 0;
            if (!words.number(bytes) || !words.eat(',') || bytes == 0 || bytes * 2 > words.rest().size())
                return {};
            usize const first = used + 2;
            out[used] = static_cast<u8>(bytes >> 8);
            out[used + 1] = static_cast<u8>(bytes);
            for (u64 i = 0; i < bytes; ++i) {
                if (!words.byte(out[first + i])) return {};
            }
            if (!name_registers(inferiors_[current_].layout, {out + first, bytes})) return {};
            used = first + bytes;
        }
    }
    return {out, used};
}
} // namespace hv::gdb
