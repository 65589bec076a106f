// SPDX-License-Identifier: Apache-2.0
#include "apic_bed.hpp"
#include <catch2/catch.hpp>
#include <thread>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;
using apic::Register;

TEST_CASE("an interrupt goes from IRR through ISR to EOI", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    CHECK(!a.has_deliverable());
    CHECK(a.raise(0x35));
    CHECK(bed.read(static_cast<Register>(0x21)) == 1u << 0x15);
    REQUIRE(a.has_deliverable());
    CHECK(a.acknowledge() == 0x35);
    CHECK(!a.has_deliverable());
    CHECK(bed.read(static_cast<Register>(0x21)) == 0);
    CHECK(bed.read(static_cast<Register>(0x11)) == 1u << 0x15);
    CHECK(bed.read(Register::ProcessorPriority) == 0x30);
    bed.write(Register::Eoi, 0);
    CHECK(bed.read(static_cast<Register>(0x11)) == 0);
    CHECK(bed.read(Register::ProcessorPriority) == 0);
}

TEST_CASE("priority: higher classes nest, the same class waits", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    a.raise(0x51);
    CHECK(a.acknowledge() == 0x51);
    a.raise(0x5f);
    a.raise(0x30);
    CHECK(!a.has_deliverable());
    a.raise(0xf3);
    a.raise(0x60);
    REQUIRE(a.has_deliverable());
    CHECK(a.acknowledge() == 0xf3);
    a.eoi();
    CHECK(a.acknowledge() == 0x60);
    a.eoi(); // 0x60
    CHECK(!a.has_deliverable());
    a.eoi(); // 0x51
    CHECK(a.acknowledge() == 0x5f);
    a.eoi();
    CHECK(a.acknowledge() == 0x30);
    a.eoi();
    CHECK(!a.has_deliverable());
    a.eoi(); // without anything in service
    CHECK(a.processor_priority() == 0);
}

TEST_CASE("TPR and CR8 hold interrupts back", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    a.raise(0x45);
    a.set_cr8(4);
    CHECK(!a.has_deliverable());
    CHECK(bed.read(Register::TaskPriority) == 0x40);
    CHECK(bed.read(Register::ProcessorPriority) == 0x40);
    bed.write(Register::TaskPriority, 0x3f);
    CHECK(a.cr8() == 3);
    CHECK(a.has_deliverable());
    CHECK(a.acknowledge() == 0x45);
    bed.write(Register::TaskPriority, 0x4a);
    CHECK(a.processor_priority() == 0x4a); // TPR's sub-class shows when the classes are equal
    CHECK(bed.refuses(Register::TaskPriority, 0x100));
}

TEST_CASE("acknowledging nothing gives the spurious vector and leaves no trace in ISR", "[apic]") {
    ApicBed bed;
    CHECK(bed[0].acknowledge() == 0xff);
    CHECK(bed[0].counters().spurious == 1);
    CHECK(bed.read(static_cast<Register>(0x17)) == 0);
}

TEST_CASE("vectors below 16 are refused and counted", "[apic]") {
    ApicBed bed;
    CHECK(!bed[0].raise(15));
    bed.fabric.raise(0, 3);
    CHECK(bed[0].counters().illegal_vectors == 2);
    CHECK(!bed[0].has_deliverable());
    CHECK(bed.processors.log.empty());
    bed.fabric.raise(7, 0x40); // no such processor
    CHECK(bed.fabric.counters().illegal == 1);
}

TEST_CASE("a software-disabled APIC takes no fixed interrupts and masks its LVT", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    bed.write(Register::LvtLint1, 0x400);
    a.raise(0x40);
    bed.write(Register::SpuriousVector, 0xff);
    CHECK(!a.raise(0x41));
    CHECK(a.counters().dropped == 1);
    CHECK(bed.read(Register::LvtLint1) == 0x10400);
    bed.write(Register::LvtLint1, 0x400);
    CHECK(bed.read(Register::LvtLint1) == 0x10400); // the mask stays while disabled
    bed.write(Register::SpuriousVector, 0x1ff);
    CHECK(a.has_deliverable()); // what was pending is kept
}

TEST_CASE("x2APIC registers fault where the architecture says so", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    u64 value;
    CHECK(bed.read(Register::Version) == 0x0005'0014);
    for (u32 index :
         {0x800u, 0x801u, 0x809u, 0x80bu, 0x80cu, 0x80eu, 0x82fu, 0x831u, 0x83au, 0x83fu, 0x840u, 0x8ffu}) {
        INFO(index);
        CHECK(!a.read_msr(index, value));
    }
    for (Register r :
         {Register::Id, Register::Version, Register::ProcessorPriority, Register::LogicalDestination,
          Register::InService, Register::Request, Register::CurrentCount, Register::DestinationFormat,
          Register::CommandHigh, static_cast<Register>(0x50)}) {
        INFO(static_cast<int>(r));
        CHECK(bed.refuses(r, 0));
    }
    CHECK(bed.refuses(Register::Eoi, 1));
    CHECK(bed.refuses(Register::ErrorStatus, 1));
    CHECK(bed.refuses(Register::SpuriousVector, 0x21ff));
    CHECK(bed.refuses(Register::LvtTimer, 1u << 19));
    CHECK(bed.refuses(Register::LvtTimer, 1ull << 32));
    CHECK(bed.refuses(Register::LvtError, 0x400));
    CHECK(bed.refuses(Register::DivideConfiguration, 4));
    CHECK(bed.refuses(Register::CommandLow, 1u << 20));
    CHECK(bed.refuses(Register::SelfIpi, 0x100));
    CHECK(a.counters().refused >= 30);
}

TEST_CASE("IA32_APIC_BASE follows the state diagram", "[apic]") {
    FakeClock clock;
    FakeProcessors processors;
    std::array<LocalApic*, 1> slots{};
    InterruptFabric fabric{slots, processors};
    LocalApic a{{0, 0, true, 100'000'000}, fabric, clock};
    u64 value = 0;
    CHECK(a.apic_base() == 0xfee0'0900);
    CHECK(!a.read_msr(0x802, value));       // no MSRs in xAPIC mode
    CHECK(!a.write_apic_base(0xfee0'0500)); // EXTD without EN
    CHECK(!a.write_apic_base(0xfee0'0901)); // reserved
    CHECK(!a.write_apic_base(1ull << 52 | 0x900));
    REQUIRE(a.write_apic_base(0xfee0'0d00));
    CHECK(a.x2apic());
    CHECK(!a.write_apic_base(0xfee0'0900)); // back to xAPIC
    CHECK(!a.write_apic_base(0xfee0'0500));
    REQUIRE(a.write_apic_base(0xfee0'0100)); // off
    CHECK(!a.enabled());
    CHECK(!a.write_apic_base(0xfee0'0d00)); // off to x2APIC
    REQUIRE(a.write_apic_base(0xfee0'0800));
    CHECK(a.apic_base() == 0xfee0'0900); // BSP is ours
    REQUIRE(a.write_apic_base(0x1'2345'6900));
    CHECK(a.mmio_base().raw == 0x1'2345'6000);
}

TEST_CASE("the xAPIC page takes aligned 32-bit accesses", "[apic]") {
    ApicBed bed{4, false};
    LocalApic& a = bed[3];
    CHECK(a.read_mmio(offset(Register::Id), 4) == 0x0300'0000);
    CHECK(a.read_mmio(offset(Register::Id) + 3, 1) == 3);
    CHECK(a.read_mmio(offset(Register::Id) + 2, 4) == 0); // across the slot
    CHECK(a.read_mmio(offset(Register::DestinationFormat), 4) == 0xffff'ffff);
    a.write_mmio(offset(Register::LogicalDestination), 4, 0xabcd'ef01);
    CHECK(a.read_mmio(offset(Register::LogicalDestination), 4) == 0xab00'0000);
    a.write_mmio(offset(Register::TaskPriority), 1, 0x55);
    a.write_mmio(offset(Register::TaskPriority) + 4, 4, 0x55);
    CHECK(a.read_mmio(offset(Register::TaskPriority), 4) == 0);
    a.write_mmio(offset(Register::Version), 4, 1);
    CHECK(a.read_mmio(offset(Register::Version), 4) == 0x0005'0014);
    CHECK(a.read_mmio(offset(Register::Eoi), 4) == 0);
    a.write_mmio(offset(Register::ErrorStatus), 4, 0);
    CHECK(a.read_mmio(offset(Register::ErrorStatus), 4) == 0);
    a.read_mmio(0x3f0, 4);
    a.write_mmio(offset(Register::ErrorStatus), 4, 0);
    CHECK(a.read_mmio(offset(Register::ErrorStatus), 4) == 0x80); // illegal register address
    a.raise(0x77);
    CHECK(a.read_mmio(0x230, 4) == 1u << 0x17);
    a.acknowledge();
    a.write_mmio(offset(Register::Eoi), 4, 0x1234);
    CHECK(a.read_mmio(0x130, 4) == 0);
}

TEST_CASE("logical IDs in x2APIC mode come from the APIC ID", "[apic]") {
    ApicBed bed{18};
    CHECK(bed.read(Register::LogicalDestination, 17) == 0x0001'0002);
    CHECK(bed.read(Register::Id, 17) == 17);
}

TEST_CASE("IPIs find their processors", "[apic]") {
    ApicBed bed{18};
    auto const sent = [&](u64 icr, u32 from = 0) {
        bed.processors.log.clear();
        bed.write(Register::CommandLow, icr, from);
        return bed.processors.log;
    };
    using Log = std::vector<std::string>;
    CHECK(sent(0x0000'0002'0000'00fd) == Log{"irq 2"});
    CHECK(bed[2].acknowledge() == 0xfd);
    CHECK(bed.read(Register::CommandLow) == 0x0000'0002'0000'00fd);
    CHECK(sent(0x0001'0003'0000'08fd) == Log{"irq 16", "irq 17"}); // logical, cluster 1, members 0 and 1
    CHECK(sent(0xffff'ffff'0000'00fd).size() == 18);
    CHECK(sent(0x000c'00fd, 5).size() == 17);
    CHECK(sent(0x0008'00fd, 5).size() == 18);
    CHECK(sent(0x0004'0041, 5).empty()); // self: nobody to wake
    CHECK(bed[5].has_deliverable());
    CHECK(sent(0x0000'0001'0000'0400) == Log{"nmi 1"});
    CHECK(sent(0x0000'0001'0000'c500) == Log{"init 1"});
    CHECK(sent(0x0000'0001'0000'8500).empty()); // INIT de-assert
    CHECK(sent(0x0000'0001'0000'0612) == Log{"sipi 1 18"});
    CHECK(sent(0x0000'0063'0000'00fd).empty());
    CHECK(bed.fabric.counters().undeliverable == 1);
    CHECK(sent(0x0000'0001'0000'0200).empty()); // SMI goes nowhere
    CHECK(bed.fabric.counters().illegal == 1);
    bed.write(Register::SelfIpi, 0x61);
    bed.write(Register::ErrorStatus, 0);
    CHECK(bed.read(Register::ErrorStatus) == 0);
    CHECK(sent(0x0000'0001'0000'0005).empty());
    bed.write(Register::ErrorStatus, 0);
    CHECK(bed.read(Register::ErrorStatus) == 0x20); // send illegal vector
}

TEST_CASE("lowest priority picks one, the least busy", "[apic]") {
    ApicBed bed{3};
    bed[0].set_cr8(5);
    bed[1].set_cr8(2);
    bed[2].set_cr8(3);
    bed.write(Register::CommandLow, 0xffff'ffff'0000'01fd);
    CHECK(bed.processors.log == std::vector<std::string>{"irq 1"});
}

TEST_CASE("xAPIC destinations: physical, flat and cluster", "[apic]") {
    ApicBed bed{4, false};
    auto const sent = [&](u32 high, u32 low) {
        bed.processors.log.clear();
        bed[0].write_mmio(0x310, 4, high);
        bed[0].write_mmio(0x300, 4, low);
        return bed.processors.log;
    };
    using Log = std::vector<std::string>;
    for (u32 i = 0; i < 4; ++i) {
        bed[i].write_mmio(offset(Register::LogicalDestination), 4, 1u << (24 + i));
    }
    CHECK(sent(0x0300'0000, 0x40) == Log{"irq 3"});
    CHECK(sent(0xff00'0000, 0x41).size() == 4);
    CHECK(sent(0x0a00'0000, 0x842) == Log{"irq 1", "irq 3"});
    for (u32 i = 0; i < 4; ++i) { // cluster 2: members 0 and 1; cluster 3: the same
        bed[i].write_mmio(offset(Register::DestinationFormat), 4, 0x0fff'ffff);
        bed[i].write_mmio(offset(Register::LogicalDestination), 4, ((2 + i / 2) << 4 | 1u << (i % 2)) << 24);
    }
    CHECK(sent(0x3300'0000, 0x843) == Log{"irq 2", "irq 3"});
    CHECK(sent(0x2200'0000, 0x844) == Log{"irq 1"});
}

TEST_CASE("LINT1 as NMI", "[apic]") {
    ApicBed bed{2};
    bed[1].pulse_lint(1);
    CHECK(bed.processors.log.empty());
    bed.write(Register::LvtLint1, 0x400, 1);
    bed[1].pulse_lint(1);
    CHECK(bed.processors.log == std::vector<std::string>{"nmi 1"});
    bed.write(Register::LvtLint0, 0x700, 1); // ExtINT: no 8259
    bed[1].pulse_lint(0);
    CHECK(bed.processors.log.size() == 1);
}

TEST_CASE("EOI of a level-triggered vector is told to the I/O APICs, of an edge one is not", "[apic]") {
    struct Listener : EoiListener {
        std::vector<u8> heard;
        void end_of_interrupt(u8 vector) override { heard.push_back(vector); }
    } listener;
    ApicBed bed;
    bed.fabric.set_eoi_listener(&listener);
    bed.fabric.deliver({.vector = 0x50, .level = true, .destination = 0});
    CHECK(bed.read(static_cast<Register>(0x1a)) == 1u << 0x10);
    bed[0].acknowledge();
    bed[0].eoi();
    CHECK(listener.heard == std::vector<u8>{0x50});
    bed.fabric.deliver({.vector = 0x50, .level = false, .destination = 0});
    bed[0].acknowledge();
    bed[0].eoi();
    CHECK(listener.heard.size() == 1);
}

TEST_CASE("INIT forgets everything but who it is", "[apic]") {
    ApicBed bed{2};
    LocalApic& a = bed[1];
    a.raise(0x44);
    a.acknowledge();
    a.raise(0x99);
    bed.write(Register::LvtTimer, 0x30, 1);
    bed.write(Register::InitialCount, 100, 1);
    a.set_cr8(3);
    a.init();
    CHECK(a.x2apic());
    CHECK(a.next_deadline() == kNever);
    CHECK(!a.has_deliverable());
    CHECK(a.processor_priority() == 0);
    CHECK(bed.read(Register::SpuriousVector, 1) == 0xff);
    CHECK(bed.read(Register::LvtLint0, 1) == 0x10000);
    a.reset();
    CHECK(!a.x2apic());
    CHECK(a.apic_base() == 0xfee0'0800);
}

TEST_CASE("requests from other processors are never lost", "[apic]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    constexpr int kRounds = 20000;
    std::array<std::atomic<int>, 2> taken{};
    auto const raiser = [&](u8 vector, int which) {
        for (int round = 0; round < kRounds; ++round) {
            a.raise(vector);
            while (taken[which].load() <= round) {
                std::this_thread::yield();
            }
        }
    };
    std::thread one{raiser, u8{0x41}, 0}, two{raiser, u8{0x42}, 1};
    while (taken[0] < kRounds || taken[1] < kRounds) {
        if (a.has_deliverable()) {
            u8 const vector = a.acknowledge();
            a.eoi();
            taken[vector - 0x41]++;
        } else {
            std::this_thread::yield();
        }
    }
    one.join();
    two.join();
    CHECK(a.counters().spurious == 0);
}
