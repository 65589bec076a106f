// SPDX-License-Identifier: Apache-2.0
// The answer of a monitor command: lines, gathered into as few O packets as they fit, and the final OK.
#pragma once
#include "hv/base/format.hpp"
#include "hv/gdb/packet_writer.hpp"
#include "hv/gdb/target.hpp"

namespace hv::gdb {
class MonitorOutput final : public LineSink {
  public:
    explicit MonitorOutput(PacketWriter& out) : out_{out} {}
    void line(std::string_view text) override;
    /// Lines with their ends.
    void text(std::string_view lines);
    /// A line as format() makes it, up to 200 characters.
    template <class... Args>
    [[gnu::always_inline]] void say(char const* pattern, Args const&... args) {
        put_formatted(pattern, FormatPack{args...});
    }
    /// The text so far goes out, the command goes on.
    void flush();
    void done();

  private:
    void put_formatted(char const* pattern, FormatArgs args);
    bool make_room(usize bytes);
    PacketWriter& out_;
    bool open_ = false, lost_ = false;
};
} // namespace hv::gdb
