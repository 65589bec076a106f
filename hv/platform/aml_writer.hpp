// SPDX-License-Identifier: Apache-2.0
// Just enough AML to describe a few devices. Blocks are objects: the package length is filled in when one
// goes out of scope.
#pragma once
#include "hv/platform/byte_writer.hpp"

namespace hv::platform {
/// Source: ACPI 6.4, chapter 20 "ACPI Machine Language (AML) specification".
class AmlWriter {
  public:
    explicit AmlWriter(ByteWriter& out) : out_{out} {}

    /// A term with a package length. Its contents, without the length itself, must stay below 4093 bytes.
    class [[nodiscard]] Block {
      public:
        Block(Block const&) = delete;
        Block& operator=(Block const&) = delete;
        ~Block();

      private:
        friend AmlWriter;
        /// Opens the block and writes what comes first in it.
        Block(ByteWriter& out, std::string_view head);
        ByteWriter& out_;
        usize start_;
    };

    /// Scope: one segment below the root, written out ("\\_SB_").
    Block scope(std::string_view rooted_name);
    /// Device (SEGM)
    Block device(std::string_view segment);
    /// Package () of @p elements that follow.
    Block package(u8 elements);

    /// Name (SEGM, …): the value follows, or is given.
    void name(std::string_view segment);
    void name(std::string_view segment, u64 value) {
        name(segment);
        integer(value);
    }
    void name(std::string_view segment, std::string_view value) {
        name(segment);
        string(value);
    }
    void integer(u64);
    void string(std::string_view ascii);
    /// The compressed form of a PNP identifier such as "PNP0501".
    void eisa_id(std::string_view id);
    /// Buffer () with a resource template already encoded (ResourceWriter).
    void buffer(std::span<u8 const>);

  private:
    void segment(std::string_view);
    ByteWriter& out_;
};

/// Resource descriptors for _CRS. Source: ACPI 6.4, section 6.4 "Resource data types for ACPI".
class ResourceWriter {
  public:
    void io(u16 port, u8 count);
    void irq(u8 number); ///< edge, active high, exclusive
    /// Memory window handed down to children.
    void memory_window32(u32 base, u32 bytes);
    void memory_window64(u64 base, u64 bytes);
    /// Adds the end tag; nothing may follow.
    std::span<u8 const> finish();

  private:
    u8 space_[128] = {};
    ByteWriter out_{space_};
};
} // namespace hv::platform
