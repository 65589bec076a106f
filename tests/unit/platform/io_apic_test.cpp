// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/platform/io_apic.hpp"
#include "hv/platform/mmio_map.hpp"
#include <array>
#include <catch2/catch.hpp>
#include <memory>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;

namespace {
struct Bed {
    FakeClock clock;
    FakeProcessors processors;
    std::array<LocalApic*, 2> slots{};
    InterruptFabric fabric{slots, processors};
    LocalApic a{{0, 0, true, 100'000'000}, fabric, clock}, b{{1, 1, false, 100'000'000}, fabric, clock};
    IoApic io{fabric};

    Bed() {
        for (LocalApic* apic : {&a, &b}) {
            fabric.add(*apic);
            REQUIRE(apic->write_apic_base(apic->apic_base() | 0x400));
            REQUIRE(apic->write_msr(0x80f, 0x1ff));
        }
    }
    u32 read(u32 index) {
        io.write_mmio(0, 4, index);
        return static_cast<u32>(io.read_mmio(0x10, 4));
    }
    void write(u32 index, u32 value) {
        io.write_mmio(0, 4, index);
        io.write_mmio(0x10, 4, value);
    }
    void entry(unsigned pin, u32 low, u32 destination = 0) {
        write(0x11 + 2 * pin, destination << 24);
        write(0x10 + 2 * pin, low);
    }
    int taken(LocalApic& apic) { return apic.has_deliverable() ? apic.acknowledge() : -1; }
};
constexpr u32 kLevel = 1u << 15, kMasked = 1u << 16, kRemoteIrr = 1u << 14;
} // namespace

TEST_CASE("registers read as the chip's do", "[ioapic]") {
    Bed bed;
    CHECK(bed.read(1) == 0x0017'0011);
    bed.write(0, 0xff00'0000);
    CHECK(bed.read(0) == 0x0f00'0000);
    CHECK(bed.read(0x10) == kMasked);
    bed.entry(3, 0xffff'ffff, 0xab);
    CHECK(bed.read(0x16) == (0x1ffff & ~(1u << 12 | kRemoteIrr)));
    CHECK(bed.read(0x17) == 0xab00'0000);
    bed.write(0x40, 0xffff'ffff); // no such entry
    CHECK(bed.read(0x40) == 0);
    CHECK(bed.read(0xff) == 0);
    CHECK(bed.io.read_mmio(0x10, 1) == 0);
    CHECK(bed.io.read_mmio(0x20, 4) == 0);
}

TEST_CASE("an edge makes one interrupt", "[ioapic]") {
    Bed bed;
    bed.entry(4, 0x34, 1);
    InterruptLine& line = bed.io.pin(4);
    line.set(true);
    CHECK(bed.taken(bed.b) == 0x34);
    CHECK(bed.processors.log == std::vector<std::string>{"irq 1"});
    line.set(true);
    bed.b.eoi();
    CHECK(bed.taken(bed.b) == -1);
    line.set(false);
    line.set(true);
    CHECK(bed.taken(bed.b) == 0x34);
    CHECK(bed.taken(bed.a) == -1);
}

TEST_CASE("edges on a masked pin are lost and counted", "[ioapic]") {
    Bed bed;
    bed.entry(4, 0x34 | kMasked);
    bed.io.set_pin(4, true);
    bed.entry(4, 0x34);
    CHECK(bed.taken(bed.a) == -1);
    CHECK(bed.io.counters().masked == 1);
}

TEST_CASE("a level interrupt comes again after EOI until the device is quiet", "[ioapic]") {
    Bed bed;
    bed.entry(9, 0x39 | kLevel);
    bed.io.set_pin(9, true);
    CHECK((bed.read(0x22) & kRemoteIrr) != 0);
    CHECK(bed.taken(bed.a) == 0x39);
    bed.io.set_pin(9, false);
    bed.io.set_pin(9, true); // not again before EOI
    CHECK(bed.io.counters().delivered == 1);
    bed.a.eoi();
    CHECK(bed.taken(bed.a) == 0x39);
    bed.io.set_pin(9, false);
    bed.a.eoi();
    CHECK(bed.taken(bed.a) == -1);
    CHECK((bed.read(0x22) & kRemoteIrr) == 0);
}

TEST_CASE("a level pin asserted while masked interrupts when it is unmasked", "[ioapic]") {
    Bed bed;
    bed.entry(9, 0x39 | kLevel | kMasked);
    bed.io.set_pin(9, true);
    CHECK(bed.taken(bed.a) == -1);
    bed.entry(9, 0x39 | kLevel);
    CHECK(bed.taken(bed.a) == 0x39);
    bed.entry(9, 0x39 | kLevel | kMasked);
    bed.a.eoi(); // ended while masked: remote IRR clears, nothing comes
    CHECK(bed.taken(bed.a) == -1);
    CHECK((bed.read(0x22) & kRemoteIrr) == 0);
    bed.entry(9, 0x39 | kLevel);
    CHECK(bed.taken(bed.a) == 0x39);
    bed.entry(9, 0x39); // to edge and back ends a stuck one
    CHECK((bed.read(0x22) & kRemoteIrr) == 0);
}

TEST_CASE("destinations and modes", "[ioapic]") {
    Bed bed;
    bed.entry(1, 0x50, 0xff);
    bed.io.set_pin(1, true);
    CHECK(bed.taken(bed.a) == 0x50);
    CHECK(bed.taken(bed.b) == 0x50);
    bed.entry(2, 0x400, 1); // NMI
    bed.processors.log.clear();
    bed.io.set_pin(2, true);
    CHECK(bed.processors.log == std::vector<std::string>{"nmi 1"});
    bed.entry(3, 0x860, 2); // logical, cluster 0, member 1
    bed.io.set_pin(3, true);
    CHECK(bed.taken(bed.b) == 0x60);
    bed.entry(5, 0x0e); // illegal vector
    bed.io.set_pin(5, true);
    bed.entry(6, 0x700 | 0x40); // ExtINT
    bed.io.set_pin(6, true);
    bed.entry(7, 0x300 | 0x40); // reserved mode
    bed.io.set_pin(7, true);
    CHECK(bed.io.counters().illegal == 3);
    CHECK(bed.taken(bed.a) == -1);
}

TEST_CASE("reset masks all pins", "[ioapic]") {
    Bed bed;
    bed.entry(4, 0x34);
    bed.io.reset();
    for (unsigned pin = 0; pin < IoApic::kPins; ++pin) {
        CHECK(bed.io.entry(pin) == kMasked);
    }
}

TEST_CASE("a processor's MMIO map: its own local APIC, the I/O APIC, and nothing else", "[mmiomap]") {
    Bed bed;
    MmioMap map{bed.b, bed.io};
    CHECK(!map.claims({0xfee0'0020})); // in x2APIC mode the page is gone
    CHECK(map.read({0xfee0'0020}, 4) == ~0ull);
    bed.b.reset();
    CHECK(map.claims({0xfee0'0fff}));
    CHECK(!map.claims({0xfee0'1000}));
    CHECK(map.read({0xfee0'0020}, 4) == 0x0100'0000);
    REQUIRE(bed.b.write_apic_base(0xd000'0800));
    CHECK(map.read({0xfee0'0020}, 4) == ~0ull);
    map.write({0xd000'0080}, 4, 0x20);
    CHECK(bed.b.task_priority() == 0x20);
    map.write({0xfec0'0000}, 4, 1);
    CHECK(map.read({0xfec0'0010}, 4) == 0x0017'0011);
    map.write({0x1234'5678}, 8, 0);
    CHECK(map.counters().local_apic == 2);
    CHECK(map.counters().io_apic == 2);
    CHECK(map.counters().absent == 3);
}
