// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/device_tree.hpp"
#include <libfdt.h>

namespace hv::partition {
DeviceTree::DeviceTree(std::span<u8 const> blob) : blob_{blob.data()} {
    constexpr u32 kVersion = 17;
    if (blob.size() < sizeof(fdt_header) || fdt_check_header(blob_) != 0 || fdt_version(blob_) < kVersion ||
        fdt_totalsize(blob_) > blob.size()) {
        return;
    }
    strings_ = {reinterpret_cast<char const*>(blob.data()) + fdt_off_dt_strings(blob_),
                fdt_size_dt_strings(blob_)};
    item_ = read();
    if (item_ != Item::Begin || !name_.empty()) {
        item_ = Item::Damaged;
    }
}

bool DeviceTree::whole() const {
    DeviceTree rest = *this;
    while (rest.item_ != Item::Damaged && rest.item_ != Item::Finished) {
        rest.advance();
    }
    return rest.item_ == Item::Finished;
}

void DeviceTree::advance() {
    if (item_ != Item::Damaged && item_ != Item::Finished) {
        item_ = read();
    }
}

DeviceTree::Item DeviceTree::read() {
    int at;
    u32 tag;
    do {
        at = next_;
        tag = fdt_next_tag(blob_, at, &next_); // has found room for all of the item
    } while (tag == FDT_NOP && next_ >= 0);
    if (next_ < 0) {
        return Item::Damaged;
    }
    void const* const item = fdt_offset_ptr(blob_, at, sizeof(fdt_node_header));
    switch (tag) {
    case FDT_BEGIN_NODE:
        if (depth_ == 0 && rooted_) {
            return Item::Damaged; // one root
        }
        name_ = static_cast<struct fdt_node_header const*>(item)->name;
        rooted_ = true;
        ++depth_;
        return Item::Begin;
    case FDT_PROP: {
        auto const* const property = static_cast<struct fdt_property const*>(item);
        u32 const bytes = fdt32_ld(&property->len), name = fdt32_ld(&property->nameoff);
        std::string_view const rest = name < strings_.size() ? strings_.substr(name) : std::string_view{};
        usize const end = rest.find('\0');
        // Debian 12's libfdt adds the length without looking whether that overflows.
        bool const fits = bytes <= fdt_size_dt_struct(blob_) &&
                          fdt_offset_ptr(blob_, at, sizeof(struct fdt_property) + bytes) != nullptr;
        if (depth_ == 0 || !fits || end == rest.npos) {
            return Item::Damaged;
        }
        name_ = rest.substr(0, end);
        data_ = {reinterpret_cast<u8 const*>(property->data), bytes};
        return Item::Property;
    }
    case FDT_END_NODE: return depth_-- == 0 ? Item::Damaged : Item::End;
    case FDT_END: return depth_ == 0 ? Item::Finished : Item::Damaged;
    default: return Item::Damaged;
    }
}
} // namespace hv::partition
