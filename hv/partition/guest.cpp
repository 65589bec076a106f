// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/guest.hpp"
#include "hv/base/log.hpp"
#include "hv/platform/acpi_builder.hpp"

namespace hv::partition {
namespace {
/// ACPI tables lie where kernels also scan for the RSDP; mm::GuestLayout keeps it RAM, e820 says ACPI data.
constexpr Gpa kAcpiBase{0xe'0000};
constexpr u64 kAcpiBytes = 16 * KiB;
/// What the guest is told its APIC timer runs at (Hyper-V's own figure).
constexpr u32 kApicTimerHz = 200'000'000;

std::array<u8, 3> hypercall_bytes(VirtBackend const& backend) {
    u8 bytes[3];
    backend.hypercall_instruction(bytes);
    return {bytes[0], bytes[1], bytes[2]};
}

constexpr u64 pages_of_mib(u64 mib) {
    return mib * (MiB / kPageBytes);
}

constexpr mm::GuestMemoryRefusal kNoHostMemory{.why = mm::GuestMemoryRefusal::Why::NoHostMemory};
} // namespace

Result<Guest*, mm::GuestMemoryRefusal> Guest::create(PartitionConfig const& config, HostParts& host,
                                                     GuestEvents& events, mm::KernelHeap& heap,
                                                     mm::OwnedFrames& frames, mm::Owner owner, u16 tag,
                                                     u32 near_node) {
    auto* const memory = HV_TRY(mm::GuestMemory::create(heap, host.frames,
                                                        {.owner = owner,
                                                         .startup_bytes = config.memory.startup_mib * MiB,
                                                         .maximum_bytes = config.memory.maximum_mib * MiB,
                                                         .numa_spanning = host.numa_spanning,
                                                         .near_node = near_node,
                                                         .small_pages_only = config.small_pages}));
    auto const nested = host.backend.create_nested_map(memory->table_frames());
    void* const fpu = nested ? frames.allocate() : nullptr;
    if (fpu == nullptr) {
        if (nested) {
            host.backend.destroy(nested.value(), memory->table_frames());
        }
        mm::GuestMemory::destroy(heap, memory);
        return Err{kNoHostMemory};
    }
    auto const hardware = host.backend.create_vcpu({.nested = nested.value(), .partition_tag = tag}, frames);
    void* const space = hardware ? heap.allocate(sizeof(Guest), alignof(Guest)) : nullptr;
    if (space == nullptr) {
        if (hardware) {
            host.backend.destroy(hardware.value(), frames);
        }
        frames.free(fpu);
        host.backend.destroy(nested.value(), memory->table_frames());
        mm::GuestMemory::destroy(heap, memory);
        return Err{kNoHostMemory};
    }
    memory->attach(*nested.value());
    u32 const area = host.host.fpu_layout().area_bytes;
    HV_ASSERT(area <= kPageBytes);
    return new (space) Guest(config, host, events,
                             {.heap = heap,
                              .frames = frames,
                              .memory = *memory,
                              .nested = *nested.value(),
                              .hardware = *hardware.value(),
                              .fpu_area = {static_cast<u8*>(fpu), area}});
}

void Guest::destroy(Guest* guest, HostParts& host) {
    Parts const parts = guest->parts_;
    guest->~Guest();
    parts.heap.free(guest, sizeof(Guest), alignof(Guest));
    host.backend.destroy(&parts.hardware, parts.frames);
    parts.frames.free(parts.fpu_area.data());
    parts.memory.discard();
    host.backend.destroy(&parts.nested, parts.memory.table_frames());
    mm::GuestMemory::destroy(parts.heap, &parts.memory);
}

Guest::Guest(PartitionConfig const& config, HostParts& host, GuestEvents& events, Parts const& parts)
    : config_{config},
      host_{host},
      events_{events},
      parts_{parts},
      time_{host.host},
      devices_{config.name, *this, *this, time_, host.console},
      vp_{{.guest = this,
           .host = &host.host,
           .hardware = &parts.hardware,
           .fpu_area = parts.fpu_area,
           .cpuid = {.apic_id = 0,
                     .vp_count = config.processors,
                     .guest_physical_bits = host.guest_physical_bits,
                     .host = host.host_cpuid,
                     .host_context = nullptr},
           .apic = {.vp_index = 0, .apic_id = 0, .bootstrap = true, .timer_hz = kApicTimerHz},
           .fabric = &devices_.fabric(),
           .clock = &time_,
           .index = 0}},
      mmio_{vp_.apic(), devices_.io_apic()},
      hyperv_{{.memory = parts.memory,
               .interrupts = devices_.fabric(),
               .clock = time_,
               .vps = {&hyperv_vp_, 1},
               .hypercall_instruction = hypercall_bytes(host.backend),
               .apic_hz = kApicTimerHz,
               .guest_physical_bits = host.guest_physical_bits,
               .crash_sink = this}},
      vmbus_{parts.memory, hyperv_},
      time_sync_{time_},
      memory_adapter_{parts.memory},
      dm_{memory_adapter_, pages_of_mib(config.memory.maximum_mib)},
      memory_work_{host.host, dm_.counters()} {
    auto const leaves = hyperv_.cpuid_leaves();
    for (u32 n = 0; n < leaves.size(); ++n) {
        vp_.cpuid().set_hypervisor_leaf(n, leaves[n]);
    }
    vmbus::ChannelDevice* const devices[] = {&dm_, &heartbeat_, &shutdown_, &time_sync_};
    for (vmbus::ChannelDevice* device : devices) {
        bool const added = vmbus_.add(*device);
        HV_ASSERT(added);
    }
}

u32 Guest::build_memory_map(std::span<MemoryMapEntry> map) const {
    mm::GuestLayout const& layout = parts_.memory.layout();
    u32 count = 0;
    map[count++] = {Gpa{0}, mm::GuestLayout::kHole.raw, 1};
    map[count++] = {mm::GuestLayout::kReserved, kAcpiBase - mm::GuestLayout::kReserved, 2};
    map[count++] = {kAcpiBase, kAcpiBytes, 3};
    map[count++] = {kAcpiBase + kAcpiBytes, mm::GuestLayout::kReservedEnd - (kAcpiBase + kAcpiBytes), 2};
    map[count++] = {mm::GuestLayout::kReservedEnd, layout.low.last - mm::GuestLayout::kReservedEnd, 1};
    if (layout.high.bytes() != 0) {
        map[count++] = {layout.high.first, layout.high.bytes(), 1};
    }
    return count;
}

bool Guest::write_acpi_tables(Gpa& rsdp) {
    // Page by page through the guest's own memory would need the tables in pieces: build them in a frame run
    // of the heap.
    auto* const space = static_cast<u8*>(parts_.heap.allocate(kAcpiBytes));
    if (space == nullptr) {
        return false;
    }
    auto const tables =
        platform::build_acpi({space, kAcpiBytes}, {.base = kAcpiBase, .processors = config_.processors});
    HV_ASSERT(tables.ok());
    rsdp = tables.value().rsdp;
    bool const written = parts_.memory.write(kAcpiBase, {space, tables.value().bytes}).ok();
    parts_.heap.free(space, kAcpiBytes);
    return written;
}

char const* Guest::boot() {
    reset_devices();
    time_.restart();
    vp_.reset();
    vp_.set_tsc_offset(time_.guest_offset());
    LoadRequest request{.kernel = host_.images.find(config_.kernel),
                        .initrd = config_.initrd.empty() ? std::span<u8 const>{}
                                                         : host_.images.find(config_.initrd),
                        .modules = {},
                        .command_line = config_.command_line,
                        .map = {},
                        .rsdp = {}};
    MemoryMapEntry map[8];
    request.map = {map, build_memory_map(map)};
    if (!write_acpi_tables(request.rsdp)) {
        return "no room for its ACPI tables";
    }
    ModuleImage modules[kMaxModules];
    for (u32 i = 0; i < config_.module_count; ++i) {
        modules[i] = {host_.images.find(config_.modules[i]), config_.modules[i]};
    }
    request.modules = {modules, config_.module_count};
    auto const entry = load_kernel(request, parts_.memory);
    if (!entry) {
        log_error("partition {}: kernel '{}' {}", name(), config_.kernel, text(entry.error()));
        return "its kernel could not be loaded";
    }
    vp_.enter_at(entry.value());
    return nullptr;
}

void Guest::reset_devices() {
    vmbus_.reset();
    hyperv_.reset();
    devices_.reset();
    memory_adapter_.reset();
    dm_.reset();
}

void Guest::hypercall(bool long_mode) {
    MemoryWork::Account const account{memory_work_}; // a signal is served at once
    GuestGprs& gprs = parts_.hardware.gprs;
    auto const pair = [&](Reg high, Reg low) { return gprs[high] << 32 | (gprs[low] & 0xffff'ffff); };
    auto const result = long_mode ? hyperv_.hypercall(0, gprs[Reg::Rcx], gprs[Reg::Rdx], gprs[Reg::R8])
                                  : hyperv_.hypercall(0, pair(Reg::Rdx, Reg::Rax), pair(Reg::Rbx, Reg::Rcx),
                                                      pair(Reg::Rdi, Reg::Rsi));
    if (result.invalid_opcode) {
        vp_.refuse_hypercall();
        return;
    }
    gprs[Reg::Rax] = long_mode ? result.value : result.value & 0xffff'ffff;
    if (!long_mode) {
        gprs[Reg::Rdx] = result.value >> 32;
    }
    if (vmbus_.has_pending_work()) {
        vp_.stop_running();
    }
}

bool Guest::read_synthetic_msr(u32 vp, u32 index, u64& value) {
    return hyperv_.read_msr(vp, index, value) == hyperv::MsrResult::Handled;
}

bool Guest::write_synthetic_msr(u32 vp, u32 index, u64 value) {
    return hyperv_.write_msr(vp, index, value) == hyperv::MsrResult::Handled;
}

void Guest::fire_timers(u32 vp, u64 now_tsc) {
    u64 const reference = time_.reference_at(now_tsc);
    hyperv_.on_time(vp, reference);
    devices_.on_time(reference);
}

u64 Guest::next_timer_tsc(u32 vp) const {
    u64 const synthetic = hyperv_.next_deadline(vp);
    u64 const device = devices_.next_deadline();
    u64 const earliest = synthetic < device ? synthetic : device;
    return earliest == kNever ? kNever : time_.host_tsc_at(earliest);
}

void Guest::tsc_written(u64 offset) {
    time_.set_guest_offset(offset);
    hyperv_.refresh_reference_page();
}

void Guest::interrupt_pending(u32) {
    vp_.attend_soon();
}

void Guest::nmi(u32) {
    vp_.nmi_pending();
}

void Guest::init(u32) {
    // INIT to the only processor of a partition: nobody is left to send the SIPI, so it is the reset that
    // guests mean by it.
    events_.guest_reset();
}

void Guest::start_up(u32, u8) {
    // The only processor never waits for a SIPI.
}

void Guest::guest_crashed(hyperv::CrashReport const& report) {
    events_.guest_panicked();
    if (!crash_lines_.allow()) {
        return;
    }
    log_error("partition {}: the guest reports a crash: {:x} {:x} {:x} {:x} {:x}", name(),
              report.parameters[0], report.parameters[1], report.parameters[2], report.parameters[3],
              report.parameters[4]);
    if (!report.text.empty()) {
        log_error("partition {}: {}", name(), report.text.substr(0, 160));
    }
}
} // namespace hv::partition
