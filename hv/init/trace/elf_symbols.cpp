// SPDX-License-Identifier: Apache-2.0
#include "hv/init/trace/elf_symbols.hpp"

namespace hv::init {
namespace {
// Offsets of the fields used, System V ABI: "ELF Header", "Sections", "Symbol Table" (ELF-64 object file
// format).
constexpr usize kHeaderBytes = 64, kSectionOffsetAt = 0x28, kSectionBytesAt = 0x3a, kSectionCountAt = 0x3c;
constexpr usize kSectionBytes = 64, kTypeAt = 4, kOffsetAt = 0x18, kSizeAt = 0x20, kLinkAt = 0x28;
constexpr usize kSymbolBytes = 24, kNameAt = 0, kInfoAt = 4, kSectionIndexAt = 6, kValueAt = 8,
                kSymbolSizeAt = 16;
constexpr u32 kSymbolTable = 2, kStringTable = 3;
constexpr u8 kNoType = 0, kObject = 1, kFunction = 2;

/// Little-endian field at @p at; the caller has checked that it lies inside.
template <class T>
T field(std::span<u8 const> bytes, usize at) {
    T v = 0;
    for (usize i = sizeof(T); i-- > 0;) {
        v = static_cast<T>(v << 8 | bytes[at + i]);
    }
    return v;
}
std::optional<std::span<u8 const>> part(std::span<u8 const> bytes, u64 at, u64 count) {
    if (at > bytes.size() || count > bytes.size() - at) {
        return std::nullopt;
    }
    return bytes.subspan(at, count);
}
} // namespace

Result<ElfSymbols, SymbolError> ElfSymbols::parse(std::span<u8 const> file) {
    constexpr u8 kIdent[] = {0x7f, 'E', 'L', 'F', 2, 1};
    if (file.size() < kHeaderBytes) {
        return Err{SymbolError::NotElf64};
    }
    for (usize i = 0; i < sizeof kIdent; ++i) {
        if (file[i] != kIdent[i]) {
            return Err{SymbolError::NotElf64};
        }
    }
    u64 const count = field<u16>(file, kSectionCountAt);
    auto const table = part(file, field<u64>(file, kSectionOffsetAt), count * kSectionBytes);
    if (!table || count == 0 || field<u16>(file, kSectionBytesAt) != kSectionBytes) {
        return Err{SymbolError::BadSectionTable};
    }
    for (usize i = 0; i < count; ++i) {
        auto const section = table->subspan(i * kSectionBytes, kSectionBytes);
        if (field<u32>(section, kTypeAt) != kSymbolTable) {
            continue;
        }
        u64 const link = field<u32>(section, kLinkAt);
        auto const symbols = part(file, field<u64>(section, kOffsetAt), field<u64>(section, kSizeAt));
        if (!symbols || link >= count) {
            return Err{SymbolError::BadSectionTable};
        }
        auto const names = table->subspan(link * kSectionBytes, kSectionBytes);
        auto const strings = part(file, field<u64>(names, kOffsetAt), field<u64>(names, kSizeAt));
        if (!strings || field<u32>(names, kTypeAt) != kStringTable) {
            return Err{SymbolError::BadSectionTable};
        }
        ElfSymbols result;
        result.symbols_ = *symbols;
        result.strings_ = *strings;
        return result;
    }
    return Err{SymbolError::NoSymbols};
}

usize ElfSymbols::count() const {
    return symbols_.size() / kSymbolBytes;
}

std::optional<Symbol> ElfSymbols::find(u64 address) const {
    std::optional<usize> best;
    u64 best_value = 0;
    bool best_is_function = false;
    for (usize at = 0; at + kSymbolBytes <= symbols_.size(); at += kSymbolBytes) {
        u8 const type = symbols_[at + kInfoAt] & 0xf;
        bool const is_function = type == kFunction;
        u64 const value = field<u64>(symbols_, at + kValueAt);
        u64 const size = field<u64>(symbols_, at + kSymbolSizeAt);
        bool const names_memory = is_function || type == kObject || type == kNoType;
        if (!names_memory || field<u16>(symbols_, at + kSectionIndexAt) == 0 || value > address ||
            (size != 0 && address - value >= size)) {
            continue;
        }
        if (!best || value > best_value || (value == best_value && is_function && !best_is_function)) {
            best = at;
            best_value = value;
            best_is_function = is_function;
        }
    }
    if (!best) {
        return std::nullopt;
    }
    u64 const name = field<u32>(symbols_, *best + kNameAt);
    if (name >= strings_.size()) {
        return std::nullopt;
    }
    usize end = name;
    while (end < strings_.size() && strings_[end] != 0) {
        ++end;
    }
    return Symbol{{reinterpret_cast<char const*>(strings_.data()) + name, end - name}, address - best_value};
}
} // namespace hv::init
