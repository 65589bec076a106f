// SPDX-License-Identifier: Apache-2.0
// Guest memory as one flat buffer from address 0, with pages that can be taken away.
#pragma once
#include "hv/core/guest_access.hpp"
#include <algorithm>
#include <set>
#include <vector>

namespace hv::test {
class FlatGuestRam final : public GuestAccess {
  public:
    explicit FlatGuestRam(u64 pages) : bytes_(pages * kPageBytes) {}

    Result<void, GuestMemoryError> read(Gpa at, std::span<u8> to) override {
        return pieces(at, to.size(), [&](u8* ram, u64 offset, u64 n) { std::copy_n(ram, n, &to[offset]); });
    }
    Result<void, GuestMemoryError> write(Gpa at, std::span<u8 const> from) override {
        return pieces(at, from.size(),
                      [&](u8* ram, u64 offset, u64 n) { std::copy_n(&from[offset], n, ram); });
    }
    Result<u8*, GuestMemoryError> page(Gpa at) override {
        if (at.pfn() >= pages()) return Err{GuestMemoryError::NotRam};
        if (ballooned_.contains(at.pfn())) return Err{GuestMemoryError::Ballooned};
        return &bytes_[at.page().raw];
    }

    u64 pages() const { return bytes_.size() / kPageBytes; }
    /// What the guest itself sees, whoever else may look.
    u8* raw(Gpa at) { return &bytes_[at.raw]; }
    template <class T>
    T& at(u64 gpa) {
        return *reinterpret_cast<T*>(&bytes_[gpa]);
    }
    void balloon(u64 pfn) { ballooned_.insert(pfn); }
    void give_back(u64 pfn) { ballooned_.erase(pfn); }

  private:
    template <class Copy>
    Result<void, GuestMemoryError> pieces(Gpa at, u64 bytes, Copy copy) {
        for (u64 done = 0; done < bytes;) {
            Gpa const here = at + done;
            auto const ram = page(here);
            if (!ram.ok()) return Err{ram.error()};
            u64 const n = std::min(bytes - done, kPageBytes - here.page_offset());
            copy(ram.value() + here.page_offset(), done, n);
            done += n;
        }
        return {};
    }

    std::vector<u8> bytes_;
    std::set<u64> ballooned_;
};
} // namespace hv::test
