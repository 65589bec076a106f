// SPDX-License-Identifier: Apache-2.0
// The session's part of a single step: its request, and the stop reply until the line has it.
#include "hv/gdb/session.hpp"
#include "tests/unit/dm_cost/instruction_counter.hpp"
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <string>

using namespace hv;
using namespace hv::gdb;

namespace {
#ifdef __clang__
constexpr unsigned long kFirst = 2500, kFurther = 2250; // the machine is built with GCC
#else
constexpr unsigned long kFirst = 2250, kFurther = 1950; // a tenth is the fake's and the counting's
#endif

/// One partition whose steps are done at once; nothing in it costs much.
struct QuickTarget final : Target {
    bool stepped = false;
    Stop stop;
    u32 inferior_count() override { return 1; }
    InferiorInfo inferior(u32) override { return {"one", 1, true, false, false}; }
    bool attach(u32) override { return stepped = true; }
    void detach(u32) override {}
    void kill(u32) override {}
    bool restart(u32) override { return false; }
    void remove_points(u32) override {}
    void interrupt(u32) override {}
    void resume(u32, u32, Resume const&) override { stepped = true; }
    Stop const* take_stop(u32) override {
        u64 const value = 0xffff'ffff'8123'4567;
        stop.reason = Stop::Reason::Stepped;
        stop.registers = {.filled = true, .rip = value, .rsp = value, .rbp = value};
        return std::exchange(stepped, false) ? &stop : nullptr;
    }
    bool read_register(u32, u32, RegisterId, std::span<u8> to) override {
        u64 const value = 0xffff'ffff'8123'4567;
        std::memcpy(to.data(), &value, to.size() < 8 ? to.size() : 8);
        return true;
    }
    bool write_register(u32, u32, RegisterId, std::span<u8 const>) override { return false; }
    u32 code_bits(u32, u32) override { return 64; }
    usize read_memory(u32, u32, AddressSpace, u64, std::span<u8> to) override { return to.size(); }
    bool write_memory(u32, u32, AddressSpace, u64, std::span<u8 const>) override { return false; }
    u32 memory_map(u32, std::span<MemoryRegion>) override { return 0; }
    Result<void, PointError> insert(u32, PointSpec const&, std::span<u8 const>) override { return {}; }
    bool remove(u32, PointSpec const&) override { return true; }
    bool monitor(u32, u32, std::string_view, LineSink&) override { return false; }
    void monitor_help(LineSink&) override {}
};

QuickTarget g_target;
Session g_session{g_target};
std::string g_output;

void send(std::string_view data) {
    u8 sum = 0;
    for (char c : data) {
        sum = static_cast<u8>(sum + static_cast<u8>(c));
    }
    std::string packet = "$" + std::string{data} + "#" + kHexDigits[sum >> 4] + kHexDigits[sum & 15];
    g_session.receive({reinterpret_cast<u8 const*>(packet.data()), packet.size()});
}
/// Sixteen bytes at a time, as a UART takes them.
void drain() {
    for (auto out = g_session.pending(); !out.empty(); out = g_session.pending()) {
        g_session.sent(out.size() < 16 ? out.size() : 16);
    }
}
} // namespace

TEST_CASE("a single step costs the session little", "[gdb][cost]") {
    send("qSupported:multiprocess+;swbreak+;hwbreak+");
    send("QStartNoAckMode");
    send("?");
    (void)g_session.poll();
    drain();
    constexpr std::string_view kRequest = "$vCont;s:p1.1;c:p1.-1#f7";
    for (unsigned long const budget : {kFirst, kFurther}) { // one like the last needs no parsing
        unsigned long const receive = test::count_instructions([&] {
            g_session.receive({reinterpret_cast<u8 const*>(kRequest.data()), kRequest.size()});
        });
        unsigned long const stop = test::count_instructions([] { (void)g_session.poll(); });
        auto const out = g_session.pending();
        CHECK(std::string{out.begin(), out.end()}.starts_with("$T05thread:p1.1;06:67452381ffffffff;07:"));
        unsigned long const line = test::count_instructions(drain);
        std::printf("a step: %lu instructions for the request, %lu for its reply, %lu for the line\n",
                    receive, stop, line);
        CHECK(receive > 100);
        CHECK(receive + stop <= budget);
    }
}
