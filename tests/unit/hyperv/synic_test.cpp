// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/hyperv/hyperv_fixture.hpp"

using namespace hv;
using namespace hv::test;

namespace {
std::vector<u8> text(u8 first) {
    return {first, 2, 3, 4, 5, 6, 7, 8};
}
} // namespace

TEST_CASE("a message fills its slot and interrupts", "[hyperv][synic]") {
    Partition p;
    p.enable_synic(1);
    CHECK(p.hv.post_message(1, 2, 1, text(9)) == PostStatus::Ok);
    MessageSlot& slot = p.slot(2, 1);
    CHECK(slot.type == 1);
    CHECK(slot.payload_bytes == 8);
    CHECK(slot.payload[0] == 9);
    CHECK(slot.flags == 0);
    CHECK(p.interrupts.raised == std::vector<std::pair<u32, u8>>{{1, 0xf3}});
    CHECK(p.slot(1, 1).type == 0);
    CHECK(p.slot(3, 1).type == 0);
}

TEST_CASE("messages wait in order for a busy slot", "[hyperv][synic]") {
    Partition p;
    p.enable_synic();
    for (u8 i = 0; i < 5; ++i) {
        CHECK(p.hv.post_message(0, 2, 1, text(i)) == PostStatus::Ok);
    }
    CHECK(p.interrupts.raised.size() == 1);
    bool const by_eoi = GENERATE(false, true);
    for (u8 i = 0; i < 5; ++i) {
        REQUIRE(p.slot().type == 1);
        CHECK(p.slot().payload[0] == i);
        CHECK((p.slot().flags & 1) == (i < 4 ? 1 : 0)); // a guest writes EOM only when told to
        p.slot().type = 0;
        if (by_eoi) {
            p.hv.deliver_waiting(0);
        } else {
            p.write(msr::kEom, 0);
        }
    }
    CHECK(p.slot().type == 0);
    CHECK(p.interrupts.raised.size() == 5);
    CHECK(p.hv.message_room() == MessagePool::kMessages);
}

TEST_CASE("a later post delivers the earlier one first", "[hyperv][synic]") {
    Partition p;
    p.enable_synic();
    p.hv.post_message(0, 2, 1, text(1));
    p.hv.post_message(0, 2, 1, text(2));
    p.slot().type = 0; // freed before the pending flag was seen: no EOM
    p.hv.post_message(0, 2, 1, text(3));
    CHECK(p.slot().payload[0] == 2);
}

TEST_CASE("nothing is delivered until the guest has set everything up", "[hyperv][synic]") {
    Partition p;
    p.hv.post_message(0, 2, 1, text(1));
    u32 const missing = GENERATE(as<u32>{}, msr::kSimp, msr::kScontrol, msr::kSint0 + 2);
    p.enable_synic();
    p.hv.reset();
    p.enable_synic();
    u64 const value = p.read(missing);
    p.write(missing, missing == msr::kSint0 + 2 ? value | 0x10000 : value & ~1ull);
    p.interrupts.raised.clear();
    CHECK(p.hv.post_message(0, 2, 1, text(7)) == PostStatus::Ok);
    CHECK(p.slot().type == 0);
    CHECK(p.interrupts.raised.empty());
    p.write(missing, value);
    CHECK(p.slot().type == 1);
    CHECK(p.interrupts.raised.size() == 1);
}

TEST_CASE("a full pool refuses", "[hyperv][synic]") {
    Partition p;
    for (usize i = 0; i < MessagePool::kMessages; ++i) {
        REQUIRE(p.hv.post_message(i % 2, i % 16, 1, text(1)) == PostStatus::Ok);
    }
    CHECK(p.hv.message_room() == 0);
    CHECK(p.hv.post_message(0, 2, 1, text(1)) == PostStatus::PoolFull);
    CHECK(p.hv.counters().messages_refused == 1);
    usize const before = p.hv.message_room();
    p.hv.discard_messages(2);
    CHECK(p.hv.message_room() > before);
    for (u32 sint = 0; sint < 16; ++sint)
        p.hv.discard_messages(sint);
    CHECK(p.hv.message_room() == MessagePool::kMessages);
}

TEST_CASE("an event flag interrupts once until the guest clears it", "[hyperv][synic]") {
    Partition p;
    p.enable_synic();
    CHECK(p.hv.signal_event(0, 2, 13) == SignalStatus::Ok);
    CHECK(p.flags()[1] == 1 << 5);
    CHECK(p.hv.signal_event(0, 2, 13) == SignalStatus::Ok);
    CHECK(p.interrupts.raised.size() == 1);
    CHECK(p.hv.signal_event(0, 2, 2047) == SignalStatus::Ok);
    CHECK(p.flags()[255] == 0x80);
    CHECK(p.flags()[256] == 0); // the next SINT's
    p.flags()[1] = 0;
    p.hv.signal_event(0, 2, 13);
    CHECK(p.interrupts.raised.size() == 3);
    CHECK(p.hv.counters().events_signalled == 3);
    CHECK(p.hv.counters().events_merged == 1);
    p.write(msr::kScontrol, 0);
    CHECK(p.hv.signal_event(0, 2, 14) == SignalStatus::Off);
}

TEST_CASE("SINT registers: vectors, polling, automatic end of interrupt", "[hyperv][synic]") {
    Partition p;
    p.enable_synic();
    CHECK(p.write(msr::kSint0 + 2, 0x0f) == MsrResult::Fault); // unmasked, an exception's vector
    CHECK(p.read(msr::kSint0 + 2) == 0xf3);
    CHECK(p.write(msr::kSint0 + 2, 0x1000f) == MsrResult::Handled);
    p.write(msr::kSint0 + 2, 0x400f3); // polling
    p.hv.post_message(0, 2, 1, text(1));
    CHECK(p.slot().type == 1);
    CHECK(p.interrupts.raised.empty());
    CHECK_FALSE(p.hv.auto_eoi(0, 0xf3));
    p.write(msr::kSint0 + 3, 0x200e0);
    CHECK(p.hv.auto_eoi(0, 0xe0));
    CHECK_FALSE(p.hv.auto_eoi(0, 0xf3));
    CHECK_FALSE(p.hv.auto_eoi(1, 0xe0));
    p.write(msr::kSint0 + 3, 0xe0);
    CHECK_FALSE(p.hv.auto_eoi(0, 0xe0));
}

TEST_CASE("pages that are not the guest's memory lose messages, nothing else", "[hyperv][synic]") {
    Partition p;
    p.enable_synic();
    p.ram.balloon(4);
    p.ram.balloon(5);
    CHECK(p.hv.post_message(0, 2, 1, text(1)) == PostStatus::Ok);
    CHECK(p.hv.signal_event(0, 2, 3) == SignalStatus::Off);
    CHECK(p.interrupts.raised.empty());
    CHECK(p.hv.counters().page_errors == 2);
    p.ram.give_back(4);
    p.write(msr::kEom, 0);
    CHECK(p.slot().type == 1);
    CHECK(p.write(msr::kSimp, ~0ull) == MsrResult::Handled);
    CHECK(p.write(msr::kSiefp, Partition::kRamPages << 12 | 1) == MsrResult::Handled);
    CHECK(p.write(msr::kVpAssistPage, ~0ull) == MsrResult::Handled);
    CHECK(p.hv.signal_event(0, 2, 3) == SignalStatus::Off);
}

TEST_CASE("a page named anew starts empty, one written back is left alone", "[hyperv][synic]") {
    Partition p;
    std::memset(p.ram.raw(Gpa{0x4000}), 0xaa, kPageBytes);
    p.enable_synic();
    CHECK(p.slot().type == 0);
    CHECK(p.hv.post_message(0, 2, 1, text(1)) == PostStatus::Ok);
    CHECK(p.slot().type == 1);
    p.write(msr::kSimp, p.read(msr::kSimp)); // Linux reads, changes and writes these registers
    CHECK(p.slot().type == 1);
}
