// SPDX-License-Identifier: Apache-2.0
// The piece of a document that one qXfer:…:read asks for. The document is written anew for each piece, and
// what lies outside is dropped.
#pragma once
#include "hv/base/format.hpp"
#include "hv/gdb/packet_writer.hpp"

namespace hv::gdb {
class DocumentWindow {
  public:
    /// Begins the reply. @param offset @param bytes of the piece; cut to what a packet takes
    DocumentWindow(PacketWriter& out, u64 offset, u64 bytes);
    /// Ends it.
    ~DocumentWindow();
    DocumentWindow(DocumentWindow const&) = delete;
    void put(std::string_view text);
    void put(char const* text);
    /// With `&` and `<` written as XML wants them.
    void put_escaped(std::string_view text);
    /// As format(), up to 200 characters.
    template <class... Args>
    [[gnu::always_inline]] void say(char const* pattern, Args const&... args) {
        put_formatted(pattern, FormatPack{args...});
    }

  private:
    void put_formatted(char const* pattern, FormatArgs args);
    PacketWriter& out_;
    u64 skip_, room_;
    bool more_ = false;
};
} // namespace hv::gdb
