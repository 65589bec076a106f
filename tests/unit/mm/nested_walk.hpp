// SPDX-License-Identifier: Apache-2.0
// A second opinion: walks nested tables as the manuals say a processor does, from raw bits, and fails on what
// real hardware would call a misconfiguration.
#pragma once
#include "hv/core/access.hpp"
#include "hv/core/virt_backend.hpp"
#include <optional>
#include <stdexcept>

namespace hv::test {
struct Translation {
    u64 page; ///< host-physical, of the 4 KiB page
    u8 access;
    bool operator==(Translation const&) const = default;
};

/// SDM vol 3C, "EPT Translation Mechanism" and "EPT Misconfigurations".
struct EptRules {
    static bool present(u64 e) { return (e & 7) != 0; }
    static void check(u64 e, unsigned level, bool leaf) {
        bool const write_only = (e & 3) == 2;
        bool const bad = leaf ? ((e >> 3) & 7) != 6 : (e & 0xf8) != 0;
        if (write_only || bad || (level == 3 && leaf) || (e >> 62) != 0) {
            throw std::runtime_error{"EPT misconfiguration"};
        }
    }
    static u8 access(u64 e) { return e & 7; }
};
/// APM vol 2, "Nested Paging": every level is walked as a user access.
struct NptRules {
    static bool present(u64 e) { return (e & 1) != 0; }
    static void check(u64 e, unsigned level, bool leaf) {
        if ((e & 4) == 0 || (e & 0x18) != 0 || (level == 3 && leaf)) {
            throw std::runtime_error{"reserved or supervisor nested entry"};
        }
    }
    static u8 access(u64 e) { return static_cast<u8>(1 | ((e & 2) != 0 ? 2 : 0) | ((e >> 63) != 0 ? 0 : 4)); }
};

template <class Rules>
std::optional<Translation> walk(HostFrames const& frames, Hpa root, u64 gpa) {
    u64 at = root.raw;
    u8 access = 7;
    for (unsigned level = 4; level-- > 0;) {
        u64 const shift = 12 + 9 * level;
        u64 const e = static_cast<u64*>(frames.pointer(Hpa{at}))[(gpa >> shift) & 511];
        if (!Rules::present(e)) {
            return std::nullopt;
        }
        bool const leaf = level == 0 || (e & 0x80) != 0;
        Rules::check(e, level, leaf);
        access &= Rules::access(e);
        u64 const address = e & 0x000f'ffff'ffff'f000;
        if (leaf) {
            if ((address & ((1ull << shift) - 1)) != 0) {
                throw std::runtime_error{"misaligned leaf"};
            }
            return Translation{address + (gpa & ((1ull << shift) - 1) & ~0xfffull), access};
        }
        at = address;
    }
    return std::nullopt;
}
} // namespace hv::test
