// SPDX-License-Identifier: Apache-2.0
// The double-fault table, cell by cell.
#include "hv/core/event_merge.hpp"
#include <catch2/catch.hpp>

using namespace hv;

namespace {
Event exception(u8 number) {
    return {Event::Type::Exception, number, exception_has_error_code(number), 0};
}
Event const kInterrupt{Event::Type::External, 0x60, false, 0};
} // namespace

TEST_CASE("two contributory exceptions make a double fault with error code 0", "[event-merge]") {
    for (u8 const first : {0, 10, 11, 12, 13}) {
        for (u8 const second : {0, 10, 11, 12, 13}) {
            MergedEvent const merged = merge_exception(exception(first), exception(second));
            CHECK_FALSE(merged.triple_fault);
            CHECK(merged.event.type == Event::Type::Exception);
            CHECK(merged.event.vector == vector::kDoubleFault);
            CHECK(merged.event.has_error_code);
            CHECK(merged.event.error_code == 0);
        }
    }
}

TEST_CASE("a page fault on top of a contributory exception is delivered alone", "[event-merge]") {
    MergedEvent const merged = merge_exception(exception(13), {Event::Type::Exception, 14, true, 0x7});
    CHECK_FALSE(merged.triple_fault);
    CHECK(merged.event.vector == 14);
    CHECK(merged.event.error_code == 0x7);
}

TEST_CASE("anything but a benign event on top of a page fault is a double fault", "[event-merge]") {
    CHECK(merge_exception(exception(14), exception(13)).event.vector == vector::kDoubleFault);
    CHECK(merge_exception(exception(14), exception(14)).event.vector == vector::kDoubleFault);
    CHECK(merge_exception(exception(14), exception(6)).event.vector == 6);
}

TEST_CASE("a fault while delivering a double fault shuts the processor down", "[event-merge]") {
    CHECK(merge_exception(exception(8), exception(13)).triple_fault);
    CHECK(merge_exception(exception(8), exception(14)).triple_fault);
    CHECK_FALSE(merge_exception(exception(8), exception(1)).triple_fault);
    CHECK(merge_exception(exception(8), exception(1)).event.vector == 1);
}

TEST_CASE("benign events never combine", "[event-merge]") {
    for (u8 const second : {0, 1, 3, 6, 7, 13, 14}) {
        CHECK(merge_exception(exception(6), exception(second)).event.vector == second);
        CHECK(merge_exception(kInterrupt, exception(second)).event.vector == second);
        CHECK_FALSE(merge_exception(kInterrupt, exception(second)).triple_fault);
    }
}

TEST_CASE("an interrupt vector that equals an exception's number is benign", "[event-merge]") {
    Event const odd{Event::Type::External, 13, false, 0};
    CHECK(fault_class(odd) == FaultClass::Benign);
    CHECK(merge_exception(odd, exception(13)).event.vector == 13);
}
