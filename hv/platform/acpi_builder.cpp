// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/acpi_builder.hpp"
#include "hv/base/assert.hpp"
#include "hv/base/bits.hpp"
#include "hv/platform/aml_writer.hpp"
#include "hv/platform/apic_registers.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
namespace {
constexpr std::string_view kOemId = "BALLST", kOemTableId = "BALLAST", kCreatorId = "BLST";
constexpr u32 kOemRevision = 1;
constexpr usize kRsdpBytes = 36, kFadtBytes = 276, kFacsBytes = 64;

namespace fadt_flags { // ACPI 6.4, "Fixed ACPI description table fixed feature flags"
constexpr u32 kWbinvd = 1u << 0, kProcC1 = 1u << 2, kPwrButton = 1u << 4, kSlpButton = 1u << 5,
              kTmrValExt = 1u << 8, kResetRegSup = 1u << 10, kUsePlatformClock = 1u << 15;
constexpr u16 kBootVgaNotPresent = 1u << 2;
} // namespace fadt_flags
constexpr u32 kPcatCompat = 1; // MADT: 8259s present, so Linux keeps 16 legacy interrupts

class Builder {
  public:
    Builder(std::span<u8> out, AcpiConfig const& config) : space_{out}, out_{out}, config_{config} {}
    Result<AcpiTables, AcpiError> build();

  private:
    u64 address_of(usize at) const { return config_.base.raw + at; }
    usize begin(std::string_view signature, u8 revision);
    void end(usize start);
    void checksum(usize start, usize bytes, usize field);
    void gas(u16 io_port, u8 bits, u8 access);

    void facs();
    void dsdt();
    void devices(AmlWriter&);
    void fadt(usize facs_at, usize dsdt_at);
    void madt();
    void srat();
    void rsdp(usize xsdt_at);

    std::span<u8> space_;
    ByteWriter out_;
    AcpiConfig const& config_;
};

usize Builder::begin(std::string_view signature, u8 revision) {
    out_.align(16);
    usize const start = out_.at();
    out_.text(signature, 4);
    out_.put32(0); // length
    out_.put8(revision);
    out_.put8(0); // checksum
    out_.text(kOemId, 6);
    out_.text(kOemTableId, 8);
    out_.put32(kOemRevision);
    out_.text(kCreatorId, 4);
    out_.put32(kOemRevision);
    return start;
}

void Builder::checksum(usize start, usize bytes, usize field) {
    if (out_.overflowed()) {
        return;
    }
    u8 sum = 0;
    for (u8 b : out_.written(start, start + bytes)) {
        sum = static_cast<u8>(sum + b);
    }
    out_.patch8(start + field, static_cast<u8>(-sum));
}

void Builder::end(usize start) {
    usize const bytes = out_.at() - start;
    out_.patch32(start + 4, static_cast<u32>(bytes));
    checksum(start, bytes, 9);
}

/// Generic address structure for an I/O port; port 0 gives the empty one.
void Builder::gas(u16 io_port, u8 bits, u8 access) {
    out_.put8(io_port != 0); // system I/O
    out_.put8(bits);
    out_.put8(0);
    out_.put8(access); // 1 byte, 2 word, 3 dword
    out_.put64(io_port);
}

void Builder::facs() {
    out_.text("FACS", 4);
    out_.put32(kFacsBytes);
    out_.zeros(24);
    out_.put8(2); // version
    out_.zeros(31);
}

void Builder::devices(AmlWriter& aml) {
    {
        auto const module = aml.device("VMOD");
        aml.name("_HID", "ACPI0004"); // module device: passes its windows down
        aml.name("_UID", 0);
        ResourceWriter windows;
        if (config_.mmio32_bytes != 0) {
            windows.memory_window32(config_.mmio32_base, config_.mmio32_bytes);
        }
        if (config_.mmio64_bytes != 0) {
            windows.memory_window64(config_.mmio64_base, config_.mmio64_bytes);
        }
        aml.name("_CRS");
        aml.buffer(windows.finish());

        auto const vmbus = aml.device("VMBS");
        aml.name("_HID", "MSFT1000");
        aml.name("_CID", "VMBus"); // what Linux matches
        aml.name("_UID", 0);
        aml.name("_DDN", "VMBUS");
        aml.name("_STA", 0xf);
        ResourceWriter none;
        aml.name("_CRS");
        aml.buffer(none.finish());
    }
    if (config_.com1) {
        auto const uart = aml.device("COM1");
        aml.name("_HID");
        aml.eisa_id("PNP0501");
        aml.name("_UID", 1);
        aml.name("_STA", 0xf);
        ResourceWriter resources;
        resources.io(port::kCom1, 8);
        resources.irq(kCom1Irq);
        aml.name("_CRS");
        aml.buffer(resources.finish());
    }
}

void Builder::dsdt() {
    usize const start = begin("DSDT", 2);
    AmlWriter aml{out_};
    aml.name("_S5_");
    {
        auto const types = aml.package(4);
        aml.integer(kPowerOffSleepType);
        aml.integer(kPowerOffSleepType);
        aml.integer(0);
        aml.integer(0);
    }
    {
        auto const system_bus = aml.scope("\\_SB_");
        devices(aml);
    }
    end(start);
}

/// Fields in the order of ACPI 6.4, table "FADT format"; offsets in the comments.
void Builder::fadt(usize facs_at, usize dsdt_at) {
    usize const start = begin("FACP", 6);
    out_.put32(static_cast<u32>(address_of(facs_at))); // 36
    out_.put32(static_cast<u32>(address_of(dsdt_at)));
    out_.put8(0);
    out_.put8(4); // 45 preferred profile: enterprise server
    out_.put16(kSciIrq);
    out_.put32(0); // 48 SMI_CMD: always in ACPI mode
    out_.zeros(4);
    out_.put32(port::kPm1Event); // 56
    out_.put32(0);
    out_.put32(port::kPm1Control); // 64
    out_.put32(0);
    out_.put32(0);
    out_.put32(port::kPmTimer); // 76
    out_.put32(port::kGpe0);
    out_.put32(0);
    out_.put8(4); // 88 PM1_EVT_LEN
    out_.put8(2);
    out_.put8(0);
    out_.put8(4);
    out_.put8(4); // 92 GPE0_BLK_LEN
    out_.zeros(3);
    out_.put16(101); // 96 latencies above 100 and 1000: no C2, no C3
    out_.put16(1001);
    out_.zeros(8);
    out_.put8(kRtcCentury); // 108
    out_.put16(fadt_flags::kBootVgaNotPresent);
    out_.put8(0);
    out_.put32(fadt_flags::kWbinvd | fadt_flags::kProcC1 | fadt_flags::kPwrButton | fadt_flags::kSlpButton |
               fadt_flags::kTmrValExt | fadt_flags::kResetRegSup | fadt_flags::kUsePlatformClock); // 112
    gas(port::kReset, 8, 1);
    out_.put8(kResetValue); // 128
    out_.put16(0);
    out_.put8(2);                    // 131 minor revision
    out_.put64(0);                   // 132 X_FIRMWARE_CTRL: the 32-bit field is used
    out_.put64(address_of(dsdt_at)); // 140
    gas(port::kPm1Event, 32, 2);     // 148
    gas(0, 0, 0);
    gas(port::kPm1Control, 16, 2); // 172
    gas(0, 0, 0);
    gas(0, 0, 0);
    gas(port::kPmTimer, 32, 3); // 208
    gas(port::kGpe0, 32, 1);
    gas(0, 0, 0);
    gas(0, 0, 0); // 244 sleep control and status: hardware-reduced machines only
    gas(0, 0, 0);
    out_.put64(0); // 268 hypervisor vendor identity
    HV_ASSERT(out_.at() - start == kFadtBytes);
    end(start);
}

void Builder::madt() {
    usize const start = begin("APIC", 5);
    out_.put32(static_cast<u32>(apic::kDefaultBase));
    out_.put32(kPcatCompat);
    for (u32 id = 0; id < config_.processors; ++id) {
        if (id < 255) { // processor local APIC
            out_.put8(0);
            out_.put8(8);
            out_.put8(static_cast<u8>(id));
            out_.put8(static_cast<u8>(id));
            out_.put32(1); // enabled
        } else {           // processor local x2APIC
            out_.put8(9);
            out_.put8(16);
            out_.put16(0);
            out_.put32(id);
            out_.put32(1);
            out_.put32(id);
        }
    }
    out_.put8(1); // I/O APIC
    out_.put8(12);
    out_.put8(0); // ID
    out_.put8(0);
    out_.put32(kIoApicBase);
    out_.put32(0); // first GSI
    out_.put8(2);  // interrupt source override: the PIT's interrupt 0, with the bus's polarity and trigger
    out_.put8(10);
    out_.put8(0); // ISA
    out_.put8(0);
    out_.put32(kPitPin);
    out_.put16(0);
    out_.put8(2); // interrupt source override: the SCI is level-triggered, active high
    out_.put8(10);
    out_.put8(0); // ISA
    out_.put8(kSciIrq);
    out_.put32(kSciIrq);
    out_.put16(0xd);
    out_.put8(4); // local APIC NMI: LINT1 of every processor
    out_.put8(6);
    out_.put8(0xff);
    out_.put16(0);
    out_.put8(1);
    end(start);
}

void Builder::srat() {
    usize const start = begin("SRAT", 3);
    out_.put32(1);
    out_.put64(0);
    for (u32 id = 0; id < config_.processors; ++id) {
        out_.put8(2); // processor local x2APIC affinity
        out_.put8(24);
        out_.put16(0);
        out_.put32(0); // node
        out_.put32(id);
        out_.put32(1); // enabled
        out_.put32(0);
        out_.put32(0);
    }
    for (AcpiMemoryRange const& range : config_.memory) {
        out_.put8(1); // memory affinity
        out_.put8(40);
        out_.put32(range.node);
        out_.put16(0);
        out_.put64(range.base.raw);
        out_.put64(range.bytes);
        out_.put32(0);
        out_.put32(1u | (range.hot_plug ? 2u : 0u)); // enabled, hot-pluggable
        out_.put64(0);
    }
    end(start);
}

void Builder::rsdp(usize xsdt_at) {
    ByteWriter rsdp{space_.first(kRsdpBytes)}; // written last, into the hole left at the start
    rsdp.text("RSD PTR ", 8);
    rsdp.put8(0);
    rsdp.text(kOemId, 6);
    rsdp.put8(2); // revision
    rsdp.put32(0);
    rsdp.put32(kRsdpBytes);
    rsdp.put64(address_of(xsdt_at));
    checksum(0, 20, 8);
    checksum(0, kRsdpBytes, 32);
}

Result<AcpiTables, AcpiError> Builder::build() {
    HV_ASSERT(config_.base.aligned(64) && config_.base.raw < 4 * GiB);
    out_.zeros(kRsdpBytes);
    out_.align(64);
    usize const facs_at = out_.at();
    facs();
    usize const dsdt_at = out_.at();
    dsdt();
    usize tables[3];
    usize count = 0;
    out_.align(16);
    tables[count++] = out_.at();
    fadt(facs_at, dsdt_at);
    out_.align(16);
    tables[count++] = out_.at();
    madt();
    if (!config_.memory.empty()) {
        out_.align(16);
        tables[count++] = out_.at();
        srat();
    }
    usize const xsdt_at = begin("XSDT", 1);
    for (usize i = 0; i < count; ++i) {
        out_.put64(address_of(tables[i]));
    }
    end(xsdt_at);
    if (out_.overflowed()) {
        return Err{AcpiError::NoRoom};
    }
    rsdp(xsdt_at);
    return AcpiTables{config_.base, out_.at()};
}
} // namespace

Result<AcpiTables, AcpiError> build_acpi(std::span<u8> out, AcpiConfig const& config) {
    return Builder{out, config}.build();
}
} // namespace hv::platform
