// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/aml_writer.hpp"
#include "hv/base/assert.hpp"

namespace hv::platform {
namespace {
// ACPI 6.4, "AML byte stream byte values".
constexpr u8 kZeroOp = 0x00, kOneOp = 0x01, kNameOp = 0x08, kBytePrefix = 0x0a, kWordPrefix = 0x0b,
             kDWordPrefix = 0x0c, kStringPrefix = 0x0d, kQWordPrefix = 0x0e, kScopeOp = 0x10,
             kBufferOp = 0x11, kPackageOp = 0x12, kRootChar = 0x5c, kExtOpPrefix = 0x5b, kDeviceOp = 0x82;
// ACPI 6.4, "Small resource data type" and "Large resource data type".
constexpr u8 kIrqDescriptor = 0x22, kIoDescriptor = 0x47, kEndTag = 0x79, kDWordAddress = 0x87,
             kQWordAddress = 0x8a;
constexpr u8 kMemoryRange = 0, kFixedBothEnds = 0x0c, kReadWriteCacheable = 0x03;
constexpr usize kLengthBytes = 2;
} // namespace

AmlWriter::Block::Block(ByteWriter& out, std::string_view head) : out_{out}, start_{out.at()} {
    out_.zeros(kLengthBytes);
    for (char c : head) {
        out_.put8(static_cast<u8>(c));
    }
}

AmlWriter::Block::~Block() {
    usize const length = out_.at() - start_; // includes itself
    HV_ASSERT(length < 4096);
    // Lead byte: bits 7:6 one more byte follows, bits 3:0 the low nibble.
    out_.patch8(start_, static_cast<u8>(0x40 | (length & 0xf)));
    out_.patch8(start_ + 1, static_cast<u8>(length >> 4));
}

void AmlWriter::segment(std::string_view name) {
    HV_ASSERT(name.size() == 4);
    out_.text(name, 4);
}

AmlWriter::Block AmlWriter::scope(std::string_view name) {
    HV_ASSERT(name.size() == 5 && name[0] == kRootChar);
    out_.put8(kScopeOp);
    return {out_, name};
}

AmlWriter::Block AmlWriter::device(std::string_view name) {
    HV_ASSERT(name.size() == 4);
    out_.put8(kExtOpPrefix);
    out_.put8(kDeviceOp);
    return {out_, name};
}

AmlWriter::Block AmlWriter::package(u8 elements) {
    out_.put8(kPackageOp);
    char const count = static_cast<char>(elements);
    return {out_, {&count, 1}};
}

void AmlWriter::name(std::string_view name) {
    out_.put8(kNameOp);
    segment(name);
}

void AmlWriter::integer(u64 value) {
    if (value <= 1) {
        out_.put8(value == 0 ? kZeroOp : kOneOp);
    } else if (value <= 0xff) {
        out_.put8(kBytePrefix);
        out_.put8(static_cast<u8>(value));
    } else if (value <= 0xffff) {
        out_.put8(kWordPrefix);
        out_.put16(static_cast<u16>(value));
    } else if (value <= 0xffff'ffff) {
        out_.put8(kDWordPrefix);
        out_.put32(static_cast<u32>(value));
    } else {
        out_.put8(kQWordPrefix);
        out_.put64(value);
    }
}

void AmlWriter::string(std::string_view ascii) {
    out_.put8(kStringPrefix);
    out_.text(ascii, ascii.size());
    out_.put8(0);
}

/// Source: ACPI 6.4, "EISAID (EISA ID string to integer conversion macro)": three letters of five bits, four
/// hexadecimal digits, most significant byte first.
void AmlWriter::eisa_id(std::string_view id) {
    HV_ASSERT(id.size() == 7);
    u32 packed = 0;
    for (usize i = 0; i < 3; ++i) {
        packed = packed << 5 | (static_cast<u32>(id[i]) - 0x40);
    }
    for (usize i = 3; i < 7; ++i) {
        packed = packed << 4 | static_cast<u32>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
    }
    out_.put8(kDWordPrefix);
    out_.put32(__builtin_bswap32(packed));
}

void AmlWriter::buffer(std::span<u8 const> bytes) {
    out_.put8(kBufferOp);
    Block const block{out_, {}};
    integer(bytes.size());
    for (u8 b : bytes) {
        out_.put8(b);
    }
}

void ResourceWriter::io(u16 port, u8 count) {
    out_.put8(kIoDescriptor);
    out_.put8(1); // decodes 16 address bits
    out_.put16(port);
    out_.put16(port);
    out_.put8(1);
    out_.put8(count);
}

void ResourceWriter::irq(u8 number) {
    out_.put8(kIrqDescriptor);
    out_.put16(static_cast<u16>(1u << number));
}

void ResourceWriter::memory_window32(u32 base, u32 bytes) {
    out_.put8(kDWordAddress);
    out_.put16(23);
    out_.put8(kMemoryRange);
    out_.put8(kFixedBothEnds);
    out_.put8(kReadWriteCacheable);
    out_.put32(0);
    out_.put32(base);
    out_.put32(base + bytes - 1);
    out_.put32(0);
    out_.put32(bytes);
}

void ResourceWriter::memory_window64(u64 base, u64 bytes) {
    out_.put8(kQWordAddress);
    out_.put16(43);
    out_.put8(kMemoryRange);
    out_.put8(kFixedBothEnds);
    out_.put8(kReadWriteCacheable);
    out_.put64(0);
    out_.put64(base);
    out_.put64(base + bytes - 1);
    out_.put64(0);
    out_.put64(bytes);
}

std::span<u8 const> ResourceWriter::finish() {
    out_.put8(kEndTag);
    out_.put8(0); // "checksum not given"
    HV_ASSERT(!out_.overflowed());
    return out_.written(0, out_.at());
}
} // namespace hv::platform
