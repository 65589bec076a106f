// SPDX-License-Identifier: Apache-2.0
// The registers of a target description: their names, types, numbers and order. The description's text and
// the packets g, G, p, P and T are made from the same table.
#pragma once
#include "hv/base/types.hpp"
#include "hv/gdb/target.hpp"

namespace hv::gdb {
/// What gdb believes an inferior to be.
enum class Arch : u8 { X64, I386, I8086 };

/// One served description. gdb lays packets out by what it has read last, whatever the processor does now.
struct Layout {
    Arch arch = Arch::X64;
    bool avx = false;
    /// Whether gdb has a number for every address that code of this width can be at.
    constexpr bool expresses(u32 bits) const { return arch == Arch::X64 || bits != 64; }
    constexpr u32 word_bytes() const { return arch == Arch::X64 ? 8 : 4; }
    constexpr u32 code_bits() const { return arch == Arch::X64 ? 64 : arch == Arch::I386 ? 32 : 16; }
};

/// The features a description is made of, each with the types it uses.
enum class Feature : u8 { Core, Segments, System, Sse, Avx };

enum class RegisterType : u8 { Int, Code, Data, Eflags, Cr0, Cr4, Efer, Mxcsr, X87, Vector, Half };

/// Consecutive registers: "st" with 8 of them is st0 … st7.
struct RegisterEntry {
    char name[10];
    RegisterId first;
    RegisterType type = RegisterType::Int;
    u8 bytes = 0; ///< on the wire; 0: a word of the description
    u8 count = 1; ///< halved from 16 in the narrow descriptions
};

/// Entries numbered one after another.
struct RegisterBlock {
    Feature feature;
    u8 entries;
    RegisterEntry const* first;
};

/// Goes through a layout's registers by ascending number.
class RegisterCursor {
  public:
    /// At number 0.
    explicit RegisterCursor(Layout layout);
    bool valid() const { return block_ != kBlocks; }
    void next();

    u32 number() const { return number_; }
    RegisterId id() const { return static_cast<RegisterId>(static_cast<u32>(entry_->first) + index_); }
    RegisterEntry const& entry() const { return *entry_; }
    /// Among those of its entry.
    u32 index() const { return index_; }
    u32 wire_bytes() const { return entry_->bytes != 0 ? entry_->bytes : layout_.word_bytes(); }
    Feature feature() const;
    bool first_of_block() const { return block_entry_ == 0 && index_ == 0; }
    /// RIP and RSP are shown with their segment's base, so that gdb finds the memory; raw_ip and raw_sp,
    /// which are not among the general registers, are not.
    bool linear() const { return block_ == 0 && (id() == RegisterId::Rip || id() == RegisterId::Rsp); }
    /// g carries them: all but the floating-point and vector registers, which gdb asks for one by one.
    bool in_g() const { return block_ < kBlocksInG; }

    static constexpr u32 kBlocks = 6;
    static constexpr u32 kBlocksInG = 3;

  private:
    Layout layout_;
    RegisterEntry const* entry_ = nullptr;
    u32 block_ = 0, block_entry_ = 0, index_ = 0, number_ = 0;
};

/// @return a cursor at that register, or one that is not valid
RegisterCursor find_register(Layout layout, u64 number);

/// How many bytes the target gives for it.
u32 target_bytes(RegisterId id);
} // namespace hv::gdb
