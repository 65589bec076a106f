// SPDX-License-Identifier: Apache-2.0
// A session over two partitions: "linux" with two virtual processors runs NOPs at 0x1000, "other" is off.
#pragma once
#include "tests/fakes/debugged_machine.hpp"
#include "tests/fakes/gdb_client.hpp"
#include <catch2/catch.hpp>
#include <memory>

namespace hv::test {
struct Bench {
    DebuggedMachine machine;
    std::unique_ptr<gdb::Session> session = std::make_unique<gdb::Session>(machine);
    GdbClient gdb{*session};
    Bench() {
        machine.partitions.resize(2);
        first().name = "linux";
        first().vps.resize(2);
        first().entry = 0x1000;
        first().start();
        second().name = "other";
        second().vps.resize(1);
        second().entry = 0x2000;
        second().start();
        second().on = false;
    }
    DebuggedPartition& first() { return machine.partitions[0]; }
    DebuggedPartition& second() { return machine.partitions[1]; }
    /// Code at the first one's entry, which stands there.
    void code(std::vector<u8> bytes) {
        first().image = std::move(bytes);
        first().image_at = first().entry;
        first().start();
    }
    u64 rip(u32 vp = 0) { return first().vps[vp].get(RegisterId::Rip); }
};

inline bool contains(std::string const& text, std::string_view part) {
    return text.find(part) != text.npos;
}
} // namespace hv::test
