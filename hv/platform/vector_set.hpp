// SPDX-License-Identifier: Apache-2.0
// A set of the 256 interrupt vectors whose highest member is found in a few instructions: four words, and a
// summary that says which of them are not zero.
#pragma once
#include "hv/base/types.hpp"

namespace hv::platform {
namespace detail {
constexpr int highest_bit(u64 nonzero) {
    return 63 - __builtin_clzll(nonzero);
}
} // namespace detail

/// Owned by one processor (ISR).
class VectorSet {
  public:
    void set(u8 vector) {
        words_[vector >> 6] |= 1ull << (vector & 63);
        summary_ |= 1u << (vector >> 6);
    }
    void clear(u8 vector) {
        u64 const left = words_[vector >> 6] &= ~(1ull << (vector & 63));
        if (left == 0) {
            summary_ &= ~(1u << (vector >> 6));
        }
    }
    bool test(u8 vector) const { return (words_[vector >> 6] >> (vector & 63) & 1) != 0; }
    /// The highest vector, or -1.
    int highest() const {
        if (summary_ == 0) {
            return -1;
        }
        int const word = detail::highest_bit(summary_);
        return word * 64 + detail::highest_bit(words_[word]);
    }
    /// Vectors 32 × @p index … + 31, as the APIC's 32-bit registers show them.
    u32 register32(unsigned index) const { return static_cast<u32>(words_[index / 2] >> (index % 2 * 32)); }
    void clear_all() { *this = {}; }

  private:
    u64 words_[4] = {};
    u32 summary_ = 0;
};

/// Any processor may set (IRR, TMR); only the owner clears and asks for the highest.
/// A setter writes the word before the summary, and the owner, having cleared a summary bit, looks at the
/// word once more: so a set bit is never without its summary bit for longer than set() takes.
class AtomicVectorSet {
  public:
    /// @return whether it was clear before.
    bool set(u8 vector) {
        u64 const bit = 1ull << (vector & 63);
        u64 const before = __atomic_fetch_or(&words_[vector >> 6], bit, __ATOMIC_SEQ_CST);
        __atomic_fetch_or(&summary_, 1u << (vector >> 6), __ATOMIC_SEQ_CST);
        return (before & bit) == 0;
    }
    void clear(u8 vector) {
        unsigned const word = vector >> 6;
        if (__atomic_and_fetch(&words_[word], ~(1ull << (vector & 63)), __ATOMIC_SEQ_CST) != 0) {
            return;
        }
        __atomic_fetch_and(&summary_, ~(1u << word), __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&words_[word], __ATOMIC_SEQ_CST) != 0) {
            __atomic_fetch_or(&summary_, 1u << word, __ATOMIC_SEQ_CST);
        }
    }
    bool test(u8 vector) const {
        return (__atomic_load_n(&words_[vector >> 6], __ATOMIC_RELAXED) >> (vector & 63) & 1) != 0;
    }
    int highest() const {
        u32 summary = __atomic_load_n(&summary_, __ATOMIC_ACQUIRE);
        while (summary != 0) {
            int const word = detail::highest_bit(summary);
            if (u64 const bits = __atomic_load_n(&words_[word], __ATOMIC_RELAXED); bits != 0) {
                return word * 64 + detail::highest_bit(bits);
            }
            summary &= ~(1u << word);
        }
        return -1;
    }
    u32 register32(unsigned index) const {
        return static_cast<u32>(__atomic_load_n(&words_[index / 2], __ATOMIC_RELAXED) >> (index % 2 * 32));
    }
    /// Owner only, with no setter at work that must not be lost.
    void clear_all() {
        for (unsigned word = 0; word < 4; ++word) {
            __atomic_store_n(&words_[word], 0, __ATOMIC_SEQ_CST);
        }
        __atomic_store_n(&summary_, 0, __ATOMIC_SEQ_CST);
    }

  private:
    u64 words_[4] = {};
    u32 summary_ = 0;
};
} // namespace hv::platform
