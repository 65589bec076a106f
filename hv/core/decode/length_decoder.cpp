// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/length_decoder.hpp"
#include "hv/core/decode/zydis_decode.hpp"

namespace hv::decode {
namespace {
bool starts_with_prefix(Code const& code) {
    switch (code.bytes[0]) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return code.mode.code_bits == 64 && (code.bytes[0] & 0xf0) == 0x40; // REX
    }
}
} // namespace

Result<u8, EmulationFailure> instruction_length(Code const& code) {
    return decode_length(code);
}

Result<u8, EmulationFailure> LengthDecoder::decode(CpuView& cpu, GuestAccess& memory, CodeAddress const& at) {
    ++misses_;
    Code const code = HV_TRY(fetch_code(cpu, memory));
    u8 const length = HV_TRY(instruction_length(code));
    if (!starts_with_prefix(code) && length <= 8) {
        remember(memory, cpu, at, code, length);
    }
    return length;
}

void LengthDecoder::remember(GuestAccess& memory, CpuView& cpu, CodeAddress const& at, Code const& code,
                             u8 length) {
    u64 const offset = code.linear & (kPageBytes - 1);
    if (offset > kPageBytes - 8) {
        return; // cached() loads 8 bytes and must stay in the page
    }
    WalkIntent const intent{.access = Access::X, .set_accessed_dirty = false};
    auto const where = walk(memory, paging_state(cpu), code.linear, intent);
    if (!where.ok()) {
        return;
    }
    auto const page = memory.page(where.value().gpa);
    if (!page.ok()) {
        return;
    }
    Entry entry{.rip = at.rip,
                .cr3 = at.cr3,
                .tag = tag(at),
                .generation = at.generation,
                .host = page.value() + offset,
                .length = length};
    entry.mask = length == 8 ? ~0ull : (1ull << (8 * length)) - 1;
    // The bytes that were judged, not those in memory now.
    __builtin_memcpy(&entry.bytes, code.bytes, code.count < 8 ? code.count : 8);
    entries_[slot(at)] = entry;
}
} // namespace hv::decode
