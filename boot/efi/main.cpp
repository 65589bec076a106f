// SPDX-License-Identifier: Apache-2.0
// BOOTX64.EFI: reads hv.elf, ballast.dtb and the images it names from the EFI system partition, looks at the
// machine, and enters the hypervisor with a BootInfo (boot/handoff/boot_info.hpp). Whatever is missing or
// wrong ends in fail().
#include "boot/efi/boot_memory.hpp"
#include "boot/efi/config_images.hpp"
#include "boot/efi/console.hpp"
#include "boot/efi/cpu_ops.hpp"
#include "boot/efi/efi_api.hpp"
#include "boot/efi/elf.hpp"
#include "boot/efi/file_system.hpp"
#include "boot/efi/handover.hpp"
#include "boot/efi/machine.hpp"
#include "boot/efi/numa.hpp"
#include "boot/efi/runtime.hpp"

namespace ballast::loader {
namespace {
constexpr std::string_view kHypervisorPath = "/ballast/hv.elf";
constexpr std::string_view kDeviceTreePath = "/ballast/ballast.dtb";

/// Firmware, hypervisor, its reserve and one small guest.
constexpr std::uint64_t kMinimumRamMib = 192;

constexpr std::uint64_t kCr4La57 = 1ull << 12; // SDM vol 3A, "Control Registers": 57-bit linear addresses

// Both are too large for the firmware's stack.
constinit ConfigImages config;
constinit MemoryMap first_map;

void check_cpu(RealCpu& cpu) {
    switch (probe_virtualization(cpu)) {
    case Virtualization::Vmx: say("processor: VMX"); break;
    case Virtualization::Svm: say("processor: SVM"); break;
    case Virtualization::Missing:
        fail("this processor offers neither VMX nor SVM; use one that does, switch virtualization on in the "
             "firmware "
             "setup, or, inside a virtual machine, switch nested virtualization on (QEMU: -cpu max or -cpu "
             "host)");
    case Virtualization::VmxLockedOff:
        fail("VMX is switched off and locked (IA32_FEATURE_CONTROL); switch VT-x on in the firmware "
             "setup and "
             "power the machine off and on");
    case Virtualization::SvmLockedOff:
        fail("SVM is switched off and locked (VM_CR.SVMDIS); switch SVM on in the firmware setup "
             "and power "
             "the machine off and on");
    }
    if ((read_cr4() & kCr4La57) != 0)
        fail("the firmware runs with 5-level paging; switch it off in the firmware setup");
}

/// @return end of RAM.
std::uint64_t check_memory(FirmwareMap& map) {
    if (EFI_STATUS const status = map.refresh(); failed(status))
        fail("the firmware's memory map cannot be read (", describe_status(status), "); update the firmware");
    first_map.paint(map.descriptors());
    std::uint64_t const mebibytes = first_map.usable_bytes() >> 20;
    say("memory: ", mebibytes, " MiB");
    if (mebibytes < kMinimumRamMib)
        fail("this machine has ", mebibytes, " MiB of usable memory and Ballast needs at least ",
             kMinimumRamMib, " MiB; give it more memory");
    return end_of_ram(map.descriptors());
}

void load_hypervisor(FileSystem& files, Handover& handover) {
    auto const file =
        files.read(kHypervisorPath, "copy hv.elf of your build there or make the disk image again");
    ElfImage image;
    if (ElfError const error = parse_elf(file, image); error != ElfError::None)
        fail(kHypervisorPath, ": damaged: ", describe(error), "; copy it there again from your build");
    handover.set_hypervisor(file, image);
}

void load_configuration(FileSystem& files, Handover& handover) {
    auto const tree =
        files.read(kDeviceTreePath, "make it from your configuration with: dtc -o ballast.dtb ballast.dts");
    if (ConfigError const error = collect_images(tree, config); error == ConfigError::Damaged)
        fail(kDeviceTreePath, ": damaged: ", describe(error),
             "; make it again with: dtc -o ballast.dtb ballast.dts");
    else if (error != ConfigError::None)
        fail(kDeviceTreePath, ": /partitions/", config.node, ", property ", config.property, ", value \"",
             config.value, "\": ", describe(error));
    handover.set_device_tree(tree);
    for (std::size_t i = 0; i < config.count; i++) {
        auto const path = config.paths[i];
        handover.add_image(
            path, files.read(path, "ballast.dtb names it: copy it there or correct the path in ballast.dts"));
    }
}

void describe_machine(RealCpu& cpu, std::uint64_t end_of_ram, Handover& handover) {
    handoff::BootInfo& info = handover.info();
    info.acpi_rsdp = find_rsdp();
    NumaMap const numa{acpi_table(info.acpi_rsdp, "SRAT")};
    info.node_count = numa.node_count();
    info.node_range_count = numa.write_ranges(info.node_ranges, end_of_ram);
    CpuSet cpus{current_apic_id(cpu)};
    find_cpus(info.acpi_rsdp, cpus);
    for (std::uint32_t const apic_id : cpus.apic_ids()) {
        std::uint32_t const flags = info.cpu_count == 0 ? 1 : 0; // the boot processor is first
        info.cpus[info.cpu_count++] = {apic_id, numa.node_of_cpu(apic_id), flags, 0};
    }
    say("processors: ", info.cpu_count, ", NUMA nodes: ", info.node_count,
        ", ACPI: ", info.acpi_rsdp == 0 ? "none" : "found");
}

[[noreturn]] void run(EFI_HANDLE image) {
    say("Ballast");
    boot_services().SetWatchdogTimer(0, 0, 0,
                                     nullptr); // reading images may take longer than the firmware's 5 minutes
    RealCpu cpu;
    check_cpu(cpu);
    FirmwareMap map;
    std::uint64_t const end_of_ram = check_memory(map);
    Handover handover;
    {
        FileSystem files{image};
        load_hypervisor(files, handover);
        load_configuration(files, handover);
    }
    describe_machine(cpu, end_of_ram, handover);
    handover.prepare(end_of_ram, has_giant_pages(cpu));
    handover.leave(image);
}
} // namespace
} // namespace ballast::loader

/// Called by GNU-EFI's start-up code after it has applied the relocations.
extern "C" EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE* table) {
    using namespace ballast::loader;
    system_table = table;
    prepare_runtime();
    open_console();
    run(image);
}
