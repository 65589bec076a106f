# SPDX-License-Identifier: Apache-2.0
"""The machines a run can have: software QEMU (SVM), Bochs (VMX) and QEMU with KVM (what the CPU offers).

Each function turns a `Hardware` and a folder of the run into the command that starts the emulator. COM1 is a socket that we
listen on, so no byte of it is lost and it works both ways. Facts about the beds: see tests/emulator/README.md.
"""
import fcntl
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .paths import BOCHS3
from .say import Failure

BEDS = ("qemu", "bochs", "kvm")
OVMF = Path("/usr/share/ovmf/OVMF.fd")  # the 2 MiB image: larger ones do not fit below 4 GiB on Bochs
BOCHS_EPOCH_SECONDS = 1767225600        # 2026-01-01, fixed so that runs repeat
BOCHS_INSTRUCTIONS_PER_SECOND = 100_000_000
BOCHS_SCREEN = (4, 36, 800, 600)        # left, top, width, height on the X server: in the window's border and under its buttons; what OVMF chooses
DEBUG_EXIT_PORT = 0x501
MONITOR = "monitor"  # QEMU's, a socket in the run's folder
ICOUNT_SHIFT = 3  # 8 ns an instruction, about Bochs's pace. At 0 the firmware's 10 ms waits between IPIs cost half a minute of wall clock


@dataclass
class Hardware:
    """What the machine has. Sizes in MiB."""
    bed: str = "qemu"
    cpus: int = 1
    memory_mib: int = 2048
    numa_nodes: int = 1
    virtualization: bool = True      # false: a processor that knows neither SVM nor VMX
    nested_paging: bool = True       # false: one that knows them, but not NPT or EPT
    hypervisor_gdb: int | None = None  # QEMU's own stub, for the hypervisor itself
    real_time: bool = False          # qemu, one CPU: idle takes its time instead of being skipped
    host_clock: bool = False         # qemu: the machine's time is ours, nothing is counted; runs do not repeat
    icount_shift: int = ICOUNT_SHIFT # qemu, one CPU: an instruction takes 2^shift ns of the machine's time
    serial_files: dict = field(default_factory=dict)  # {2: path}: output of COM2 and up into files
    serial_sockets: dict = field(default_factory=dict)  # {3: address}: COM2 and up connect to a socket that is listened on
    screen: bool = False             # a display for Machine.screen(); a machine that has stopped then stays, to be looked at
    first_disk: Path | None = None   # one more, before that which is told apart: the firmware looks there first
    x_display: str | None = None     # bochs: the X server for that, as DISPLAY has it
    extra: tuple = ()                # more arguments for QEMU


@dataclass(frozen=True)
class Kvm:
    """What this machine says about KVM, see look_at_kvm().

    extension  of its processor for virtual machines: "VMX", "SVM" or None
    opening    the OSError of opening the device, or None
    using      the OSError of making a virtual machine with it, or None
    nested     {"kvm_intel": "Y"}: the switch for nested virtualisation of each module that is loaded
    """
    extension: str | None = None
    opening: OSError | None = None
    using: OSError | None = None
    nested: dict = field(default_factory=dict)


def look_at_kvm(device=Path("/dev/kvm"), modules=Path("/sys/module"), processors=Path("/proc/cpuinfo")):
    """Asks the kernel; the only part of the choice that depends on the machine."""
    found = re.search(r"^flags\s*:.*\b(vmx|svm)\b", processors.read_text(), re.MULTILINE)
    switches = {name: modules / name / "parameters/nested" for name in ("kvm_intel", "kvm_amd")}
    opening = using = None
    try:
        opened = os.open(device, os.O_RDWR)
    except OSError as error:
        opening = error
    else:
        try:
            fcntl.ioctl(opened, 0xAE00)  # KVM_GET_API_VERSION
            os.close(fcntl.ioctl(opened, 0xAE01, 0))  # KVM_CREATE_VM
        except OSError as error:
            using = error
        finally:
            os.close(opened)
    return Kvm(found and found.group(1).upper(), opening, using,
               {name: switch.read_text().strip() for name, switch in switches.items() if switch.exists()})


def kvm_trouble(kvm):
    """Why KVM as it was found cannot carry a hypervisor and what helps, or None when it can."""
    if kvm.extension is None:
        return "the processor offers neither VMX nor SVM"
    if isinstance(kvm.opening, FileNotFoundError):
        return f"there is no /dev/kvm: modprobe kvm_{'intel' if kvm.extension == 'VMX' else 'amd'}"
    if isinstance(kvm.opening, PermissionError):
        return "no permission to use /dev/kvm: sudo usermod -aG kvm $USER, then log in again"
    if kvm.opening:
        return f"/dev/kvm: {kvm.opening.strerror}"
    if kvm.using:
        return f"/dev/kvm does not work: {kvm.using.strerror}"
    for module, switch in kvm.nested.items():
        if switch not in ("1", "Y"):
            return f"nested virtualisation is off: modprobe -r {module}; modprobe {module} nested=1"
    return None if kvm.nested else "neither kvm_intel nor kvm_amd is loaded"


def choose_bed(wanted, kvm=None):
    """The bed for "auto" is kvm where it can carry a hypervisor, else qemu; a named one is checked. Returns (bed, why).
    kvm: what to judge by instead of this machine.
    """
    if wanted in ("kvm", "auto"):
        kvm = kvm or look_at_kvm()
        trouble = kvm_trouble(kvm)
        if trouble is None:
            return "kvm", f"nested KVM ({kvm.extension})"
        if wanted == "kvm":
            raise Failure(f"no nested KVM here: {trouble}; or use --bed qemu or --bed bochs")
        return "qemu", f"software QEMU (SVM); no nested KVM: {trouble}"
    if wanted not in BEDS:
        raise Failure(f'unknown bed "{wanted}"; allowed are {", ".join(BEDS)}')
    return wanted, {"qemu": "software QEMU (SVM)", "bochs": f"Bochs {bochs_version()} (VMX)"}[wanted]


def _need_firmware():
    if not OVMF.exists():
        raise Failure(f"{OVMF} is missing: run scripts/setup")


def qemu_command(hardware: Hardware, disk: Path | None, com1, folder: Path):
    """QEMU's command line; `com1` is the path of a unix socket that is listened on."""
    _need_firmware()
    machine, cpu = "q35", ["-cpu", "max" + ("" if hardware.virtualization else ",-svm") + ("" if hardware.nested_paging else ",-npt")]
    accelerator = ["-accel", "tcg"]
    if hardware.bed == "kvm":
        accelerator, cpu = ["-accel", "kvm"], ["-cpu", "host"]
    elif hardware.cpus == 1 and not hardware.host_clock:
        accelerator += ["-icount", f"shift={hardware.icount_shift},sleep=" + ("on" if hardware.real_time else "off")]
    else:
        accelerator = ["-accel", "tcg,thread=multi"]
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", machine, *accelerator, *cpu,
               "-m", str(hardware.memory_mib), "-smp", str(hardware.cpus), "-bios", OVMF, "-display", "none",
               "-rtc", "base=utc,clock=" + ("host" if hardware.real_time or hardware.host_clock or hardware.bed == "kvm" else "vm"), "-no-reboot",
               "-chardev", f"socket,id=com1,path={com1}", "-serial", "chardev:com1"]
    if hardware.screen:
        command += ["-device", "VGA", "-monitor", f"unix:{folder / MONITOR},server,nowait"]
    else:
        command += ["-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=2"]
    for number in range(2, 5):
        if number in hardware.serial_sockets:
            command += ["-chardev", f"socket,id=com{number},path={hardware.serial_sockets[number]}", "-serial", f"chardev:com{number}"]
        elif number in hardware.serial_files:
            command += ["-serial", f"file:{hardware.serial_files[number]}"]
        elif any(other > number for other in (*hardware.serial_files, *hardware.serial_sockets)):
            command += ["-serial", "null"]
    for place, file in enumerate(filter(None, (hardware.first_disk, disk))):
        command += ["-drive", f"if=none,id=disk{place},format=raw,snapshot=on,file={file}", "-device", f"ide-hd,drive=disk{place},bus=ide.{place}"]
    if hardware.numa_nodes > 1:
        part = hardware.memory_mib // hardware.numa_nodes
        per_node = max(1, hardware.cpus // hardware.numa_nodes)
        for node in range(hardware.numa_nodes):
            size = part if node + 1 < hardware.numa_nodes else hardware.memory_mib - part * node
            command += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
            first, last = node * per_node, min((node + 1) * per_node, hardware.cpus) - 1
            if node + 1 == hardware.numa_nodes:
                last = hardware.cpus - 1
            cpus = f",cpus={first}-{last}" if first <= last else ""
            command += ["-numa", f"node,nodeid={node},memdev=node{node}{cpus}"]
    if hardware.hypervisor_gdb:
        command += ["-gdb", f"tcp:127.0.0.1:{hardware.hypervisor_gdb}"]
    return [str(part) for part in [*command, *hardware.extra]], None


def have_bochs3():
    return (BOCHS3 / "usr/bin/bochs-bin").exists()


def bochs_version():
    return "3.0" if have_bochs3() else "2.7"


def bochs_start():
    """How to start the preferred Bochs: (command so far, environment, folder of its BIOS images, takes an rc file)."""
    if have_bochs3():
        library = BOCHS3 / "usr/lib/x86_64-linux-gnu"
        loader = library / "ld-linux-x86-64.so.2"
        path = ":".join(str(part) for part in (library, BOCHS3 / "lib/x86_64-linux-gnu", library / "pulseaudio",
                                               library / "bochs/plugins"))
        environment = dict(os.environ, LTDL_LIBRARY_PATH=str(library / "bochs/plugins"), BXSHARE=str(BOCHS3 / "usr/share/bochs"))
        return [str(loader), "--library-path", path, str(BOCHS3 / "usr/bin/bochs-bin")], environment, BOCHS3 / "usr/share/bochs", False
    program = shutil.which("bochs-bin")
    if not program:
        raise Failure("Bochs is missing: run scripts/setup")
    return [program], dict(os.environ), Path("/usr/share/bochs"), True


def bochs_command(hardware: Hardware, disk: Path | None, com1, folder: Path, *, firmware=OVMF, boot="disk", cdrom=None):
    """Bochs's command line; `com1` is "host:port" of a socket that is listened on. Writes its configuration into folder."""
    _need_firmware()
    if hardware.hypervisor_gdb:
        raise Failure("Debian's Bochs has no gdb stub of its own: use --bed qemu")
    if hardware.numa_nodes > 1:
        raise Failure("Bochs has one memory node: use --bed qemu")
    command, environment, share, takes_rc = bochs_start()
    vga = next((path for path in (share / "VGABIOS-lgpl-latest", share / "VGABIOS-lgpl-latest.bin", Path("/usr/share/bochs/VGABIOS-lgpl-latest"))
                if path.exists()), None)
    if vga is None:
        raise Failure(f"Bochs has no VGA BIOS in {share}: run scripts/setup")
    ignored = ", ".join(f"cpu{number}=ignore" for number in range(hardware.cpus))
    model = "p4_prescott_celeron_336" if not hardware.virtualization else "broadwell_ult" if hardware.nested_paging else "core2_penryn_t9600"
    address = ", address=0xffe00000" if firmware == OVMF else ""
    log = folder / "bochs.log"
    lines = [  # paths in quotes: of words without them Bochs drops the spaces
        "config_interface: textconfig",
        "display_library: x" if hardware.screen else 'display_library: rfb, options="timeout=0"',
        f"memory: guest={hardware.memory_mib}, host={min(hardware.memory_mib, 2048)}",
        f'romimage: file="{firmware}"{address}',
        f'vgaromimage: file="{vga}"',
        f"cpu: model={model}, count={hardware.cpus}, ips={BOCHS_INSTRUCTIONS_PER_SECOND}, reset_on_triple_fault=0",
        "pci: enabled=1, chipset=i440fx" + (", slot1=cirrus" if hardware.screen else ""),
        f"boot: {boot}",
        f"com1: enabled=1, mode=socket-client, dev={com1}",
        f"clock: sync=none, time0={BOCHS_EPOCH_SECONDS}",
        f'log: "{log}"',
        f"error: action=report, {ignored}",
        f"info: action=report, {ignored}",
        "panic: action=fatal",
    ]
    for place, file in zip(("master", "slave"), filter(None, (hardware.first_disk, disk))):
        lines.append(f'ata0-{place}: type=disk, path="{file}", mode=flat')
    if cdrom:
        lines.append(f'ata1-master: type=cdrom, path="{cdrom}", status=inserted')
    for number, path in hardware.serial_files.items():
        lines.append(f'com{number}: enabled=1, mode=file, dev="{path}"')
    for number, address in hardware.serial_sockets.items():
        lines.append(f"com{number}: enabled=1, mode=socket-client, dev={address}")
    if hardware.screen:
        # Of Bochs's adapters the firmware has a driver for this one. Without the plug-ins nothing hears the words that end the machine.
        lines += ["vga: extension=cirrus", "plugin_ctrl: unmapped=false, biosdev=false"]
        environment["DISPLAY"] = hardware.x_display
    (folder / "bochsrc").write_text("\n".join(lines) + "\n")
    command += ["-q", "-f", str(folder / "bochsrc")]
    if takes_rc:  # Debian's 2.7 starts in its debugger
        (folder / "rc").write_text("c\n")
        command += ["-rc", str(folder / "rc")]
    return command, environment
