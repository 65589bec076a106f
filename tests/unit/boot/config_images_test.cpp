// SPDX-License-Identifier: Apache-2.0
// Which files a configuration names, and what a wrong one is answered.
#include "boot/efi/config_images.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <libfdt.h>
#include <string>
#include <vector>

using namespace ballast::loader;

namespace {
using Tree = std::vector<std::byte>;

/// A tree with /host and, around `partitions`, /partitions.
Tree make_tree(std::function<void(void*)> const& partitions) {
    Tree tree(65536);
    void* const fdt = tree.data();
    REQUIRE(fdt_create(fdt, static_cast<int>(tree.size())) == 0);
    REQUIRE(fdt_finish_reservemap(fdt) == 0);
    fdt_begin_node(fdt, "");
    fdt_begin_node(fdt, "host");
    fdt_property_string(fdt, "kernel", "/not/a/partition");
    fdt_end_node(fdt);
    if (partitions) {
        fdt_begin_node(fdt, "partitions");
        partitions(fdt);
        fdt_end_node(fdt);
    }
    fdt_end_node(fdt);
    REQUIRE(fdt_finish(fdt) == 0);
    tree.resize(fdt_totalsize(fdt));
    return tree;
}

Tree one_property(char const* name, std::string const& bytes) {
    return make_tree([&](void* fdt) {
        fdt_begin_node(fdt, "web");
        fdt_property(fdt, name, bytes.data(), static_cast<int>(bytes.size()));
        fdt_end_node(fdt);
    });
}

/// What a one-property configuration is answered. It keeps the tree: `images` has views into it.
struct Answer {
    Answer(char const* name, std::string const& bytes)
        : tree(one_property(name, bytes)), error(collect_images(tree, images)) {}

    Tree tree;
    ConfigImages images;
    ConfigError error;
};
} // namespace

TEST_CASE("every path of every partition is named once", "[boot][config]") {
    Tree const tree = make_tree([](void* fdt) {
        fdt_begin_node(fdt, "web");
        fdt_property_string(fdt, "kernel", "/images/vmlinuz");
        fdt_property_string(fdt, "initrd", "/images/web.gz");
        fdt_property_string(fdt, "command-line", "console=ttyS0");
        fdt_end_node(fdt);
        fdt_begin_node(fdt, "suite");
        fdt_property_string(fdt, "kernel", "/images/suite");
        fdt_property(fdt, "modules", "/m/a\0/images/vmlinuz\0/m/b", 26);
        fdt_end_node(fdt);
        fdt_begin_node(fdt, "empty");
        fdt_end_node(fdt);
    });
    ConfigImages images;
    REQUIRE(collect_images(tree, images) == ConfigError::None);
    REQUIRE(images.count == 5);
    CHECK(images.paths[0] == "/images/vmlinuz");
    CHECK(images.paths[1] == "/images/web.gz");
    CHECK(images.paths[2] == "/images/suite");
    CHECK(images.paths[3] == "/m/a");
    CHECK(images.paths[4] == "/m/b");
}

TEST_CASE("a tree without partitions names nothing", "[boot][config]") {
    ConfigImages images;
    CHECK(collect_images(make_tree({}), images) == ConfigError::None);
    CHECK(images.count == 0);
}

TEST_CASE("a wrong path is answered with node, property and value", "[boot][config]") {
    SECTION("relative") {
        Answer const answer{"kernel", std::string{"vmlinuz\0", 8}};
        CHECK(answer.error == ConfigError::NotAPath);
        CHECK(answer.images.node == "web");
        CHECK(answer.images.property == "kernel");
        CHECK(answer.images.value == "vmlinuz");
    }
    SECTION("a directory") {
        CHECK(Answer("kernel", std::string{"/images/\0", 9}).error == ConfigError::NotAPath);
    }
    SECTION("blanks and backslashes") {
        CHECK(Answer("initrd", std::string{"/a b\0", 5}).error == ConfigError::NotAPath);
        CHECK(Answer("initrd", std::string{"/a\\b\0", 5}).error == ConfigError::NotAPath);
    }
    SECTION("an empty string in a list") {
        CHECK(Answer("modules", std::string{"/a\0\0", 4}).error == ConfigError::NotAPath);
    }
    SECTION("no value, no terminator") {
        CHECK(Answer("kernel", "").error == ConfigError::NotText);
        CHECK(Answer("modules", "/a").error == ConfigError::NotText);
    }
    SECTION("too long, by one character") {
        std::string const path = "/" + std::string(126, 'x');
        CHECK(Answer("kernel", path + std::string{"\0", 1}).error == ConfigError::None);
        CHECK(Answer("kernel", path + std::string{"x\0", 2}).error == ConfigError::PathTooLong);
    }
    SECTION("too many") {
        std::string list;
        for (int i = 0; i < 65; i++)
            list += "/m/" + std::to_string(i) + std::string{"\0", 1};
        Answer const answer{"modules", list};
        CHECK(answer.error == ConfigError::TooManyImages);
        CHECK(answer.images.value == "/m/64");
    }
}

TEST_CASE("a damaged tree is refused, not followed", "[boot][config]") {
    Tree const good = one_property("kernel", std::string{"/images/vmlinuz\0", 16});
    ConfigImages images;
    for (std::size_t length = 0; length < good.size(); length++) {
        Tree const part(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
        REQUIRE(collect_images(part, images) == ConfigError::Damaged);
    }
    for (std::size_t at = 0; at < good.size(); at++)
        for (int const bit : {0x01, 0x10, 0x80}) {
            Tree bad = good;
            bad[at] ^= static_cast<std::byte>(bit);
            (void)collect_images(bad, images); // ASan judges: any answer, no wild access
        }
}
