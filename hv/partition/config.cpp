// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/config.hpp"
#include <libfdt.h>

namespace hv::partition {
namespace {
/// One property being read; every complaint names node, key, value and what is allowed.
class Reader {
  public:
    Reader(void const* tree, TextBuffer& why) : tree_{tree}, why_{why} {}

    bool failed() const { return failed_; }
    void enter(int node) {
        node_ = node;
        node_name_ = name_of(node);
    }
    std::string_view node_name() const { return node_name_; }

    void fail(std::string_view key, std::string_view value, std::string_view allowed) {
        if (failed_) {
            return;
        }
        failed_ = true;
        format(why_, "node '{}', key '{}', value '{}': {}", node_name_.empty() ? "/" : node_name_, key, value,
               allowed);
    }
    void fail_number(std::string_view key, u64 value, std::string_view allowed) {
        char digits[24];
        TextBuffer text{digits};
        format(text, "{}", value);
        fail(key, text.text(), allowed);
    }

    template <class T>
    void number(std::string_view key, std::span<u8 const> data, u64 low, u64 high, T& out) {
        if (data.size() != 4) {
            fail(key, "?", "wants one number, as in <512>");
            return;
        }
        u64 const value = static_cast<u64>(data[0]) << 24 | static_cast<u64>(data[1]) << 16 |
                          static_cast<u64>(data[2]) << 8 | data[3];
        if (value < low || value > high) {
            char space[64];
            TextBuffer range{space};
            format(range, "allowed are {} to {}", low, high);
            fail_number(key, value, range.text());
            return;
        }
        out = static_cast<T>(value);
    }
    void text(std::string_view key, std::span<u8 const> data, std::string_view& out, usize longest) {
        std::string_view const all{reinterpret_cast<char const*>(data.data()), data.size()};
        if (all.empty() || all.back() != 0 || all.find('\0') != all.size() - 1) {
            fail(key, "?", "wants one text, as in \"text\"");
            return;
        }
        out = all.substr(0, all.size() - 1);
        if (out.size() > longest) {
            fail(key, out.substr(0, 40), "is too long");
        }
    }
    void flag(std::string_view key, std::span<u8 const> data, bool& out) {
        if (!data.empty()) {
            fail(key, "?", "is a switch and takes no value: write the key alone or leave it out");
            return;
        }
        out = true;
    }
    void texts(std::string_view key, std::span<u8 const> data, std::span<std::string_view> out, u32& count) {
        std::string_view rest{reinterpret_cast<char const*>(data.data()), data.size()};
        while (!rest.empty()) {
            usize const end = rest.find('\0');
            if (end == std::string_view::npos) {
                fail(key, "?", "wants texts, as in \"one\", \"two\"");
                return;
            }
            if (count == out.size()) {
                fail_number(key, count + 1, "is more than are allowed (8)");
                return;
            }
            out[count++] = rest.substr(0, end);
            rest = rest.substr(end + 1);
        }
    }

    /// Refuses nodes inside this one: nothing that was written is left out silently.
    void no_children() {
        int const child = fdt_first_subnode(tree_, node_);
        if (child >= 0) {
            fail("(node)", fdt_get_name(tree_, child, nullptr),
                 "is not known here; this node holds keys only");
        }
    }
    /// Calls @p take(key, data) for each property of the node.
    template <class F>
    void each_property(F take) {
        int property = 0;
        fdt_for_each_property_offset(property, tree_, node_) {
            char const* key = nullptr;
            int bytes = 0;
            void const* data = fdt_getprop_by_offset(tree_, property, &key, &bytes);
            if (data == nullptr || bytes < 0 || key == nullptr) {
                fail("?", "?", "the device tree is damaged");
                return;
            }
            take(std::string_view{key}, std::span{static_cast<u8 const*>(data), static_cast<usize>(bytes)});
            if (failed_) {
                return;
            }
        }
    }

  private:
    std::string_view name_of(int node) const {
        char const* const name = fdt_get_name(tree_, node, nullptr);
        return name == nullptr ? "?" : name; // libfdt's check lets some damage through
    }

    void const* tree_;
    TextBuffer& why_;
    int node_ = 0;
    std::string_view node_name_;
    bool failed_ = false;
};

constexpr u64 kLargestMib = 16 * 1024 * 1024; // 16 TiB: guest-physical addresses have at least 44 bits of use
constexpr u64 kLeastMib = 1;                  // payload guests are tiny; a Linux guest needs 128

bool is_port(std::string_view name) {
    return name.size() == 4 && name.substr(0, 3) == "com" && name[3] >= '1' && name[3] <= '4';
}

void read_host(Reader& in, HostConfig& host) {
    in.no_children();
    in.each_property([&](std::string_view key, std::span<u8 const> data) {
        if (key == "reserve-mib") {
            in.number(key, data, 0, kLargestMib, host.reserve_mib);
        } else if (key == "numa-spanning") {
            in.flag(key, data, host.numa_spanning);
        } else if (key == "idle-seconds") {
            in.number(key, data, 0, 86400, host.idle_seconds);
        } else if (key == "management" || key == "debugger") {
            auto& port = key == "management" ? host.management : host.debugger;
            in.text(key, data, port, 16);
            if (!in.failed() && (!is_port(port) || port == "com1")) {
                in.fail(key, port, "allowed are com2, com3 and com4");
            }
        } else {
            in.fail(key, "",
                    "is not known here; known are reserve-mib, numa-spanning, idle-seconds, management, "
                    "debugger");
        }
    });
    if (!in.failed() && !host.management.empty() && host.management == host.debugger) {
        in.fail("debugger", host.debugger, "is the management port already");
    }
}

void read_partition_keys(Reader& in, PartitionConfig& p) {
    in.each_property([&](std::string_view key, std::span<u8 const> data) {
        if (key == "kernel") {
            in.text(key, data, p.kernel, 127);
        } else if (key == "initrd") {
            in.text(key, data, p.initrd, 127);
        } else if (key == "modules") {
            in.texts(key, data, p.modules, p.module_count);
        } else if (key == "command-line") {
            in.text(key, data, p.command_line, 2047);
        } else if (key == "processors") {
            in.number(key, data, 1, 1, p.processors);
        } else if (key == "startup-mib") {
            in.number(key, data, kLeastMib, kLargestMib, p.memory.startup_mib);
        } else if (key == "minimum-mib") {
            in.number(key, data, kLeastMib, kLargestMib, p.memory.minimum_mib);
        } else if (key == "maximum-mib") {
            in.number(key, data, kLeastMib, kLargestMib, p.memory.maximum_mib);
        } else if (key == "buffer-percent") {
            in.number(key, data, 5, 2000, p.memory.buffer_percent);
        } else if (key == "priority") {
            in.number(key, data, 0, 10000, p.memory.priority);
        } else if (key == "smart-paging-store") {
            in.text(key, data, p.smart_paging_store, 31);
        } else if (key == "auto-start") {
            in.flag(key, data, p.auto_start);
        } else if (key == "debug-wait") {
            in.flag(key, data, p.debug_wait);
        } else if (key == "small-pages") {
            in.flag(key, data, p.small_pages);
        } else {
            in.fail(key, "",
                    "is not known here; known are kernel, initrd, modules, command-line, processors, "
                    "startup-mib, minimum-mib, "
                    "maximum-mib, buffer-percent, priority, smart-paging-store, auto-start, debug-wait, "
                    "small-pages");
        }
    });
}

void read_partition(Reader& in, PartitionConfig& p) {
    p.name = in.node_name();
    if (p.name.empty() || p.name.size() >= kNameBytes) {
        in.fail("(name)", p.name, "a partition's name has 1 to 31 characters");
        return;
    }
    in.no_children();
    read_partition_keys(in, p);
    if (in.failed()) {
        return;
    }
    if (p.kernel.empty()) {
        in.fail("kernel", "", "is missing: name the kernel image, as in kernel = \"/images/vmlinuz\"");
    }
    MemoryConfig& m = p.memory;
    if (m.startup_mib == 0) {
        in.fail("startup-mib", "", "is missing: memory at start in MiB, as in startup-mib = <512>");
    }
    if (m.minimum_mib == 0) {
        m.minimum_mib = m.startup_mib;
    }
    if (m.maximum_mib == 0) {
        m.maximum_mib = m.startup_mib;
    }
    char space[80];
    TextBuffer range{space};
    if (m.minimum_mib > m.startup_mib) {
        format(range, "minimum is above startup; allowed are {} to {}", kLeastMib, m.startup_mib);
        in.fail_number("minimum-mib", m.minimum_mib, range.text());
    } else if (m.startup_mib > m.maximum_mib) {
        format(range, "startup is above maximum; allowed are {} to {}", m.minimum_mib, m.maximum_mib);
        in.fail_number("startup-mib", m.startup_mib, range.text());
    }
}

void add_partition(Reader& in, Config& config) {
    if (config.partition_count == kMaxPartitions) {
        in.fail("(node)", in.node_name(), "is one partition too many; allowed are 64");
        return;
    }
    for (u32 i = 0; i < config.partition_count; ++i) {
        if (config.partitions[i].name == in.node_name()) {
            in.fail("(name)", in.node_name(), "is the name of another partition already");
        }
    }
    if (!in.failed()) {
        read_partition(in, config.partitions[config.partition_count]);
        ++config.partition_count;
    }
}

/// Says that @p key of @p node does not fit; @p most is what would.
Result<void, ConfigError> does_not_fit(TextBuffer& why, std::string_view node, std::string_view key,
                                       u64 value, u64 most, std::string_view because) {
    format(why, "node '{}', key '{}', value '{}': {}; allowed are at most {}", node, key, value, because,
           most);
    return Err{ConfigError::Refused};
}
} // namespace

Result<void, ConfigError> read_config(std::span<u8 const> device_tree, Config& config, TextBuffer& why) {
    config = Config{};
    void const* const tree = device_tree.data();
    if (fdt_check_full(tree, device_tree.size()) != 0) {
        why.put("ballast.dtb is damaged or no device tree: build it with 'dtc -O dtb'");
        return Err{ConfigError::Refused};
    }
    Reader in{tree, why};
    bool have_partitions = false;
    in.enter(0);
    in.each_property([&](std::string_view key, std::span<u8 const>) {
        in.fail(key, "", "is not known here; the root holds the nodes 'host' and 'partitions'");
    });
    int node = 0;
    fdt_for_each_subnode(node, tree, 0) {
        if (in.failed()) {
            break;
        }
        in.enter(node);
        if (in.node_name() == "host") {
            read_host(in, config.host);
        } else if (in.node_name() == "partitions") {
            have_partitions = true;
            in.each_property([&](std::string_view key, std::span<u8 const>) {
                in.fail(key, "", "is not known here; this node holds one node a partition");
            });
            int child = 0;
            fdt_for_each_subnode(child, tree, node) {
                if (in.failed()) {
                    break;
                }
                in.enter(child);
                add_partition(in, config);
            }
        } else {
            in.fail("(node)", in.node_name(), "is not known here; known are 'host' and 'partitions'");
        }
    }
    if (!in.failed() && (!have_partitions || config.partition_count == 0)) {
        in.enter(0);
        in.fail("partitions", "", "is missing or empty: nothing to run");
    }
    for (u32 i = 0; i < config.partition_count && !in.failed() && config.host.debugger.empty(); ++i) {
        if (config.partitions[i].debug_wait) {
            format(why,
                   "node '{}', key 'debug-wait': would wait for ever: node 'host' names no port for the "
                   "debugger, as in debugger = \"com3\"",
                   config.partitions[i].name);
            return Err{ConfigError::Refused};
        }
    }
    if (in.failed()) {
        return Err{ConfigError::Refused};
    }
    return {};
}

Result<void, ConfigError> check_fits(Config const& config, u64 available_mib, TextBuffer& why) {
    char space[160];
    TextBuffer because{space};
    u64 const reserve = config.host.reserve_mib;
    if (reserve >= available_mib) {
        format(because, "the machine has {} MiB", available_mib);
        return does_not_fit(why, "host", "reserve-mib", reserve, available_mib == 0 ? 0 : available_mib - 1,
                            because.text());
    }
    u64 const for_guests = available_mib - reserve;
    u64 started = 0;
    for (u32 i = 0; i < config.partition_count; ++i) {
        PartitionConfig const& p = config.partitions[i];
        u64 const startup = p.memory.startup_mib;
        u64 const left = for_guests - (p.auto_start ? started : 0);
        if (startup > left) {
            format(because,
                   "{} MiB are for guests ({} less the reserve of {}), {} of them are taken by "
                   "partitions that start before it",
                   for_guests, available_mib, reserve, for_guests - left);
            return does_not_fit(why, p.name, "startup-mib", startup, left, because.text());
        }
        started += p.auto_start ? startup : 0;
    }
    return {};
}
} // namespace hv::partition
