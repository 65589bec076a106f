// SPDX-License-Identifier: Apache-2.0
// A guest that writes anything to any port, MSR and device address, while time passes and interrupts come.
#include "fuzz_input.hpp"
#include "hv/platform/acpi_builder.hpp"
#include "hv/platform/acpi_pm.hpp"
#include "hv/platform/chipset_ports.hpp"
#include "hv/platform/mmio_map.hpp"
#include "hv/platform/pit.hpp"
#include "hv/platform/platform_map.hpp"
#include "hv/platform/rtc.hpp"
#include "hv/platform/uart16550.hpp"
#include "tests/unit/platform/fakes.hpp"
#include <algorithm>
#include <array>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;

namespace {
struct Quiet : ProcessorEvents, PowerEvents, SerialSink {
    void interrupt_pending(u32 vp) override { REQUIRE_THAT(vp < 3); }
    void nmi(u32 vp) override { REQUIRE_THAT(vp < 3); }
    void init(u32 vp) override { REQUIRE_THAT(vp < 3); }
    void start_up(u32 vp, u8) override { REQUIRE_THAT(vp < 3); }
    void reset(ResetCause) override {}
    void power_off() override {}
    void put(u8) override {}
};

struct Machine {
    FakeClock clock;
    Quiet quiet;
    std::array<LocalApic*, 3> slots{};
    InterruptFabric fabric{slots, quiet};
    LocalApic apics[3] = {{{0, 0, true, 200'000'000}, fabric, clock},
                          {{1, 1, false, 200'000'000}, fabric, clock},
                          {{2, 2, false, 200'000'000}, fabric, clock}};
    IoApic io{fabric};
    MmioMap maps[3] = {{apics[0], io}, {apics[1], io}, {apics[2], io}};
    PortBus ports;
    Uart16550 uart{port::kCom1, quiet, io.pin(kCom1Irq)};
    Rtc rtc{clock, io.pin(kRtcIrq)};
    Pit pit{clock, io.pin(kPitPin)};
    AcpiPm pm{clock, quiet};
    ChipsetPorts chipset{quiet};

    Machine() {
        for (LocalApic& a : apics)
            fabric.add(a);
        ports.attach(port::kCom1, Uart16550::kPorts, uart, PortBus::Width::Bytes);
        rtc.attach_to(ports);
        pit.attach_to(ports);
        pm.attach_to(ports);
        chipset.attach_to(ports);
    }
};

/// IRR and ISR, read back as the guest sees them, agree with what the APIC would deliver.
void check(LocalApic& a) {
    if (!a.has_deliverable()) return;
    u8 const priority = a.processor_priority();
    u8 const vector = a.acknowledge();
    REQUIRE_THAT(vector >= 16);
    REQUIRE_THAT(vector >> 4 > priority >> 4);
    REQUIRE_THAT(a.processor_priority() >> 4 == vector >> 4);
    REQUIRE_THAT(!a.has_deliverable()); // nothing of a higher class was left behind
}

u16 some_port(FuzzInput& in) {
    u16 const known[] = {0x20,  0x40,  0x41,  0x42,  0x43,  0x61,  0x64,  0x70,  0x71,  0x80,
                         0x92,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x400,
                         0x402, 0x404, 0x405, 0x408, 0x40c, 0x433, 0xcf8, 0xcf9, 0xcfc};
    return in.flag() ? known[in.below(std::size(known))] : in.get<u16>();
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, usize size) {
    FuzzInput in{data, size};
    Machine m;
    u8 const sizes[] = {1, 2, 4, 8};
    for (unsigned step = 0; step < 200 && !in.empty(); ++step) {
        u32 const vp = static_cast<u32>(in.below(3));
        LocalApic& a = m.apics[vp];
        u64 value = 0;
        switch (in.below(12)) {
        case 0: m.ports.write(some_port(in), sizes[in.below(3)], in.get<u32>()); break;
        case 1: m.ports.read(some_port(in), sizes[in.below(3)]); break;
        case 2: (void)a.write_msr(0x800 + in.get<u8>(), in.flag() ? in.get<u64>() : in.get<u16>()); break;
        case 3: (void)a.read_msr(0x800 + in.get<u8>(), value); break;
        case 4: {
            u64 const bits = in.flag() ? 0xfee0'0000ull | (in.get<u16>() & 0xfff) : in.get<u64>();
            u64 const before = a.apic_base();
            if (!a.write_apic_base(bits)) REQUIRE_THAT(a.apic_base() == before);
            REQUIRE_THAT(a.enabled() || !a.x2apic());
            break;
        }
        case 5:
        case 6: {
            u64 const page = in.flag() ? 0xfee0'0000 : kIoApicBase;
            Gpa const at{page + (in.flag() ? in.below(64) * 16 : in.below(4096))};
            u8 const bytes = sizes[in.below(4)];
            if (in.flag())
                m.maps[vp].write(at, bytes, in.get<u64>());
            else
                m.maps[vp].read(at, bytes);
            break;
        }
        case 7: m.fabric.raise(static_cast<u32>(in.below(4)), in.get<u8>()); break;
        case 8: m.io.set_pin(static_cast<unsigned>(in.below(24)), in.flag()); break;
        case 9: {
            u64 const pass = in.get<u32>() % 2'000'000'000;
            m.clock.tsc += pass;
            m.clock.wall += pass / 100;
            m.clock.reference += pass / 100;
            for (LocalApic& each : m.apics) {
                each.on_time(m.clock.tsc);
                u64 const next = each.next_deadline();
                REQUIRE_THAT(next > m.clock.tsc); // what was due is done
            }
            if (m.clock.reference >= m.rtc.next_deadline()) m.rtc.on_time();
            break;
        }
        case 10:
            in.flag() ? a.write_tsc_deadline(m.clock.tsc + in.get<u16>()) : a.set_cr8(in.get<u8>() & 15);
            a.on_time(m.clock.tsc);
            break;
        default: {
            u8 const byte = in.get<u8>();
            m.uart.receive({&byte, 1});
            if (in.flag()) a.init();
            break;
        }
        }
        check(a);
        if (in.flag()) a.eoi();
    }
    std::vector<u8> image(in.get<u16>() % 8192, 0);
    auto const tables = build_acpi(image, {.processors = 1u + in.get<u8>() % 3u * 130u, .com1 = in.flag()});
    REQUIRE_THAT(!tables.ok() || tables.value().bytes <= image.size());
    return 0;
}
