// SPDX-License-Identifier: Apache-2.0
// The port bus and the small devices on it.
#include "fakes.hpp"
#include "hv/platform/acpi_pm.hpp"
#include "hv/platform/chipset_ports.hpp"
#include "hv/platform/platform_map.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;

namespace {
struct Recorder : PortDevice {
    std::vector<std::string> log;
    u32 answer = 0;
    u32 read(u16 port, u8 size) override {
        log.push_back("r" + std::to_string(port) + "/" + std::to_string(size));
        return answer++;
    }
    void write(u16 port, u8 size, u32 value) override {
        log.push_back("w" + std::to_string(port) + "/" + std::to_string(size) + "=" + std::to_string(value));
    }
};
struct FakePower : PowerEvents {
    std::vector<ResetCause> resets;
    int offs = 0;
    void reset(ResetCause cause) override { resets.push_back(cause); }
    void power_off() override { ++offs; }
};
using Log = std::vector<std::string>;
} // namespace

TEST_CASE("absent ports read all ones and are counted", "[ports]") {
    PortBus bus;
    CHECK(bus.read(0x1234, 4) == 0xffff'ffff);
    CHECK((bus.read(0x1234, 1) & 0xff) == 0xff);
    bus.write(0xffff, 4, 0);
    CHECK(bus.counters().reads == 2);
    CHECK(bus.counters().absent_reads == 5); // one each byte
    CHECK(bus.counters().absent_writes == 4);
}

TEST_CASE("wide accesses to byte devices are split, others are not", "[ports]") {
    PortBus bus;
    Recorder bytes, wide;
    bus.attach(100, 2, bytes, PortBus::Width::Bytes);
    bus.attach(102, 2, wide, PortBus::Width::Any);
    bytes.answer = 0x11;
    CHECK(bus.read(100, 2) == 0x1211);
    CHECK(bytes.log == Log{"r100/1", "r101/1"});
    bytes.log.clear();
    wide.answer = 0x5a;
    CHECK(bus.read(101, 2) == 0x5a13); // across two devices
    CHECK(bus.read(103, 4) == 0x5b);
    CHECK(wide.log == Log{"r102/1", "r103/4"});
    bus.write(100, 4, 0x04030201);
    CHECK(bytes.log == Log{"r101/1", "w100/1=1", "w101/1=2"});
    CHECK(wide.log.back() == "w103/1=4");
    CHECK(bus.read(99, 2) == 0x14ff); // an absent port, then the device
}

TEST_CASE("the top of the port space wraps", "[ports]") {
    PortBus bus;
    Recorder first, last;
    bus.attach(0, 1, first, PortBus::Width::Bytes);
    bus.attach(0xffff, 1, last, PortBus::Width::Bytes);
    bus.write(0xffff, 2, 0x0201);
    CHECK(first.log == Log{"w0/1=2"});
    CHECK(last.log == Log{"w65535/1=1"});
}

TEST_CASE("every way to a reset and to power-off works, and nothing near it does", "[ports]") {
    FakeClock clock;
    FakePower power;
    PortBus bus;
    ChipsetPorts chipset{power};
    AcpiPm pm{clock, power};
    chipset.attach_to(bus);
    pm.attach_to(bus);
    bus.write(0x433, 1, 0);
    bus.write(0x64, 1, 0xfd);
    bus.write(0x64, 1, 0xd1);
    bus.write(0x92, 1, 2);
    bus.write(0xcf9, 1, 2);
    bus.write(0xcf8, 4, 0x8000'0600); // a PCI address whose second byte looks like a reset
    bus.write(0x404, 2, 0x2000 | 5 << 10);
    bus.write(0x404, 2, 0);
    CHECK(power.resets.empty());
    CHECK(power.offs == 0);
    CHECK(pm.refused_sleeps() == 1);
    bus.write(0x433, 1, 1);
    bus.write(0xcf9, 1, 6);
    bus.write(0x64, 1, 0xfe);
    bus.write(0x92, 1, 1);
    CHECK(power.resets == std::vector<ResetCause>{ResetCause::AcpiRegister, ResetCause::ChipsetControl,
                                                  ResetCause::KeyboardController, ResetCause::FastReset});
    bus.write(0x404, 2, 0x2000);
    CHECK(power.offs == 1);
    bus.write(0x405, 1, 0x20); // by its high byte alone
    CHECK(power.offs == 2);
}

TEST_CASE("legacy chips answer as if they were not there", "[ports]") {
    FakePower power;
    PortBus bus;
    ChipsetPorts chipset{power};
    chipset.attach_to(bus);
    for (u16 port : {0x20, 0x21, 0xa0, 0xa1, 0x64, 0x80, 0x4d0}) {
        bus.write(port, 1, 0x55);
        CHECK((bus.read(port, 1) & 0xff) == 0xff);
    }
    bus.write(0xcf8, 4, 0x8000'0800); // 00:01.0
    CHECK(bus.read(0xcf8, 4) == 0x8000'0800);
    CHECK(bus.read(0xcfc, 4) == 0xffff'ffff);
    bus.write(0xcf8, 4, 0x8000'0000); // 00:00.0, the host bridge and the only device
    CHECK(bus.read(0xcfc, 4) == 0x7192'8086);
    CHECK((bus.read(0xcfe, 2) & 0xffff) == 0x7192);
    CHECK(bus.read(0xcff, 2) == 0xffff'ffff); // across the register's end
    bus.write(0xcf8, 4, 0x8000'0008);
    CHECK((bus.read(0xcff, 1) & 0xff) == 0x06); // class: bridge
    bus.write(0xcf8, 4, 0);
    CHECK(bus.read(0xcfc, 4) == 0xffff'ffff); // not enabled
    CHECK(bus.counters().absent_reads == 0);
}

TEST_CASE("the PM timer counts 3.579545 MHz of reference time and wraps at 32 bits", "[pm]") {
    FakeClock clock;
    FakePower power;
    PortBus bus;
    AcpiPm pm{clock, power};
    pm.attach_to(bus);
    CHECK(bus.read(0x408, 4) == 0);
    clock.reference = 10'000'000;
    CHECK(bus.read(0x408, 4) == Approx(3'579'545).margin(1));
    clock.reference = 36'000'000'000; // an hour
    CHECK(bus.read(0x408, 4) == Approx(static_cast<u32>(3'579'545ull * 3600)).margin(20));
    u32 const whole = bus.read(0x408, 4);
    CHECK((bus.read(0x409, 1) & 0xff) == (whole >> 8 & 0xff));
    bus.write(0x408, 4, 0);
    CHECK(bus.read(0x408, 4) == whole);
}

TEST_CASE("PM1 and GPE registers look idle and keep their enables", "[pm]") {
    FakeClock clock;
    FakePower power;
    PortBus bus;
    AcpiPm pm{clock, power};
    pm.attach_to(bus);
    CHECK((bus.read(0x404, 2) & 0xffff) == 1); // SCI_EN: in ACPI mode from the start
    bus.write(0x400, 2, 0xffff);
    CHECK((bus.read(0x400, 2) & 0xffff) == 0);
    bus.write(0x402, 2, 0xffff);
    CHECK((bus.read(0x402, 2) & 0xffff) == 0x0721);
    CHECK(bus.read(0x400, 4) == 0x0721'0000);
    bus.write(0x40c, 4, 0xaa55'ffff);
    CHECK(bus.read(0x40c, 4) == 0xaa55'0000);
    CHECK((bus.read(0x40f, 1) & 0xff) == 0xaa);
    bus.write(0x404, 2, 1 << 10 | 2);
    CHECK((bus.read(0x404, 2) & 0xffff) == (1 << 10 | 3));
    CHECK(bus.read(0x40e, 4) == 0xffff'aa55); // past the block
    pm.reset();
    CHECK(bus.read(0x40c, 4) == 0);
}
