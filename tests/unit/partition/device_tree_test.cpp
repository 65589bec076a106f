// SPDX-License-Identifier: Apache-2.0
// The reader of flattened device trees, on trees written word by word.
#include "hv/partition/device_tree.hpp"
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace hv;
using hv::partition::DeviceTree;
using Item = DeviceTree::Item;

namespace {
enum : u32 { kBegin = 1, kEnd = 2, kProp = 3, kNop = 4, kLast = 9 };

struct Tree {
    std::vector<u8> structure;
    std::string strings{"key\0other\0", 10};
    u32 version = 17;

    Tree& word(u32 v) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            structure.push_back(static_cast<u8>(v >> shift));
        }
        return *this;
    }
    Tree& text(std::string const& t) {
        structure.insert(structure.end(), t.begin(), t.end());
        do {
            structure.push_back(0);
        } while (structure.size() % 4 != 0);
        return *this;
    }
    Tree& begin(std::string const& name) { return word(kBegin).text(name); }
    std::vector<u8> blob() const {
        Tree header;
        u32 const bytes = static_cast<u32>(structure.size()), names = static_cast<u32>(strings.size());
        // 40 bytes of header, an empty list of reserved memory (two 64-bit zeros), structure, strings
        for (u32 v :
             {0xd00d'feedu, 56 + bytes + names, 56u, 56 + bytes, 40u, version, 16u, 0u, names, bytes}) {
            header.word(v);
        }
        header.word(0).word(0).word(0).word(0);
        std::vector<u8> all = header.structure;
        all.insert(all.end(), structure.begin(), structure.end());
        all.insert(all.end(), strings.begin(), strings.end());
        return all;
    }
    bool whole() const { return DeviceTree{blob()}.whole(); }
};
} // namespace

TEST_CASE("items come in the order of the blob, with names and data", "[config]") {
    Tree tree;
    tree.word(kNop).begin("").word(kProp).word(5).word(4).word(0x61626364).word(0x6500'0000);
    tree.begin("child").word(kNop).word(kProp).word(0).word(0).word(kEnd).word(kEnd).word(kLast);
    auto const blob = tree.blob();
    DeviceTree in{blob};
    CHECK(in.whole());
    CHECK((in.item() == Item::Begin && in.name().empty()));
    in.advance();
    CHECK((in.item() == Item::Property && in.name() == "other" && in.data().size() == 5 &&
           in.data()[4] == 'e'));
    in.advance();
    CHECK((in.item() == Item::Begin && in.name() == "child"));
    in.advance();
    CHECK((in.item() == Item::Property && in.name() == "key" && in.data().empty()));
    for (Item const wanted : {Item::End, Item::End, Item::Finished, Item::Finished}) {
        in.advance();
        CHECK(in.item() == wanted);
    }
}

TEST_CASE("a tree that does not close, closes twice or has two roots is damaged", "[config]") {
    CHECK(Tree{}.begin("").word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kEnd).word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kEnd).begin("").word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("named").word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.word(kProp).word(0).word(0).begin("").word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(7).word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kEnd).whole());
}

TEST_CASE("lengths and names that reach outside their block are damage", "[config]") {
    CHECK_FALSE(Tree{}.begin("").word(kProp).word(4096).word(0).word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kProp).word(~0u).word(0).word(kEnd).word(kLast).whole());
    CHECK_FALSE(Tree{}.begin("").word(kProp).word(0).word(10).word(kEnd).word(kLast).whole());
    Tree unended;
    unended.strings = "key";
    CHECK_FALSE(unended.begin("").word(kProp).word(0).word(0).word(kEnd).word(kLast).whole());
    Tree old;
    old.version = 16;
    CHECK_FALSE(old.begin("").word(kEnd).word(kLast).whole());
}

TEST_CASE("a blob cut anywhere is damaged and nothing outside it is read", "[config]") {
    Tree tree;
    tree.begin("").word(kProp).word(4).word(0).word(1).word(kEnd).word(kLast);
    auto const blob = tree.blob();
    for (usize bytes = 0; bytes < blob.size(); ++bytes) {
        std::vector<u8> const cut(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(bytes));
        CHECK_FALSE(DeviceTree{cut}.whole());
    }
}
