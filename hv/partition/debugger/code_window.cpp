// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/debugger/code_window.hpp"
#include "hv/base/bits.hpp"
#include <cstring>

namespace hv::partition {
namespace {
// SDM vol 3A, "4-Level Paging and 5-Level Paging".
constexpr u64 kPresent = 1, kLarge = 1u << 7;
using Address = Bits<51, 12>;
} // namespace

bool CodeWindow::holds(u64 cr3, mm::GuestMemory const& memory, u64 page) const {
    if (entries_ == 0 || page != page_ || cr3 != cr3_ || memory.map()->generation() != generation_) {
        return false;
    }
    for (unsigned i = 0; i < entries_; ++i) {
        if (__atomic_load_n(entry_[i], __ATOMIC_RELAXED) != value_[i]) {
            return false;
        }
    }
    return true;
}

bool CodeWindow::open(u64 cr3, mm::GuestMemory& memory, u64 page) {
    entries_ = 0;
    Gpa table{cr3 & Address::mask};
    unsigned count = 0;
    for (unsigned level = kLevels;; --level) {
        unsigned const shift = 12 + 9 * (level - 1);
        auto const at = memory.page(table);
        if (!at) {
            return false;
        }
        entry_[count] = reinterpret_cast<u64 const*>(at.value()) + (page >> shift & 511);
        u64 const entry = __atomic_load_n(entry_[count], __ATOMIC_RELAXED);
        value_[count++] = entry;
        bool const leaf = level == 1 || (entry & kLarge) != 0;
        if ((entry & kPresent) == 0 || (level == kLevels && leaf)) {
            return false;
        }
        u64 const below = (u64{1} << shift) - 1;
        table = Gpa{leaf ? (entry & Address::mask & ~below) | (page & below) : entry & Address::mask};
        if (leaf) {
            break;
        }
    }
    auto const code = memory.page(table);
    if (!code) {
        return false;
    }
    page_ = page;
    cr3_ = cr3;
    generation_ = memory.map()->generation();
    bytes_ = code.value();
    entries_ = count;
    return true;
}

u8 const* CodeWindow::at_rip(VirtVcpu& hw, mm::GuestMemory& memory) {
    u64 const rip = hw.read(Reg::Rip), offset = rip & (kPageBytes - 1);
    if (offset > kPageBytes - decode::kMaxInstructionBytes || !hw.in_64bit_code() ||
        (hw.read(ControlReg::Cr4) & cr4::kLa57) != 0) {
        return nullptr;
    }
    u64 const cr3 = hw.read(ControlReg::Cr3), page = rip - offset;
    return holds(cr3, memory, page) || open(cr3, memory, page) ? bytes_ + offset : nullptr;
}

bool CodeWindow::fetch(VirtVcpu& hw, mm::GuestMemory& memory, decode::Code& code) {
    u8 const* const bytes = at_rip(hw, memory);
    if (bytes == nullptr) {
        return false;
    }
    code.mode = {};
    code.linear = hw.read(Reg::Rip);
    code.count = sizeof code.bytes;
    std::memcpy(code.bytes, bytes, sizeof code.bytes);
    return true;
}
} // namespace hv::partition
