// SPDX-License-Identifier: Apache-2.0
// A flattened device tree read in place with libfdt, item by item, in the order of the blob: a node's
// properties, then its children. Source: Devicetree Specification 0.4, "Flattened Devicetree (DTB) Format".
#pragma once
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::partition {
class DeviceTree {
  public:
    enum class Item : u8 {
        Property,
        Begin, ///< of a node
        End,   ///< of a node
        Finished,
        Damaged, ///< not a device tree of version 17, or torn; no further item comes
    };

    /// Stands on the first item, which is the root's Begin, or Damaged. The whole blob is checked; it
    /// outlives the reader, and so do the names and data that it returns. libfdt is compiled with SSE and a
    /// stack protector: only before any guest has run, and with FS at a readable canary.
    explicit DeviceTree(std::span<u8 const> blob);
    /// Whether the items from here on end with Finished.
    bool whole() const;

    Item item() const { return item_; }
    std::string_view name() const { return name_; }    ///< of a Property or Begin
    std::span<u8 const> data() const { return data_; } ///< of a Property
    void advance();

  private:
    Item read();

    void const* blob_;
    std::string_view strings_; ///< the block of property names
    int next_ = 0;             ///< offset of the next item in the structure block, as libfdt counts
    u32 depth_ = 0;
    bool rooted_ = false;
    Item item_ = Item::Damaged;
    std::string_view name_;
    std::span<u8 const> data_;
};

/// A big-endian number of four bytes.
inline u32 big_endian(std::span<u8 const, 4> bytes) {
    return static_cast<u32>(bytes[0]) << 24 | static_cast<u32>(bytes[1]) << 16 |
           static_cast<u32>(bytes[2]) << 8 | bytes[3];
}
} // namespace hv::partition
