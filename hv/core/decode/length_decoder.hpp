// SPDX-License-Identifier: Apache-2.0
// How long is the instruction that exited? For backends whose hardware does not tell. A kernel executes few
// distinct exiting instructions, so a small cache answers nearly always, within some 25 instructions.
//
// What a wrong answer could do. The length moves the guest's RIP and nothing else: the guest goes on at an
// address of its own, at its own privilege, as if it had jumped there. It never reaches the host's memory or
// decisions. Between the guest's own programs it must not matter either, so an entry is used only when
//   - linear RIP, CR3, CS and the kind of exit are the same,
//   - the partition's nested map has not lost a translation since (so the host pointer still is that page),
//   - the bytes in that page still are the ones that were decoded, and
//   - the instruction had no prefix: every compiler's CPUID is 2 bytes long, so even an entry that survived a
//     change of the guest's page tables (which we do not see) gives the right answer for ordinary code.
#pragma once
#include "hv/core/decode/code_fetch.hpp"

namespace hv::decode {
/// Where an instruction stands, as raw values that a backend has at hand: no view, no virtual call.
struct CodeAddress {
    u64 rip;
    u64 cr3;
    u32 cs; ///< selector | attributes << 16; only compared
    ExitKind kind;
    u64 generation; ///< NestedMap::generation() of the partition
};

/// The same, read through a view: for the slow path, so that both paths name a place alike.
inline CodeAddress code_address(CpuView& cpu, ExitKind kind, u64 generation) {
    Segment const cs = cpu.read(Seg::Cs);
    return {cpu.read(Reg::Rip), cpu.read(ControlReg::Cr3),
            cs.selector | static_cast<u32>(cs.attributes) << 16, kind, generation};
}

/// One per virtual processor (about 1 KiB).
class LengthDecoder {
  public:
    LengthDecoder() = default;
    LengthDecoder(LengthDecoder const&) = delete;
    LengthDecoder& operator=(LengthDecoder const&) = delete;

    /// @return the length in bytes, or 0 when it must be decoded. Any context.
    u8 cached(CodeAddress const& at) const {
        Entry const& e = entries_[slot(at)];
        if (e.rip != at.rip || e.cr3 != at.cr3 || e.tag != tag(at) || e.generation != at.generation) {
            return 0;
        }
        u64 now;
        __builtin_memcpy(&now, e.host, sizeof now);
        return ((now ^ e.bytes) & e.mask) == 0 ? e.length : 0;
    }

    /// The length of the instruction at RIP: from the cache, or decoded and remembered. Does not allocate.
    /// @return 1…15, or the fault that fetching or decoding it would have raised.
    Result<u8, EmulationFailure> length(CpuView& cpu, GuestAccess& memory, CodeAddress const& at) {
        if (u8 const known = cached(at); known != 0) {
            ++hits_;
            return known;
        }
        return decode(cpu, memory, at);
    }

    u64 hits() const { return hits_; }
    u64 misses() const { return misses_; }

  private:
    static constexpr unsigned kEntries = 16;
    struct Entry {
        u64 rip = 0;
        u64 cr3 = 0;
        u64 tag = ~0ull;
        u64 generation = 0;
        u8 const* host = nullptr; ///< 8 readable bytes at the instruction, in the direct map
        u64 bytes = 0;
        u64 mask = 0; ///< the bytes that belong to the instruction
        u8 length = 0;
    };
    static unsigned slot(CodeAddress const& at) { return static_cast<unsigned>(at.rip) % kEntries; }
    static u64 tag(CodeAddress const& at) { return at.cs | static_cast<u64>(at.kind) << 32; }
    Result<u8, EmulationFailure> decode(CpuView&, GuestAccess&, CodeAddress const&);
    void remember(GuestAccess&, CpuView&, CodeAddress const&, Code const&, u8 length);

    Entry entries_[kEntries];
    u64 hits_ = 0;
    u64 misses_ = 0;
};

/// Decodes the length of the instruction that @p code starts with, without any cache.
Result<u8, EmulationFailure> instruction_length(Code const& code);
} // namespace hv::decode
