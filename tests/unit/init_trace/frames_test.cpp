// SPDX-License-Identifier: Apache-2.0
#include "hv/init/trace/frames.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <vector>

using namespace hv;

namespace {
struct Stack {
    std::map<u64, u64> words;
    std::optional<u64> read(u64 at) {
        auto const it = words.find(at);
        return it == words.end() ? std::nullopt : std::optional{it->second};
    }
};
std::vector<u64> walk(Stack stack, u64 from) {
    std::vector<u64> seen;
    init::walk_frames(stack, from, [&](u64 address) { seen.push_back(address); });
    return seen;
}
} // namespace

TEST_CASE("a chain of frames gives the return addresses from the inside out", "[frames]") {
    Stack const stack{{{0x100, 0x140}, {0x108, 1}, {0x140, 0x180}, {0x148, 2}, {0x180, 0}, {0x188, 3}}};
    CHECK(walk(stack, 0x100) == std::vector<u64>{1, 2, 3});
}

TEST_CASE("broken chains end the trace", "[frames]") {
    CHECK(walk({{{0x100, 0x100}, {0x108, 1}}}, 0x100) == std::vector<u64>{1}); // itself
    CHECK(walk({{{0x100, 0x80}, {0x108, 1}, {0x80, 0}, {0x88, 2}}}, 0x100) ==
          std::vector<u64>{1});                                                // downwards
    CHECK(walk({{{0x100, 0x143}, {0x108, 1}}}, 0x100) == std::vector<u64>{1}); // misaligned
    CHECK(walk({{{0x100, 0x900}, {0x108, 1}}}, 0x100) == std::vector<u64>{1}); // unreadable
    CHECK(walk({}, 0).empty());
    CHECK(walk({{{0x100, 0x140}, {0x108, 0}}}, 0x100).empty()); // no return address: the outermost frame
}

TEST_CASE("an endless stack is cut", "[frames]") {
    Stack stack;
    for (u64 at = 0x1000; at < 0x9000; at += 16) {
        stack.words[at] = at + 16;
        stack.words[at + 8] = 7;
    }
    CHECK(walk(stack, 0x1000).size() == init::kMaxTraceFrames);
}
