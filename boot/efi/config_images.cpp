// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/config_images.hpp"

#include <algorithm>
#include <libfdt.h>

namespace ballast::loader {
namespace {
constexpr std::string_view kProperties[] = {"kernel", "initrd", "modules"};

bool printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '\\'; });
}

ConfigError add_path(std::string_view path, ConfigImages& images) {
    images.value = path;
    if (path.size() < 2 || path.front() != '/' || path.back() == '/' || !printable(path))
        return ConfigError::NotAPath;
    if (path.size() >= handoff::kImageNameBytes) return ConfigError::PathTooLong;
    auto* const end = images.paths.data() + images.count;
    if (std::find(images.paths.data(), end, path) != end) return ConfigError::None;
    if (images.count == images.paths.size()) return ConfigError::TooManyImages;
    images.paths[images.count++] = path;
    return ConfigError::None;
}

/// A string list is strings one after the other, each with its NUL.
ConfigError add_list(std::string_view list, ConfigImages& images) {
    if (list.empty() || list.back() != '\0') return ConfigError::NotText;
    while (!list.empty()) {
        std::size_t const length = list.find('\0');
        if (ConfigError const error = add_path(list.substr(0, length), images); error != ConfigError::None)
            return error;
        list.remove_prefix(length + 1);
    }
    return ConfigError::None;
}
} // namespace

ConfigError collect_images(std::span<std::byte const> tree, ConfigImages& images) {
    images = {};
    void const* const fdt = tree.data();
    if (tree.size() < sizeof(fdt_header) || fdt_check_full(fdt, tree.size()) != 0)
        return ConfigError::Damaged;
    int const partitions = fdt_path_offset(fdt, "/partitions");
    if (partitions == -FDT_ERR_NOTFOUND) return ConfigError::None;
    if (partitions < 0) return ConfigError::Damaged;
    for (int node = fdt_first_subnode(fdt, partitions); node >= 0; node = fdt_next_subnode(fdt, node)) {
        char const* const name = fdt_get_name(fdt, node, nullptr);
        images.node = name == nullptr ? std::string_view{} : std::string_view{name};
        for (std::string_view const property : kProperties) {
            int bytes = 0;
            auto const* const data =
                static_cast<char const*>(fdt_getprop(fdt, node, property.data(), &bytes));
            if (data == nullptr) continue;
            images.property = property;
            images.value = {};
            std::string_view const list{data, static_cast<std::size_t>(bytes)};
            if (ConfigError const error = add_list(list, images); error != ConfigError::None) return error;
        }
    }
    return ConfigError::None;
}

std::string_view describe(ConfigError error) {
    switch (error) {
    case ConfigError::None: return "valid";
    case ConfigError::Damaged: return "not a valid device tree blob";
    case ConfigError::NotText: return "the value must be a non-empty string";
    case ConfigError::NotAPath:
        return "the path must start with / and hold no blanks or backslashes, for example /images/vmlinuz";
    case ConfigError::PathTooLong: return "the path is longer than 127 characters";
    case ConfigError::TooManyImages: return "the configuration names more than 64 different images";
    }
    return "damaged";
}
} // namespace ballast::loader
