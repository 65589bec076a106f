// SPDX-License-Identifier: Apache-2.0
// Where a guest's serial output goes.
#pragma once
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::platform {
class SerialSink {
  public:
    virtual ~SerialSink() = default;
    /// One transmitted byte. Must not block.
    virtual void put(u8 byte) = 0;
};

/// Collects a guest's output into lines. What a line means to people (which partition, which log) is the
/// taker's business.
class LineCollector final : public SerialSink {
  public:
    /// Takes one line without its end. @p context is what the collector was made with.
    using Taker = void (*)(void* context, std::string_view line);

    LineCollector(Taker taker, void* context) : taker_{taker}, context_{context} {}

    /// Newline ends a line; carriage returns are dropped; other control characters but tab and escape become
    /// '?'; a line longer than the buffer is handed over in pieces.
    void put(u8 byte) override;
    /// Hands over what has no newline yet (the guest stopped, or waits at a prompt).
    void flush();
    bool empty() const { return used_ == 0; }

  private:
    static constexpr usize kLineBytes = 256;
    Taker taker_;
    void* context_;
    char line_[kLineBytes];
    usize used_ = 0;
};
} // namespace hv::platform
