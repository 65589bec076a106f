// SPDX-License-Identifier: Apache-2.0
// Guest memory that exists where the memory map says RAM, a page at a time, and knows when somebody writes
// elsewhere.
#pragma once
#include "hv/partition/loaders/loader.hpp"
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <vector>

namespace hv::test {
class SparseRam final : public GuestAccess {
  public:
    /// @param keep false: contents are dropped, only the addresses are judged
    explicit SparseRam(std::vector<partition::MemoryMapEntry> map, bool keep = true)
        : map_{std::move(map)}, keep_{keep} {}

    Result<void, GuestMemoryError> write(Gpa at, std::span<u8 const> from) override {
        bool const inside = std::any_of(map_.begin(), map_.end(), [&](partition::MemoryMapEntry const& e) {
            return e.type == 1 && at >= e.base && at - e.base <= e.bytes &&
                   from.size() <= e.bytes - (at - e.base);
        });
        if (!inside) {
            ++writes_outside;
            return Err{GuestMemoryError::NotRam};
        }
        written_bytes += from.size();
        if (fail_after-- == 0) {
            return Err{GuestMemoryError::OutOfFrames};
        }
        for (usize i = 0; keep_ && i < from.size(); ++i) {
            Gpa const here = at + i;
            pages_[here.pfn()][here.page_offset()] = from[i];
        }
        return {};
    }
    Result<void, GuestMemoryError> read(Gpa at, std::span<u8> to) override {
        for (usize i = 0; i < to.size(); ++i) {
            to[i] = byte(at.raw + i);
        }
        return {};
    }
    Result<u8*, GuestMemoryError> page(Gpa) override { return Err{GuestMemoryError::NotRam}; }

    /// Pages that nobody wrote hold rubbish: a loader must write every byte it means to be zero.
    u8 byte(u64 gpa) const {
        auto const page = pages_.find(gpa >> kPageShift);
        return page == pages_.end() ? 0xcc : page->second[gpa % kPageBytes];
    }
    template <class T>
    T get(u64 gpa) const {
        std::array<u8, sizeof(T)> bytes;
        for (usize i = 0; i < sizeof(T); ++i) {
            bytes[i] = byte(gpa + i);
        }
        return std::bit_cast<T>(bytes);
    }
    std::string text(u64 gpa) const {
        std::string all;
        for (; byte(gpa) != 0 && all.size() < 5000; ++gpa) {
            all.push_back(static_cast<char>(byte(gpa)));
        }
        return all;
    }
    bool holds(u64 gpa, std::span<u8 const> bytes) const {
        for (usize i = 0; i < bytes.size(); ++i) {
            if (byte(gpa + i) != bytes[i]) {
                return false;
            }
        }
        return true;
    }
    bool zero(u64 gpa, u64 bytes) const {
        for (u64 i = 0; i < bytes; ++i) {
            if (byte(gpa + i) != 0) {
                return false;
            }
        }
        return true;
    }

    u64 writes_outside = 0;
    u64 written_bytes = 0;
    u64 fail_after = ~0ull; ///< writes that succeed before one fails

  private:
    struct Page : std::array<u8, kPageBytes> {
        Page() { fill(0xcc); }
    };
    std::vector<partition::MemoryMapEntry> map_;
    bool keep_;
    std::map<u64, Page> pages_;
};
} // namespace hv::test
