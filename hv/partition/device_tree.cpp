// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/device_tree.hpp"

namespace hv::partition {
namespace {
constexpr u32 kMagic = 0xd00d'feed;
constexpr u32 kVersion = 17;
constexpr usize kHeaderBytes = 40;
enum Token : u32 { kBeginNode = 1, kEndNode = 2, kProperty = 3, kNop = 4, kEnd = 9 };

/// The part [offset, offset + bytes) of @p whole; empty if it does not lie inside.
std::span<u8 const> part(std::span<u8 const> whole, u64 offset, u64 bytes) {
    return offset <= whole.size() && bytes <= whole.size() - offset ? whole.subspan(offset, bytes)
                                                                    : std::span<u8 const>{};
}
u32 number_at(std::span<u8 const> block, u64 at) {
    std::span<u8 const> const bytes = part(block, at, 4);
    return bytes.empty() ? 0 : big_endian(bytes.first<4>());
}
/// The NUL-terminated text at @p at.
bool text_at(std::span<u8 const> block, u64 at, std::string_view& out) {
    if (at >= block.size()) {
        return false;
    }
    std::string_view const rest{reinterpret_cast<char const*>(block.data() + at), block.size() - at};
    out = rest.substr(0, rest.find('\0'));
    return out.size() != rest.size();
}
constexpr u64 aligned(u64 at) {
    return (at + 3) & ~3ull;
}
} // namespace

DeviceTree::DeviceTree(std::span<u8 const> blob) {
    // struct fdt_header: magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version,
    // last_comp_version, boot_cpuid_phys, size_dt_strings, size_dt_struct.
    std::span<u8 const> const whole = part(blob, 0, number_at(blob, 4));
    if (whole.size() < kHeaderBytes || number_at(whole, 0) != kMagic || number_at(whole, 20) < kVersion ||
        number_at(whole, 24) > kVersion) {
        return;
    }
    structure_ = part(whole, number_at(whole, 8), number_at(whole, 36));
    strings_ = part(whole, number_at(whole, 12), number_at(whole, 32));
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
    u32 token;
    do {
        token = number_at(structure_, at_);
        at_ += 4;
    } while (token == kNop);
    switch (token) {
    case kBeginNode:
        if ((depth_ == 0 && rooted_) || !text_at(structure_, at_, name_)) {
            return Item::Damaged; // one root
        }
        at_ = aligned(at_ + name_.size() + 1);
        rooted_ = true;
        ++depth_;
        return Item::Begin;
    case kProperty: {
        u32 const bytes = number_at(structure_, at_);
        data_ = part(structure_, at_ + 8, bytes);
        if (depth_ == 0 || data_.size() != bytes || at_ + 8 > structure_.size() ||
            !text_at(strings_, number_at(structure_, at_ + 4), name_)) {
            return Item::Damaged;
        }
        at_ = aligned(at_ + 8 + bytes);
        return Item::Property;
    }
    case kEndNode: return depth_-- == 0 ? Item::Damaged : Item::End;
    case kEnd: return depth_ == 0 ? Item::Finished : Item::Damaged;
    default: return Item::Damaged;
    }
}
} // namespace hv::partition
