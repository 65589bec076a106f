// SPDX-License-Identifier: Apache-2.0
// The page that is being stepped through, remembered with the page-table entries that lead to it: as long as
// those say the same, the next instruction's bytes are one copy away and no walk. For machines where every
// step has to look at its instruction.
#pragma once
#include "hv/core/decode/code_fetch.hpp"
#include "hv/core/virt_backend.hpp"
#include "hv/mm/guest_memory.hpp"

namespace hv::partition {
/// On the partition's CPU. 4-level paging in 64-bit code only; everything else is fetched as ever.
class CodeWindow {
  public:
    /// decode::kMaxInstructionBytes at RIP, in place. @return nullptr: fetch them by decode::fetch_code()
    u8 const* at_rip(VirtVcpu& hw, mm::GuestMemory& memory);
    /// The same as a copy. @return false where that has none
    bool fetch(VirtVcpu& hw, mm::GuestMemory& memory, decode::Code& code);
    void forget() { entries_ = 0; }

  private:
    static constexpr unsigned kLevels = 4;
    bool open(u64 cr3, mm::GuestMemory& memory, u64 page);
    bool holds(u64 cr3, mm::GuestMemory const& memory, u64 page) const;

    unsigned entries_ = 0; ///< 0: nothing remembered
    u64 page_ = 0;         ///< linear
    u64 cr3_ = 0;
    u64 generation_ = 0;          ///< of the nested map: the pointers below are good while it stands
    u64 const* entry_[kLevels]{}; ///< in the guest's tables, from the top
    u64 value_[kLevels]{};
    u8 const* bytes_ = nullptr; ///< of the page
};
} // namespace hv::partition
