// SPDX-License-Identifier: Apache-2.0
// Device trees for tests: nodes as values, written with libfdt, or a text through the real compiler.
#pragma once
#include "hv/base/types.hpp"
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <libfdt.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace hv::test {
using Blob = std::vector<u8>;

struct Property {
    std::string key, bytes;
};
inline Property cell(std::string key, u32 value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<char>(value >> shift));
    }
    return {std::move(key), bytes};
}
inline Property text(std::string key, std::string value) {
    return {std::move(key), value + '\0'};
}
inline Property flag(std::string key) {
    return {std::move(key), {}};
}

struct Node {
    std::string name;
    std::vector<Property> properties;
    std::vector<Node> children;

    /// Replaces a property or adds it.
    Node with(Property const& property) const {
        Node copy = *this;
        std::erase_if(copy.properties, [&](Property const& p) { return p.key == property.key; });
        copy.properties.push_back(property);
        return copy;
    }
    Node without(std::string const& key) const {
        Node copy = *this;
        std::erase_if(copy.properties, [&](Property const& p) { return p.key == key; });
        return copy;
    }
};

inline void put(void* fdt, Node const& node) {
    REQUIRE(fdt_begin_node(fdt, node.name.c_str()) == 0);
    for (Property const& p : node.properties) {
        REQUIRE(fdt_property(fdt, p.key.c_str(), p.bytes.data(), static_cast<int>(p.bytes.size())) == 0);
    }
    for (Node const& child : node.children) {
        put(fdt, child);
    }
    REQUIRE(fdt_end_node(fdt) == 0);
}
inline Blob blob_of(Node const& root) {
    Blob blob(256 * 1024);
    REQUIRE(fdt_create(blob.data(), static_cast<int>(blob.size())) == 0);
    REQUIRE(fdt_finish_reservemap(blob.data()) == 0);
    put(blob.data(), root);
    REQUIRE(fdt_finish(blob.data()) == 0);
    blob.resize(fdt_totalsize(blob.data()));
    return blob;
}

/// @p source through dtc.
inline Blob compile(std::string const& source) {
    std::string const base = "/tmp/ballast-config-test-" + std::to_string(getpid());
    std::ofstream{base + ".dts"} << "/dts-v1/;\n/ {\n" << source << "\n};\n";
    REQUIRE(std::system(("dtc -q -I dts -O dtb -o " + base + ".dtb " + base + ".dts").c_str()) == 0);
    std::ifstream in{base + ".dtb", std::ios::binary};
    Blob blob{std::istreambuf_iterator<char>{in}, {}};
    std::remove((base + ".dts").c_str());
    std::remove((base + ".dtb").c_str());
    return blob;
}
} // namespace hv::test
