// SPDX-License-Identifier: Apache-2.0
#include "hv/init/machine.hpp"
#include "hv/base/log.hpp"
#include "hv/init/cpu/interrupts.hpp"
#include "hv/init/cpu/local_apic.hpp"
#include "hv/init/cpu/machine_end.hpp"
#include "hv/init/cpu/panic.hpp"
#include "hv/init/cpu/processor_state.hpp"
#include "hv/init/cpu/serial_console.hpp"
#include <algorithm>

extern "C" hv::u8 const image_start[], text_end[], rodata_end[], image_end[]; // hv.ld

namespace hv::init {
namespace handoff = ballast::handoff;
using handoff::MemoryKind;

namespace {
constexpr u64 kLoaderStackBytes = 64 * KiB;

u64 image_offset(u8 const* label) {
    return reinterpret_cast<u64>(label) - handoff::kImageBase;
}
void must(Result<void, mm::HostMapError> result) {
    if (!result.ok()) {
        refuse(result.error() == mm::HostMapError::OutOfFrames
                   ? "not enough memory for the hypervisor's page tables"
                   : "the loader's memory map contradicts itself");
    }
}

/// One piece of RAM in the direct map; never executable.
void map_ram(Machine& m, u64 base, u64 end, mm::HostAccess rights) {
    if (base < end) {
        must(m.space->map(Hva{handoff::kDirectMapBase + base}, Hpa{base}, end - base, rights));
    }
}

/// All RAM: runs of touching ranges as a whole, for large pages. The image's code and constants stay
/// read-only here too.
void map_all_ram(Machine& m) {
    u64 const fixed_base = m.info.hv_image.base;
    u64 const fixed_end = fixed_base + image_offset(rodata_end);
    for (u32 i = 0; i < m.info.memory_count;) {
        auto const is_ram = [&](u32 at) {
            MemoryKind const kind = m.info.memory[at].kind;
            return kind == MemoryKind::Usable || kind == MemoryKind::Loader || kind == MemoryKind::Image;
        };
        handoff::MemoryRange const& range = m.info.memory[i++];
        u64 const base = range.base;
        u64 end = range.base + range.bytes;
        if (range.kind == MemoryKind::Acpi) {
            map_ram(m, base, end, mm::HostAccess::Read);
        }
        if (!is_ram(i - 1)) {
            continue;
        }
        while (i < m.info.memory_count && is_ram(i) && m.info.memory[i].base == end) {
            end += m.info.memory[i++].bytes;
        }
        map_ram(m, base, std::min(end, std::max(base, fixed_base)), mm::HostAccess::ReadWrite);
        map_ram(m, std::max(base, fixed_base), std::min(end, fixed_end), mm::HostAccess::Read);
        map_ram(m, std::min(end, std::max(base, fixed_end)), end, mm::HostAccess::ReadWrite);
    }
}

void map_image(Machine& m) {
    struct Part {
        u8 const *from, *to;
        mm::HostAccess rights;
    };
    Part const parts[] = {{image_start, text_end, mm::HostAccess::ReadExecute},
                          {text_end, rodata_end, mm::HostAccess::Read},
                          {rodata_end, image_end, mm::HostAccess::ReadWrite}};
    for (Part const& part : parts) {
        u64 const offset = image_offset(part.from);
        must(m.space->map(Hva{handoff::kImageBase + offset}, Hpa{m.info.hv_image.base + offset},
                          image_offset(part.to) - offset, part.rights));
    }
}
} // namespace

void refuse(std::string_view why) {
    log_error("Ballast cannot run here: {}", why);
    machine_end(1);
}

std::span<u8 const> view(Machine const& machine, handoff::Span span) {
    return {machine.frames.map().pointer<u8 const>(Hpa{span.base}), span.bytes};
}

void start_traces(Machine& machine, BootInfo const& record) {
    start_console();
    console().write_line("", ""); // firmware leaves the cursor anywhere
    if (std::optional<std::string_view> const fault = find_fault(record)) {
        refuse(*fault);
    }
    machine.info = record;
    build_interrupt_table();
    install_descriptors(machine.boot_cpu);
    allow_trace_through(record.boot_stack_top - kLoaderStackBytes, record.boot_stack_top);
    mm::DirectMap const loader_map{handoff::kDirectMapBase};
    use_symbols({loader_map.pointer<u8 const>(Hpa{record.hv_file.base}), record.hv_file.bytes});
    if (std::optional<std::string_view> const missing = missing_feature()) {
        char space[100];
        TextBuffer line{space};
        format(line, "this processor lacks {}", *missing);
        refuse(line.text());
    }
}

void start_memory(Machine& machine) {
    arch::RealCpu cpu;
    machine.fpu = read_fpu_layout(cpu);
    prepare_processor(machine.fpu);
    machine.ram.fill(machine.info);
    if (!machine.frames.build(machine.ram.ranges(), mm::DirectMap{handoff::kDirectMapBase}).ok()) {
        refuse("too little memory");
    }
    machine.table_frames.emplace(machine.frames, mm::Owner::Hypervisor, mm::FrameKind::HostTable);
    machine.space.emplace(*machine.table_frames, has_huge_pages());
    if (!machine.space->valid()) {
        refuse("not enough memory for the hypervisor's page tables");
    }
    map_all_ram(machine);
    map_image(machine);
    if (!map_stacks(*machine.space, machine.frames, 0, machine.info.cpus[0].node)) {
        refuse("not enough memory for the boot processor's stacks");
    }
    if (u64 const registers = LocalApic::register_page(); registers != 0) {
        must(machine.space->map(Hva{kDeviceArea}, Hpa{registers}, kPageBytes, mm::HostAccess::ReadWrite,
                                mm::HostCache::Uncached));
    }
    arch::write_cr3(machine.space->root().raw);
}

void reclaim_loader_memory(Machine& machine) {
    allow_trace_through(0, 0);
    for (u32 i = 0; i < machine.info.memory_count; ++i) {
        handoff::MemoryRange const& range = machine.info.memory[i];
        if (range.kind != MemoryKind::Loader) {
            continue;
        }
        u64 const end = range.base + range.bytes;
        u64 from = std::max(range.base, kPageBytes); // frame 0 is kept
        u64 const kept = machine.info.ap_trampoline;
        if (kept >= from && kept < end) {
            machine.frames.free_pages(Hpa{from}, (kept - from) / kPageBytes, mm::Owner::Hypervisor);
            from = kept + kPageBytes;
        }
        if (from < end) {
            machine.frames.free_pages(Hpa{from}, (end - from) / kPageBytes, mm::Owner::Hypervisor);
        }
    }
}

void start_processors(Machine& machine) {
    mask_legacy_interrupts();
    bool const x2apic = LocalApic::register_page() == 0;
    local_apic().attach(x2apic ? nullptr : reinterpret_cast<void volatile*>(kDeviceArea));
    local_apic().initialise();
    Result<Clocks, ClockError> const clocks = measure_clocks();
    if (!clocks.ok()) {
        refuse("this machine has no 8254 timer, and its CPUID does not tell the frequency of the TSC");
    }
    machine.services.start(clocks.value(), machine.fpu, machine.info.efi_epoch_seconds,
                           machine.info.efi_epoch_tsc);
    Cpu& cpu = machine.boot_cpu.cpu;
    cpu.apic_id = local_apic().id();
    cpu.node = machine.info.cpus[0].node;
    machine.services.add(cpu);
    start_processors(SmpSetup{machine.info, machine.frames, *machine.space, machine.services});
}

void log_machine(Machine const& machine) {
    u64 const ram_mib = machine.frames.table().ram_pages() * kPageBytes / MiB;
    u64 const free_mib = machine.frames.free_pages() * kPageBytes / MiB;
    u32 nodes = 0; // that have memory: some are of processors alone
    for (u32 node = 0; node < machine.frames.node_count(); ++node) {
        nodes += machine.frames.total_pages(node) != 0 ? 1 : 0;
    }
    log_info("memory: {} MiB on {} node(s), {} MiB free", ram_mib, nodes, free_mib);
    if (machine.ram.dropped_bytes() + machine.frames.table().ignored_bytes() != 0) {
        log_warning("memory: {} MiB lie in too many pieces and are not used",
                    (machine.ram.dropped_bytes() + machine.frames.table().ignored_bytes()) / MiB);
    }
    log_info("processors: {} of {} run ({}, {})", machine.services.cpus().size(), machine.info.cpu_count,
             static_cast<char const*>(vendor_name().text), local_apic().x2apic() ? "x2APIC" : "xAPIC");
    u64 const khz = machine.services.tsc_hz() / 1000;
    log_info("clock: TSC {}.{:03} MHz", khz / 1000, khz % 1000);
}
} // namespace hv::init
