// SPDX-License-Identifier: Apache-2.0
// g, G, p and P: registers as the description served last lays them out.
#include "hv/gdb/session.hpp"
#include <cstring>

namespace hv::gdb {
/// 0 where it cannot be read.
u64 Session::read_u64(RegisterId id) {
    u64 value = 0;
    u8* const bytes = reinterpret_cast<u8*>(&value);
    return target_.read_register(current_, vp_, id, {bytes, sizeof value}) ? value : 0;
}

/// What gdb must add to RIP or RSP to find the memory: in 64-bit code nothing.
u64 Session::segment_base(RegisterId id, u32 code_bits) {
    if (code_bits == 64) return 0;
    return read_u64(id == RegisterId::Rip ? RegisterId::CsBase : RegisterId::SsBase);
}

u64 Session::to_linear(RegisterId id, u64 raw, u32 code_bits) {
    if (code_bits == 64) return raw;
    if (id == RegisterId::Rsp && code_bits == 16) raw &= 0xffff; // the rest of ESP may be anything
    return static_cast<u32>(raw + segment_base(id, code_bits));
}

void Session::put_register(RegisterCursor const& r) {
    u8 bytes[16] = {};
    if (!standing() || !target_.read_register(current_, vp_, r.id(), {bytes, target_bytes(r.id())})) {
        for (u32 i = 0; i < r.wire_bytes(); ++i) {
            out_.put("xx");
        }
        return;
    }
    if (r.linear()) {
        u64 raw = 0;
        std::memcpy(&raw, bytes, sizeof raw);
        raw = to_linear(r.id(), raw, target_.code_bits(current_, vp_));
        std::memcpy(bytes, &raw, sizeof raw);
    }
    out_.hex({bytes, r.wire_bytes()});
}

/// Bytes that one side has more of than the other are 0.
bool Session::write_register(RegisterCursor const& r, Scanner& digits) {
    u8 bytes[16] = {};
    for (u32 i = 0; i < r.wire_bytes(); ++i) {
        if (!digits.byte(bytes[i]) || (i >= target_bytes(r.id()) && bytes[i] != 0)) return false;
    }
    if (r.linear()) {
        u64 value = 0;
        std::memcpy(&value, bytes, sizeof value);
        u32 const bits = target_.code_bits(current_, vp_);
        if (bits != 64) value = static_cast<u32>(value - segment_base(r.id(), bits));
        std::memcpy(bytes, &value, sizeof value);
    }
    return target_.write_register(current_, vp_, r.id(), {bytes, target_bytes(r.id())});
}

void Session::read_registers() {
    if (!standing()) return error();
    out_.begin();
    for (RegisterCursor r{inferiors_[current_].layout}; r.valid() && r.in_g(); r.next()) {
        put_register(r);
    }
    out_.end(true);
}

void Session::write_registers(Scanner digits) {
    if (!standing()) return error();
    for (RegisterCursor r{inferiors_[current_].layout}; r.valid() && !digits.at_end(); r.next()) {
        if (!write_register(r, digits)) return error();
    }
    ok();
}

void Session::read_one(Scanner words) {
    u64 number = 0;
    if (!words.number(number)) return error();
    RegisterCursor const r = find_register(inferiors_[current_].layout, number);
    if (!r.valid() || !standing()) return error();
    out_.begin();
    put_register(r);
    out_.end(true);
}

void Session::write_one(Scanner words) {
    u64 number = 0;
    if (!words.number(number) || !words.eat('=')) return error();
    RegisterCursor const r = find_register(inferiors_[current_].layout, number);
    if (!r.valid() || !standing() || words.rest().size() != r.wire_bytes() * 2) return error();
    return write_register(r, words) ? ok() : error();
}
} // namespace hv::gdb
