// SPDX-License-Identifier: Apache-2.0
// What waits to go out of the serial port: a ring of bytes that takes whole lines or nothing, so a slow port
// loses lines and counts them, and never makes anyone wait.
#pragma once
#include "hv/base/types.hpp"
#include <array>
#include <span>
#include <string_view>

namespace hv::init {
/// @tparam Bytes capacity, a power of two. Not locked: the console serialises.
template <usize Bytes>
class OutputRing {
    static_assert((Bytes & (Bytes - 1)) == 0);

  public:
    static constexpr usize kCapacity = Bytes;

    usize used() const { return head_ - tail_; }
    usize room() const { return Bytes - used(); }
    bool empty() const { return head_ == tail_; }
    /// Bytes refused so far.
    u64 lost_bytes() const { return lost_; }

    /// Appends all parts in order, or, when they do not fit together, nothing.
    /// @return whether they were taken; if not they are counted as lost.
    bool push(std::span<std::string_view const> parts) {
        usize bytes = 0;
        for (std::string_view part : parts) {
            bytes += part.size();
        }
        if (bytes > room()) {
            lost_ += bytes;
            return false;
        }
        for (std::string_view part : parts) {
            for (char c : part) {
                data_[head_++ % Bytes] = static_cast<u8>(c);
            }
        }
        return true;
    }
    /// The oldest bytes that lie in one piece; empty only when the ring is.
    std::span<u8 const> front() const {
        usize const at = tail_ % Bytes;
        usize const piece = Bytes - at < used() ? Bytes - at : used();
        return std::span{data_}.subspan(at, piece);
    }
    /// Drops the @p count oldest bytes, at most used().
    void pop(usize count) { tail_ += count < used() ? count : used(); }

  private:
    std::array<u8, Bytes> data_{};
    usize head_ = 0; ///< bytes ever put in
    usize tail_ = 0; ///< bytes ever taken out
    u64 lost_ = 0;
};
} // namespace hv::init
