// SPDX-License-Identifier: Apache-2.0
// Which files the configuration needs: the paths in `kernel`, `initrd` and `modules` of each child of
// /partitions in ballast.dtb, each once. What else the tree says is the hypervisor's to judge. Pure:
// host-compiled and unit-tested.
#pragma once
#include "boot/handoff/boot_info.hpp"
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
enum class ConfigError : std::uint8_t { None, Damaged, NotText, NotAPath, PathTooLong, TooManyImages };

/// Views into the tree, valid as long as the tree's bytes are.
struct ConfigImages {
    std::size_t count = 0;
    std::array<std::string_view, handoff::kMaxImages> paths{};

    // Where an error was found.
    std::string_view node;
    std::string_view property;
    std::string_view value;
};

/// Collects the paths of `tree`. On an error `images.node`, `.property` and `.value` tell where it is, as far
/// as known. A tree without partitions is valid and names nothing.
[[nodiscard]] ConfigError collect_images(std::span<std::byte const> tree, ConfigImages& images);

/// What a person is told about `error`: what is wrong and what would be right.
std::string_view describe(ConfigError error);
} // namespace ballast::loader
