// SPDX-License-Identifier: Apache-2.0
#include "hv/vmbus/gpadl_table.hpp"
#include "tests/unit/vmbus/bus_fixture.hpp"

using namespace hv;
using namespace hv::test;
using vmbus::GpadlStatus;
using vmbus::GpadlTable;

namespace {
Bytes pfn_bytes(u32 first, u32 count) {
    Bytes bytes;
    for (u64 i = 0; i < count; ++i) {
        Bytes const one = bytes_of(u64{first} + i);
        bytes.insert(bytes.end(), one.begin(), one.end());
    }
    return bytes;
}
GpadlTable::Header header(u32 gpadl, u32 pages, u32 relid = 1) {
    return {relid, gpadl, static_cast<u16>(8 + 8 * pages), 1, pages * 4096, 0};
}
} // namespace

TEST_CASE("a list arrives in pieces", "[vmbus][gpadl]") {
    GpadlTable table;
    CHECK(table.begin(header(7, 60), pfn_bytes(100, 26)) == GpadlStatus::Incomplete);
    CHECK(table.pages(1, 7).empty());
    CHECK(table.append(7, pfn_bytes(126, 28)) == GpadlStatus::Incomplete);
    CHECK(table.append(7, pfn_bytes(154, 28)) == GpadlStatus::Created); // more than announced: cut
    auto const pages = table.pages(1, 7);
    REQUIRE(pages.size() == 60);
    CHECK(pages[0] == 100);
    CHECK(pages[59] == 159);
    CHECK(table.append(7, pfn_bytes(1, 1)) == GpadlStatus::Unknown);
    CHECK(table.append(8, pfn_bytes(1, 1)) == GpadlStatus::Unknown);
    CHECK(table.pages(2, 7).empty());
    CHECK_FALSE(table.remove(2, 7));
    CHECK(table.remove(1, 7));
    CHECK_FALSE(table.remove(1, 7));
    CHECK(table.used_pages() == 0);
}

TEST_CASE("impossible lists are refused", "[vmbus][gpadl]") {
    GpadlTable table;
    auto const pfns = pfn_bytes(1, 4);
    auto const good = header(1, 4);
    auto refused = [&](auto change) {
        auto h = good;
        change(h);
        return table.begin(h, pfns) == GpadlStatus::Malformed && table.used_pages() == 0;
    };
    CHECK(refused([](auto& h) { h.range_count = 0; }));
    CHECK(refused([](auto& h) { h.range_count = 2; }));
    CHECK(refused([](auto& h) { h.range_bytes = 0; }));
    CHECK(refused([](auto& h) { h.range_bytes = 8; }));
    CHECK(refused([](auto& h) { h.range_bytes = 41; }));
    CHECK(refused([](auto& h) { h.range_bytes = 48; })); // five pages for 16 KiB
    CHECK(refused([](auto& h) { h.byte_count = 0; }));
    CHECK(refused([](auto& h) { h.byte_count = ~0u; }));
    CHECK(refused([](auto& h) { h.byte_offset = 1; })); // then five pages are needed
    CHECK(refused([](auto& h) { h.byte_offset = 4096; }));
    CHECK(refused([](auto& h) { h.relid = 0; }));
    auto in_the_middle = good;
    in_the_middle.byte_offset = 100;
    in_the_middle.byte_count -= 200;
    CHECK(table.begin(in_the_middle, pfns) == GpadlStatus::Created);
    CHECK(table.begin(good, pfns) == GpadlStatus::Duplicate);
    table.clear();
    CHECK(table.begin(header(1, 1), bytes_of(u64{1} << 32)) == GpadlStatus::Malformed);
    CHECK(table.used_pages() == 0);
}

TEST_CASE("lists are bounded in number and in pages", "[vmbus][gpadl]") {
    GpadlTable table;
    SECTION("per channel") {
        for (u32 i = 0; i < GpadlTable::kMaxPerChannel; ++i) {
            CHECK(table.begin(header(i, 1), pfn_bytes(i, 1)) == GpadlStatus::Created);
        }
        CHECK(table.begin(header(99, 1), pfn_bytes(0, 1)) == GpadlStatus::NoRoom);
        CHECK(table.begin(header(99, 1, 2), pfn_bytes(0, 1)) == GpadlStatus::Created);
        table.remove_all(1);
        CHECK(table.used_pages() == 1);
    }
    SECTION("pages, and holes are filled again") {
        for (u32 i = 0; i < 4; ++i) {
            REQUIRE(table.begin(header(i, 1024, i + 1), pfn_bytes(i * 1000, 26)) == GpadlStatus::Incomplete);
        }
        CHECK(table.begin(header(9, 1), pfn_bytes(0, 1)) == GpadlStatus::NoRoom);
        CHECK(table.remove(2, 1));
        CHECK(table.begin(header(9, 1025), {}) == GpadlStatus::NoRoom);
        CHECK(table.begin(header(10, 1000), {}) == GpadlStatus::Incomplete);
        CHECK(table.begin(header(11, 25), {}) == GpadlStatus::NoRoom);
        CHECK(table.begin(header(12, 24), pfn_bytes(5, 24)) == GpadlStatus::Created);
        CHECK(table.used_pages() == GpadlTable::kPoolPages);
        CHECK(table.append(0, pfn_bytes(26, 28)) == GpadlStatus::Incomplete); // a neighbour's is untouched
        CHECK(table.pages(1, 12)[23] == 28);
    }
    SECTION("in all") {
        for (u32 i = 0; i < GpadlTable::kMaxGpadls; ++i) {
            CHECK(table.begin(header(i, 1, i / 8 + 1), pfn_bytes(i, 1)) == GpadlStatus::Created);
        }
        CHECK(table.begin(header(999, 1, 15), pfn_bytes(0, 1)) == GpadlStatus::NoRoom);
        for (u32 i = 0; i < GpadlTable::kMaxGpadls; ++i)
            CHECK(table.pages(i / 8 + 1, i)[0] == i);
    }
}

TEST_CASE("the bus answers every refused list", "[vmbus][gpadl]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    bus.start_guest();
    bus.guest.initiate_contact(vmbus::version(5, 3));
    u32 const relid = bus.guest.request_offers()[0].relid;
    std::vector<u64> const long_list(100, 0x44);
    CHECK(bus.guest.create_gpadl(relid, 1, long_list) == 0u);
    CHECK(bus.guest.create_gpadl(relid, 1, {5}) == vmbus::kStatusInvalidParameter); // in use
    CHECK(bus.guest.create_gpadl(relid + 1, 2, {5}) == vmbus::kStatusInvalidParameter);
    CHECK(bus.guest.create_gpadl(relid, 3, {1ull << 40}) == vmbus::kStatusInvalidParameter);
    CHECK(bus.guest.create_gpadl(relid, 4, std::vector<u64>(5000, 5)) == vmbus::kStatusInsufficientResources);
    CHECK(bus.server.counters().gpadls_refused == 4);
    CHECK(bus.server.gpadls().used_pages() == 100);
    CHECK(bus.guest.ok);
}
