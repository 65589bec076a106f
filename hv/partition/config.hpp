// SPDX-License-Identifier: Apache-2.0
// The operator's configuration: ballast.dtb, checked as a whole before anything starts.
// Text values point into the device tree, which stays in memory for good.
#pragma once
#include "hv/base/format.hpp"
#include "hv/base/result.hpp"
#include <array>
#include <span>
#include <string_view>

namespace hv::partition {
inline constexpr u32 kMaxPartitions = 64;
inline constexpr u32 kMaxModules = 8;
inline constexpr u32 kNameBytes = 32; ///< longest partition name with its NUL

/// Memory settings in MiB; minimum <= startup <= maximum. Semantics: Hyper-V Dynamic Memory (Set-VMMemory).
struct MemoryConfig {
    u64 startup_mib = 0;
    u64 minimum_mib = 0;
    u64 maximum_mib = 0;
    u32 buffer_percent = 20; ///< 5 … 2000: memory beyond demand that the partition should have
    u32 priority = 5000;     ///< 0 … 10000: who gives last under shortage
};

struct PartitionConfig {
    std::string_view name;
    std::string_view kernel;
    std::string_view initrd; ///< empty: none
    std::array<std::string_view, kMaxModules> modules{};
    u32 module_count = 0;
    std::string_view command_line;
    u32 processors = 1;
    MemoryConfig memory;
    std::string_view smart_paging_store; ///< empty: none
    bool auto_start = false;
    bool debug_wait = false;
    bool small_pages = false; ///< map this partition with 4 KiB pages only: for measurements
};

struct HostConfig {
    u64 reserve_mib = 64;
    bool numa_spanning = false;
    std::string_view management; ///< "com2", … or empty
    std::string_view debugger;
    u32 idle_seconds = 60; ///< memory unwanted for this long goes back although nobody asks
};

struct Config {
    HostConfig host;
    std::array<PartitionConfig, kMaxPartitions> partitions{};
    u32 partition_count = 0;
};

enum class ConfigError : u8 { Refused };

/// Reads and checks a device tree.
/// @param device_tree the whole blob
/// @param[out] config valid only on success
/// @param[out] why on failure: node, key, value and what is allowed, in one line
/// Errors: Refused for a damaged blob, unknown nodes and keys, values out of range, contradictions.
/// Context: once, at start-up.
Result<void, ConfigError> read_config(std::span<u8 const> device_tree, Config& config, TextBuffer& why);

/// Whether the configured partitions fit the machine: those that start by themselves together, each of the
/// others alone. @param available_mib RAM less the hypervisor's own
Result<void, ConfigError> check_fits(Config const& config, u64 available_mib, TextBuffer& why);
} // namespace hv::partition
