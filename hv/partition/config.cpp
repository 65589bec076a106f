// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/config.hpp"
#include "hv/partition/device_tree.hpp"
#include <cstddef>

namespace hv::partition {
namespace {
/// The tree being read; every complaint names node, key, value and what is allowed.
class Reader {
  public:
    Reader(DeviceTree const& tree, TextBuffer& why) : tree_{tree}, why_{why} {}

    bool failed() const { return failed_; }
    /// From a node's beginning to its first property or child.
    void enter() {
        node_name_ = tree_.name();
        tree_.advance();
    }
    /// Whether a child begins here; none does after a complaint.
    bool at_child() const { return !failed_ && tree_.item() == DeviceTree::Item::Begin; }
    /// Past the end of the node that enter() was called for. Refuses what is left in it: nothing that was
    /// written is passed over silently.
    void leave() {
        if (at_child()) {
            fail("(node)", tree_.name(), "is not known here; this node holds keys only");
        } else if (tree_.item() != DeviceTree::Item::End) {
            fail("?", "?", "the device tree is damaged");
        }
        tree_.advance();
    }
    std::string_view node_name() const { return node_name_; }
    void name_root() { node_name_ = {}; }

    void fail(std::string_view key, std::string_view value, std::string_view allowed) {
        if (failed_) {
            return;
        }
        failed_ = true;
        format(why_, "node '{}', key '{}', value '{}': {}", node_name_.empty() ? "/" : node_name_, key, value,
               allowed);
    }
    /// Shows the value as it was written: what it should have been is not known, or it is of another kind.
    void fail_data(std::string_view key, std::span<u8 const> data, std::string_view allowed) {
        constexpr usize kShown = 40;
        char space[kShown + 8];
        TextBuffer value{space};
        bool const texts = !data.empty() && data.back() == 0 && data.front() >= ' ' && data.front() < 0x7f;
        if (texts) {
            std::string_view const first{
                reinterpret_cast<char const*>(data.data())}; // ends with the data's NUL
            value.put(first.substr(0, kShown));
        } else if (data.size() == 4) {
            format(value, "<{}>", big_endian(data.first<4>()));
        } else if (!data.empty()) {
            format(value, "{} bytes", data.size());
        }
        fail(key, value.text(), allowed);
    }
    void fail_number(std::string_view key, u64 value, std::string_view allowed) {
        char digits[24];
        TextBuffer text{digits};
        format(text, "{}", value);
        fail(key, text.text(), allowed);
    }

    void number(std::string_view key, std::span<u8 const> data, u64 low, u64 high, u64& out) {
        if (data.size() != 4) {
            fail_data(key, data, "wants one number, as in <512>");
            return;
        }
        u64 const value = big_endian(data.first<4>());
        if (value < low || value > high) {
            char space[64];
            TextBuffer range{space};
            format(range, "allowed are {} to {}", low, high);
            fail_number(key, value, range.text());
            return;
        }
        out = value;
    }
    void text(std::string_view key, std::span<u8 const> data, std::string_view& out, usize longest) {
        std::string_view const all{reinterpret_cast<char const*>(data.data()), data.size()};
        if (all.empty() || all.back() != 0 || all.find('\0') != all.size() - 1) {
            fail_data(key, data, "wants one text, as in \"text\"");
            return;
        }
        out = all.substr(0, all.size() - 1);
        if (out.size() > longest) {
            fail(key, out.substr(0, 40), "is too long");
        }
    }
    void flag(std::string_view key, std::span<u8 const> data, bool& out) {
        if (!data.empty()) {
            fail_data(key, data, "is a switch and takes no value: write the key alone or leave it out");
            return;
        }
        out = true;
    }
    void texts(std::string_view key, std::span<u8 const> data, std::span<std::string_view> out, u32& count) {
        std::string_view rest{reinterpret_cast<char const*>(data.data()), data.size()};
        while (!rest.empty()) {
            usize const end = rest.find('\0');
            if (end == std::string_view::npos) {
                fail_data(key, data, "wants texts, as in \"one\", \"two\"");
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

    /// Calls @p take(key, data) for each property of the node, which come before its children.
    template <class F>
    void each_property(F take) {
        for (; !failed_ && tree_.item() == DeviceTree::Item::Property; tree_.advance()) {
            take(tree_.name(), tree_.data());
        }
    }

  private:
    DeviceTree tree_;
    TextBuffer& why_;
    std::string_view node_name_;
    bool failed_ = false;
};

constexpr u64 kLargestMib = 16 * 1024 * 1024; // 16 TiB: guest-physical addresses have at least 44 bits of use
constexpr u64 kLeastMib = 1;                  // payload guests are tiny; a Linux guest needs 128

bool is_port(std::string_view name) {
    return name.size() == 4 && name.substr(0, 3) == "com" && name[3] >= '1' && name[3] <= '4';
}

/// A key that a node may hold: where its value goes and what it may be.
struct Key {
    enum Kind : u8 { Number32, Number64, Text, Flag, Modules };
    std::string_view name;
    Kind kind;
    u16 offset;    ///< of the value in what is read
    u32 low, high; ///< of a number; longest length of a text
};

constexpr Key kHostKeys[] = {
    {"reserve-mib", Key::Number64, offsetof(HostConfig, reserve_mib), 0, kLargestMib},
    {"numa-spanning", Key::Flag, offsetof(HostConfig, numa_spanning), 0, 0},
    {"idle-seconds", Key::Number32, offsetof(HostConfig, idle_seconds), 0, 86400},
    {"management", Key::Text, offsetof(HostConfig, management), 0, 16},
    {"debugger", Key::Text, offsetof(HostConfig, debugger), 0, 16},
};

constexpr Key kPartitionKeys[] = {
    {"kernel", Key::Text, offsetof(PartitionConfig, kernel), 0, 127},
    {"initrd", Key::Text, offsetof(PartitionConfig, initrd), 0, 127},
    {"modules", Key::Modules, 0, 0, 0},
    {"command-line", Key::Text, offsetof(PartitionConfig, command_line), 0, 2047},
    {"processors", Key::Number32, offsetof(PartitionConfig, processors), 1, 1},
    {"startup-mib", Key::Number64, offsetof(PartitionConfig, memory.startup_mib), kLeastMib, kLargestMib},
    {"minimum-mib", Key::Number64, offsetof(PartitionConfig, memory.minimum_mib), kLeastMib, kLargestMib},
    {"maximum-mib", Key::Number64, offsetof(PartitionConfig, memory.maximum_mib), kLeastMib, kLargestMib},
    {"buffer-percent", Key::Number32, offsetof(PartitionConfig, memory.buffer_percent), 5, 2000},
    {"priority", Key::Number32, offsetof(PartitionConfig, memory.priority), 0, 10000},
    {"smart-paging-store", Key::Text, offsetof(PartitionConfig, smart_paging_store), 0, 31},
    {"auto-start", Key::Flag, offsetof(PartitionConfig, auto_start), 0, 0},
    {"debug-wait", Key::Flag, offsetof(PartitionConfig, debug_wait), 0, 0},
    {"small-pages", Key::Flag, offsetof(PartitionConfig, small_pages), 0, 0},
};

template <class T>
T& at(void* into, u16 offset) {
    return *reinterpret_cast<T*>(static_cast<u8*>(into) + offset);
}

void read_key(Reader& in, Key const& key, std::span<u8 const> data, void* into) {
    switch (key.kind) {
    case Key::Number64: in.number(key.name, data, key.low, key.high, at<u64>(into, key.offset)); break;
    case Key::Number32: {
        u64 value = at<u32>(into, key.offset);
        in.number(key.name, data, key.low, key.high, value);
        at<u32>(into, key.offset) = static_cast<u32>(value);
        break;
    }
    case Key::Text: in.text(key.name, data, at<std::string_view>(into, key.offset), key.high); break;
    case Key::Flag: in.flag(key.name, data, at<bool>(into, key.offset)); break;
    case Key::Modules: {
        auto& partition = *static_cast<PartitionConfig*>(into);
        in.texts(key.name, data, partition.modules, partition.module_count);
        break;
    }
    }
}

/// Reads the keys of a node into the object whose members @p keys describes.
void read_keys(Reader& in, std::span<Key const> keys, void* into) {
    in.each_property([&](std::string_view name, std::span<u8 const> data) {
        for (Key const& key : keys) {
            if (key.name == name) {
                read_key(in, key, data, into);
                return;
            }
        }
        char space[240];
        TextBuffer known{space};
        known.put("is not known here; known are");
        for (Key const& key : keys) {
            format(known, "{} {}", &key == keys.data() ? "" : ",", key.name);
        }
        in.fail_data(name, data, known.text());
    });
}

void read_host(Reader& in, HostConfig& host) {
    read_keys(in, kHostKeys, &host);
    for (std::string_view const key : {"management", "debugger"}) {
        std::string_view const port = key == "management" ? host.management : host.debugger;
        if (port.data() != nullptr && (!is_port(port) || port == "com1")) { // written, if only as ""
            in.fail(key, port, "allowed are com2, com3 and com4");
        }
    }
    if (!host.management.empty() && host.management == host.debugger) {
        in.fail("debugger", host.debugger, "is the management port already");
    }
}

void read_partition(Reader& in, PartitionConfig& p) {
    p.name = in.node_name();
    if (p.name.empty() || p.name.size() >= kNameBytes) {
        in.fail("(name)", p.name, "a partition's name has 1 to 31 characters");
        return;
    }
    read_keys(in, kPartitionKeys, &p);
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
    DeviceTree const tree{device_tree};
    if (!tree.whole()) {
        why.put("ballast.dtb is damaged or no device tree: build it with 'dtc -O dtb'");
        return Err{ConfigError::Refused};
    }
    Reader in{tree, why};
    bool have_partitions = false;
    in.enter();
    in.each_property([&](std::string_view key, std::span<u8 const>) {
        in.fail(key, "", "is not known here; the root holds the nodes 'host' and 'partitions'");
    });
    while (in.at_child()) {
        in.enter();
        if (in.node_name() == "host") {
            read_host(in, config.host);
        } else if (in.node_name() == "partitions") {
            have_partitions = true;
            in.each_property([&](std::string_view key, std::span<u8 const>) {
                in.fail(key, "", "is not known here; this node holds one node a partition");
            });
            while (in.at_child()) {
                in.enter();
                add_partition(in, config);
                in.leave();
            }
        } else {
            in.fail("(node)", in.node_name(), "is not known here; known are 'host' and 'partitions'");
        }
        in.leave();
    }
    in.leave();
    if (!in.failed() && (!have_partitions || config.partition_count == 0)) {
        in.name_root();
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
