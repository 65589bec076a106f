// SPDX-License-Identifier: Apache-2.0
// Builds tables and files byte by byte for the loader's tests.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

class Bytes {
  public:
    Bytes& u8(std::uint64_t value) { return little_endian(value, 1); }
    Bytes& u16(std::uint64_t value) { return little_endian(value, 2); }
    Bytes& u32(std::uint64_t value) { return little_endian(value, 4); }
    Bytes& u64(std::uint64_t value) { return little_endian(value, 8); }
    Bytes& zeros(std::size_t count) {
        data_.resize(data_.size() + count);
        return *this;
    }
    Bytes& text(std::string_view letters) {
        for (char const c : letters)
            u8(static_cast<std::uint8_t>(c));
        return *this;
    }
    Bytes& append(Bytes const& other) {
        data_.insert(data_.end(), other.data_.begin(), other.data_.end());
        return *this;
    }
    void set_u8(std::size_t offset, std::uint8_t value) { data_.at(offset) = std::byte{value}; }
    void set_u32(std::size_t offset, std::uint32_t value) {
        for (std::size_t i = 0; i < 4; i++)
            set_u8(offset + i, static_cast<std::uint8_t>(value >> (8 * i)));
    }
    void set_u64(std::size_t offset, std::uint64_t value) {
        set_u32(offset, static_cast<std::uint32_t>(value));
        set_u32(offset + 4, static_cast<std::uint32_t>(value >> 32));
    }

    /// Makes the bytes [0, count) sum to zero by changing the one at `offset`.
    void fix_checksum(std::size_t offset, std::size_t count) {
        set_u8(offset, 0);
        std::uint8_t sum = 0;
        for (std::size_t i = 0; i < count; i++)
            sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(data_.at(i)));
        set_u8(offset, static_cast<std::uint8_t>(-sum));
    }

    std::size_t size() const { return data_.size(); }
    std::vector<std::byte>& data() { return data_; }
    std::span<std::byte const> span() const { return data_; }

  private:
    Bytes& little_endian(std::uint64_t value, int bytes) {
        for (int i = 0; i < bytes; i++)
            data_.push_back(std::byte{static_cast<std::uint8_t>(value >> (8 * i))});
        return *this;
    }

    std::vector<std::byte> data_;
};

/// An ACPI table with a right length and checksum around `body`.
inline Bytes acpi_table_of(std::string_view signature, Bytes const& body) {
    Bytes table;
    table.text(signature).u32(36 + body.size()).zeros(28).append(body);
    table.fix_checksum(9, table.size());
    return table;
}
