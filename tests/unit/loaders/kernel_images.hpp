// SPDX-License-Identifier: Apache-2.0
// Small kernel images of the three kinds, made by hand from the formats' specifications.
#pragma once
#include "hv/base/types.hpp"
#include <cstring>
#include <string>
#include <vector>

namespace hv::test {
using Image = std::vector<u8>;

template <class T>
void poke(Image& image, usize at, T value) {
    if (image.size() < at + sizeof value) {
        image.resize(at + sizeof value);
    }
    std::memcpy(image.data() + at, &value, sizeof value);
}
/// Bytes that are all different from their neighbours and from zero.
inline Image pattern(usize bytes, u8 seed) {
    Image image(bytes);
    for (usize i = 0; i < bytes; ++i) {
        image[i] = static_cast<u8>(1 + (i * 7 + seed) % 251);
    }
    return image;
}

/// A bzImage: 4 setup sectors and a payload. Source: Linux, Documentation/arch/x86/boot.rst.
struct BzImage {
    u32 init_bytes = 8 << 20, alignment = 2 << 20, initrd_max = 0x7fff'ffff, command_line_max = 2047;
    u16 version = 0x020f, xloadflags = 0x3;
    u8 setup_sectors = 4, header_length = 0x6a; ///< header ends at 0x202 + length
    usize payload_bytes = 10'000;
    u64 preferred = 16 << 20; ///< where it unpacks itself at the lowest

    static constexpr usize kSetupBytes = 5 * 512;
    Image make() const {
        Image image(kSetupBytes);
        poke<u8>(image, 0x1f1, setup_sectors);
        poke<u16>(image, 0x1fe, 0xaa55);
        poke<u8>(image, 0x200, 0xeb);
        poke<u8>(image, 0x201, header_length);
        poke<u32>(image, 0x202, 0x53726448);
        poke<u16>(image, 0x206, version);
        poke<u8>(image, 0x211, 1); // LOADED_HIGH
        poke<u32>(image, 0x214, 0x10'0000);
        poke<u32>(image, 0x22c, initrd_max);
        poke<u32>(image, 0x230, alignment);
        poke<u8>(image, 0x234, 1);
        poke<u16>(image, 0x236, xloadflags);
        poke<u32>(image, 0x238, command_line_max);
        poke<u64>(image, 0x258, preferred);
        poke<u32>(image, 0x260, init_bytes);
        Image const payload = pattern(payload_bytes, 3);
        image.insert(image.end(), payload.begin(), payload.end());
        return image;
    }
};

struct Segment64 {
    u64 physical, memory_bytes;
    Image bytes;
};

/// An ELF64 with a PVH note. Source: Xen, docs/misc/pvh.pandoc; ELF-64 Object File Format.
struct PvhImage {
    std::vector<Segment64> segments{{0x10'0000, 0x3000, pattern(0x1234, 5)},
                                    {0x20'0000, 0x1000, pattern(0x800, 9)}};
    u64 entry = 0x10'0040;
    bool with_note = true;
    bool wide_note = false;

    Image make() const {
        Image image(64);
        static constexpr u8 kIdent[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        std::memcpy(image.data(), kIdent, sizeof kIdent);
        poke<u16>(image, 16, 2);
        poke<u16>(image, 18, 62);
        poke<u32>(image, 20, 1);
        poke<u64>(image, 24, 0xffff'ffff'8100'0000); // the native entry: not ours
        poke<u64>(image, 32, 64);
        poke<u16>(image, 52, 64);
        poke<u16>(image, 54, 56);
        u16 const count = static_cast<u16>(segments.size() + (with_note ? 1 : 0));
        poke<u16>(image, 56, count);
        image.resize(64 + 56u * count);
        usize header = 64;
        for (Segment64 const& s : segments) {
            put_header(image, header, 1, s.physical, s.bytes.size(), s.memory_bytes);
            image.insert(image.end(), s.bytes.begin(), s.bytes.end());
            header += 56;
        }
        if (with_note) {
            Image notes;
            put_note(notes, {"GNU", 4}, 1, pattern(13, 1)); // others come first, of any length
            put_note(notes, {"Linux", 6}, 257, pattern(2, 3));
            put_note(notes, {"Xen", 4}, 6, pattern(8, 2));
            Image data;
            wide_note ? poke<u64>(data, 0, entry) : poke<u32>(data, 0, static_cast<u32>(entry));
            put_note(notes, {"Xen", 4}, 18, data);
            put_header(image, header, 4, 0, notes.size(), notes.size());
            image.insert(image.end(), notes.begin(), notes.end());
        }
        return image;
    }

  private:
    static void put_header(Image& image, usize at, u32 type, u64 physical, u64 file_bytes, u64 memory_bytes) {
        u64 const offset = image.size();
        poke<u32>(image, at, type);
        poke<u64>(image, at + 8, offset);
        poke<u64>(image, at + 16, physical + 0xffff'ffff'8000'0000);
        poke<u64>(image, at + 24, physical);
        poke<u64>(image, at + 32, file_bytes);
        poke<u64>(image, at + 40, memory_bytes);
    }
    static void put_note(Image& notes, std::string_view owner, u32 type, Image const& data) {
        usize const at = notes.size();
        poke<u32>(notes, at, static_cast<u32>(owner.size()));
        poke<u32>(notes, at + 4, static_cast<u32>(data.size()));
        poke<u32>(notes, at + 8, type);
        notes.insert(notes.end(), owner.begin(), owner.end());
        notes.resize((notes.size() + 3) / 4 * 4);
        notes.insert(notes.end(), data.begin(), data.end());
        notes.resize((notes.size() + 3) / 4 * 4);
    }
};

/// A multiboot 1 kernel, by the header's addresses or as ELF32. Source: Multiboot Specification 0.6.96.
struct MultibootImage {
    u32 flags = 0x3;
    bool addresses = false;
    u32 load = 0x10'0000, load_end = 0, bss_end = 0, entry = 0x10'0100, header_at = 64;
    Image body = pattern(0x2000, 11);
    u32 virtual_offset = 0; ///< ELF: linked that far above its physical addresses

    static constexpr u32 kElfHeaders = 52 + 2 * 32;
    Image make() const { return addresses ? make_flat() : make_elf(); }

  private:
    void put_header(Image& image, u32 at) const {
        u32 const all = flags | (addresses ? 1u << 16 : 0);
        poke<u32>(image, at, 0x1bad'b002);
        poke<u32>(image, at + 4, all);
        poke<u32>(image, at + 8, 0u - 0x1bad'b002u - all);
        if (addresses) {
            poke<u32>(image, at + 12, load + header_at);
            poke<u32>(image, at + 16, load);
            poke<u32>(image, at + 20, load_end);
            poke<u32>(image, at + 24, bss_end);
            poke<u32>(image, at + 28, entry);
        }
    }
    Image make_flat() const {
        Image image = body;
        put_header(image, header_at);
        return image;
    }
    Image make_elf() const {
        Image image(kElfHeaders);
        static constexpr u8 kIdent[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
        std::memcpy(image.data(), kIdent, sizeof kIdent);
        poke<u16>(image, 16, 2);
        poke<u16>(image, 18, 3);
        poke<u32>(image, 24, entry + virtual_offset);
        poke<u32>(image, 28, 52);
        poke<u16>(image, 40, 52);
        poke<u16>(image, 42, 32);
        poke<u16>(image, 44, 2);
        put_segment(image, 52, load, static_cast<u32>(body.size()), static_cast<u32>(body.size()) + 0x3000,
                    kElfHeaders);
        put_segment(image, 84, load + 0x10'0000, 0x100, 0x100, kElfHeaders);
        image.insert(image.end(), body.begin(), body.end());
        put_header(image, kElfHeaders + header_at);
        return image;
    }
    void put_segment(Image& image, usize at, u32 physical, u32 file, u32 memory, u32 offset) const {
        u32 const words[8] = {1, offset, physical + virtual_offset, physical, file, memory, 7, 0x1000};
        for (u32 i = 0; i < 8; ++i) {
            poke<u32>(image, at + 4 * i, words[i]);
        }
    }
};
} // namespace hv::test
