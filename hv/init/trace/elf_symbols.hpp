// SPDX-License-Identifier: Apache-2.0
// Names for code addresses, read from the symbol table of hv.elf as the loader left the file in memory. Used
// while something is badly wrong, so nothing is trusted: every offset is checked, nothing is changed, nothing
// allocated.
#pragma once
#include "hv/base/result.hpp"
#include "hv/base/types.hpp"
#include <optional>
#include <span>
#include <string_view>

namespace hv::init {
enum class SymbolError : u8 { NotElf64, BadSectionTable, NoSymbols };

struct Symbol {
    std::string_view name; ///< as the compiler wrote it (mangled); lies in the file
    u64 offset_bytes;      ///< of the address looked up, from the symbol's start
};

class ElfSymbols {
  public:
    /// An empty table: finds nothing.
    constexpr ElfSymbols() = default;
    /// Finds .symtab and its strings. @p file must stay where it is. Source: System V ABI, "Sections" and
    /// "Symbol Table".
    static Result<ElfSymbols, SymbolError> parse(std::span<u8 const> file);

    /// The function or object that holds @p address: the nearest symbol at or below it whose size reaches it,
    /// or which has none (assembly labels). Linear: a few thousand symbols a call.
    std::optional<Symbol> find(u64 address) const;
    usize count() const;

  private:
    std::span<u8 const> symbols_;
    std::span<u8 const> strings_;
};
} // namespace hv::init
