# SPDX-License-Identifier: Apache-2.0
"""scripts/bench: what the hypervisor costs in instructions, ours beside Linux KVM's, measured in one run on one emulator.

guest-tools/measure/bench_guest is one file that runs under both: as a partition of Ballast, and under kvmbench in Debian's
kernel with KVM, which itself runs on the bare emulator. Its TSC counts instructions of guest and host together (on QEMU times
2^icount_shift). Lines: "bench NAME BED ours=N kvm=N ratio=N"; "-" where a side could not be measured or
has nothing like it. Some figures are KiB; their names say so.

Ballast zeroes each page that a guest touches first; KVM has the page from its process, zeroed long ago ("first-touch") or not
yet ("fresh-touch"). So that like stands beside like, "first-touch" is ours without the zeroing, whose cost the guest measures.
"""
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import apt, beds, build, cases, console, debuggee, image, initramfs, setup
from .arguments import Parser, seconds
from .gdb import Gdb
from .machine import Expired, Machine
from .paths import GUEST_KERNEL, ROOT, RUNS, preset_dir, show
from .say import Failure, note, run, step
from .serial_line import SerialLine

_RESULT = re.compile(r"bench ([a-z-]+) (\d+)\s*$")
_BEDS = ("qemu", "bochs")
BOOT_BUDGET = 1.10


@dataclass
class Benchmark:
    """A figure of bench_guest and the budget of the design, instructions on each bed (None: no budget)."""
    name: str
    what: str
    budget: dict


BENCHMARKS = [
    Benchmark("cpuid", "one CPUID exit, round trip", {"qemu": 240, "bochs": 160}),
    Benchmark("cpuid-stub", "the same with a port for the debugger and nobody attached: not one instruction more",
              {"qemu": 240, "bochs": 160}),
    Benchmark("port-read", "one port read", {}),
    Benchmark("first-touch", "first touch of a 4 KiB page, zeroing apart", {"qemu": 600, "bochs": 500}),
    Benchmark("fresh-touch", "first touch of a 4 KiB page, zeroing included", {}),
    Benchmark("second-touch", "the same page again: what the touch itself costs", {}),
]
_STEPS = 100
_MOVES_MIB = 512  # startup memory of the guest whose memory is moved; it may have twice as much
# Ours alone. KVM leaves ballooning to its VMM, and its size and bookkeeping are Linux's.
OURS_ALONE = [
    Benchmark("balloon-2m", "host work per 2 MiB ballooned", {"qemu": 2000, "bochs": 2000}),
    Benchmark("give-back-2m", "host work per 2 MiB given back", {"qemu": 2000, "bochs": 2000}),
    Benchmark("partition-kib", "KiB of host memory beside a partition's own",
              {bed: 512 + _MOVES_MIB * 2 * 1024 // 400 for bed in _BEDS}),
    Benchmark("step", "a debugger's single step, from its request's last byte until the stop's reply is ready", {bed: 3000 for bed in _BEDS}),
    Benchmark("false-condition", "a breakpoint whose condition does not hold", {bed: 1500 for bed in _BEDS}),
    Benchmark("text-kib", "KiB of the hypervisor's text, the decoder library's apart", {bed: 256 for bed in _BEDS}),
]
_OF_A_STOCK_GUEST = ("balloon-2m", "give-back-2m", "partition-kib")


def _collect(machine, end):
    """Reads lines until `end` matches; returns {name: ticks}."""
    found = {}
    while True:
        line = machine.next_line()
        match = _RESULT.search(line.text)
        if match:
            found[match.group(1)] = int(match.group(2))
        if re.search(end, line.text):
            return found


def _instructions(found, hardware):
    divisor = 1 << hardware.icount_shift if hardware.bed == "qemu" else 1
    return {name: ticks / divisor for name, ticks in found.items()}


def ours(bed, preset, folder, timeout_s, line=None):
    """Ballast's figures: bench_guest as the only partition. line: a SerialLine that is the debugger's port."""
    dts = folder / "bench.dts"
    guest = preset_dir(preset) / "guest-tools/measure/bench_guest"
    dts.write_text(cases.config(cases.partition("bench", str(guest), startup_mib=64, small_pages=True),
                                debugger=f"com{line.com}" if line else None))
    disk = folder / f"ours-{line.com if line else 0}.img"  # a Bochs that was ended leaves its lock
    image.build_disk(dts, disk, preset)
    hardware = beds.Hardware(bed=bed, memory_mib=1024)
    with Machine(hardware, disk, timeout_s=timeout_s, log=RUNS / f"bench-ours-{bed}.log", debugger=line) as machine:
        found = _instructions(_collect(machine, r"bench end|partitions ended|^ballast: .*(error|panic)"), hardware)
    if "first-touch" in found and "zeroing" in found:
        found["first-touch"] -= found["zeroing"]
    return found


def stub_ours(bed, preset, folder, timeout_s):
    """An exit where a debugger could come but has not."""
    found = ours(bed, preset, folder, timeout_s, SerialLine(3))
    return {"cpuid-stub": found["cpuid"]} if "cpuid" in found else {}


_UP = r"ballast-guest: up after ([\d.]+) s"


def _boot_instructions(machine, hardware):
    """Kernel time at the start of user space, as instructions; idle time counts as instructions not executed but waited."""
    seconds = float(machine.expect(_UP, stop=r"^ballast: .*(loader: error|panic)").group(1))
    return seconds * (1e9 / (1 << hardware.icount_shift) if hardware.bed == "qemu" else beds.BOCHS_INSTRUCTIONS_PER_SECOND)


def boot_ours(bed, preset, folder, timeout_s):
    """The stock guest to user space as a partition."""
    dts = folder / "boot.dts"
    dts.write_text(cases.config(cases.stock(words="ballast.job=poweroff ballast.no-drivers")))
    disk = folder / "boot.img"
    image.build_disk(dts, disk, preset)
    hardware = beds.Hardware(bed=bed, memory_mib=1024)
    with Machine(hardware, disk, timeout_s=timeout_s, log=RUNS / f"bench-boot-ours-{bed}.log") as machine:
        return {"boot-to-init": _boot_instructions(machine, hardware)}


def _means(counters, *figures):
    """{name: ticks / events * scale} of those (name, ticks' counter, events' counter, scale) that were counted."""
    return {name: counters[ticks] * scale / counters[events] for name, ticks, events, scale in figures
            if counters.get(events) and ticks in counters}


def debug_ours(bed, preset, folder, timeout_s):
    """What a debugger costs: gdb steps through a loop, and has a breakpoint in it whose condition never holds."""
    dts = folder / "debug.dts"
    dts.write_text(cases.config(cases.partition("bench", "guest:debug/kernel64", startup_mib=32, debug_wait=True), debugger="com3"))
    disk = folder / "debug.img"
    image.build_disk(dts, disk, preset)
    hardware = beds.Hardware(bed=bed, memory_mib=512)
    line = SerialLine(3)
    elf = debuggee.Elf(preset_dir(preset) / "tests/guests/debug/kernel64")
    with Machine(hardware, disk, timeout_s=timeout_s, log=RUNS / f"bench-debug-ours-{bed}.log", debugger=line) as machine:
        machine.expect(r"^ballast: partition bench: started", stop=r"^ballast: .*(loader: error|panic)")
        with Gdb(line.port, elf.path) as gdb:
            gdb.connect()
            scenarios = debuggee.Scenarios(gdb, elf).to_main()
            with scenarios.point("break work if i == 123456789"):
                scenarios.run("kHotLoop")
            for _ in range(_STEPS // 10):
                gdb.resume("stepi 10")
            scenarios.run("kTouch")  # counters are told when a longer run ends
            counters = console.counters(machine, "bench")
    return _instructions(_means(counters, ("step", "debug step ticks", "debug steps", 1),
                                ("false-condition", "debug condition ticks", "debug false conditions", 1)), hardware)


def memory_ours(bed, preset, folder, timeout_s):
    """What it costs the host to balloon 2 MiB and to give them back, and what a partition takes beside its guest's memory: a stock
    guest idles, so that memory is taken from it, and then needs it again."""
    dts = folder / "memory.dts"
    words = f"ballast.job=load ballast.phases=0:60,{_MOVES_MIB * 8 // 10}:30,32:60"
    guest = cases.stock(startup_mib=_MOVES_MIB, minimum_mib=192, maximum_mib=_MOVES_MIB * 2, words=words)
    dts.write_text(cases.config(guest, reserve_mib=64, idle_seconds=10))
    disk = folder / "memory.img"
    image.build_disk(dts, disk, preset)
    hardware = beds.Hardware(bed=bed, memory_mib=2048)
    with Machine(hardware, disk, timeout_s=timeout_s, log=RUNS / f"bench-memory-ours-{bed}.log") as machine:
        machine.expect(r"memload: phase 3/3: 32 MiB", stop=r"partitions ended|^ballast: .*(error|panic)")
        counters = console.counters(machine, "web")
    found = _instructions(_means(counters, ("balloon-2m", "ticks spent ballooning", "pages ballooned", 512),
                                 ("give-back-2m", "ticks spent giving back", "pages given back", 512)), hardware)
    if "host pages beside its memory" in counters:
        found["partition-kib"] = counters["host pages beside its memory"] * 4
    return found


def text_kib(preset):
    """KiB of machine code in hv.elf that are not the decoder library's."""
    built = preset_dir(preset) / "hv/init"
    sections = run(["size", "-A", built / "hv.elf"]).splitlines()
    text = sum(int(words[1]) for words in map(str.split, sections) if words and words[0].startswith(".text"))
    # A line of the map: " .text.name  0xADDRESS  0xSIZE  FILE", a long name on a line of its own before.
    zydis = sum(int(match.group(2), 16) for match in re.finditer(r"^ \.text\S*\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+\S*zydis\S*$",
                                                                 (built / "hv.map").read_text(), re.MULTILINE)
                if int(match.group(1), 16))
    return (text - zydis) / 1024


def boot_bare(bed, preset, folder, timeout_s):
    """The same kernel and initramfs on the emulator itself."""
    with _linux(bed, folder, timeout_s, initramfs.build(preset), f"{_L1_WORDS} ballast.job=poweroff ballast.no-drivers", "bench-boot-bare",
                memory_mib=512) as machine:
        return {"boot-to-init": _boot_instructions(machine, machine.hardware)}


def _l1_initramfs(preset):
    folder = preset_dir(preset) / "guest-tools"
    output = folder / "bench-initramfs.cpio.gz"
    run(["env", f"INIT={ROOT / 'guest-tools/initramfs/bench-init'}", "MODULES=kvm_amd kvm_intel", ROOT / "guest-tools/initramfs/make.sh",
         GUEST_KERNEL, output, folder / "measure/kvmbench", folder / "measure/bench_guest"])
    return output


def _l1_iso(kernel, initrd, words, folder):
    """Linux needs Bochs's own BIOS there (for its ACPI tables), and that boots a CD best."""
    packages = apt.missing(["isolinux", "syslinux-common", "xorriso"])
    if packages:
        with step(f"installing {' '.join(packages)}"):
            apt.install(packages)
    tree = folder / "iso"
    (tree / "isolinux").mkdir(parents=True)
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd.gz"), ("/usr/lib/ISOLINUX/isolinux.bin", "isolinux/isolinux.bin"),
                         ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "isolinux/ldlinux.c32")):
        run(["cp", source, tree / name])
    (tree / "isolinux/isolinux.cfg").write_text(f"default l\nprompt 0\ntimeout 1\nlabel l\n kernel /vmlinuz\n append initrd=/initrd.gz {words}\n")
    iso = folder / "l1.iso"
    run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
         "-boot-load-size", "4", "-boot-info-table", tree])
    return iso


_L1_WORDS = "console=ttyS0 quiet mitigations=off panic=-1"


def _linux(bed, folder, timeout_s, initrd, words, log, memory_mib=1024):
    """A machine (not started) that boots Debian's kernel on the bare emulator."""
    kernel = GUEST_KERNEL / "boot" / f"vmlinuz-{setup.guest_kernel_version()}"

    def on_qemu(hardware, disk, com1, run_folder):
        command, environment = beds.qemu_command(hardware, None, com1, run_folder)
        at = command.index("-bios")  # SeaBIOS starts a -kernel at once
        del command[at:at + 2]
        return [*command, "-kernel", str(kernel), "-initrd", str(initrd), "-append", words], environment

    def on_bochs(hardware, disk, com1, run_folder):
        _, _, share, _ = beds.bochs_start()
        return beds.bochs_command(hardware, None, com1, run_folder, firmware=share / "BIOS-bochs-latest", boot="cdrom",
                                  cdrom=_l1_iso(kernel, initrd, words, run_folder))

    return Machine(beds.Hardware(bed=bed, memory_mib=memory_mib), None, timeout_s=timeout_s, log=RUNS / f"{log}-{bed}.log",
                   command=on_bochs if bed == "bochs" else on_qemu)


def kvm(bed, preset, folder, timeout_s):
    """KVM's figures: Debian's kernel on the bare emulator, kvmbench in it."""
    with _linux(bed, folder, timeout_s, _l1_initramfs(preset), _L1_WORDS, "bench-kvm") as machine:
        return _instructions(_collect(machine, r"bench: (done|failed)"), machine.hardware)


def _guarded(what, function, *arguments):
    try:
        return function(*arguments)
    except (Expired, Failure) as trouble:
        note(f"{what}: {str(trouble).splitlines()[0]}")
        return {}


def _number(value):
    return "-" if value is None else f"{value:.0f}"


def _ratio(a, b):
    return f"{a / b:.2f}" if a is not None and b else "-"


def _print(each, bed, mine, theirs):
    """Prints one line."""
    print(f"bench {each.name} {bed} ours={_number(mine)} kvm={_number(theirs)} ratio={_ratio(mine, theirs)}", flush=True)
    budget = each.budget.get(bed)
    if budget and mine is not None and mine > budget:
        note(f"{each.name} on {bed} is above its budget of {budget} ({each.what})")


def _print_boot(bed, mine, bare):
    """The boot's budget is against the bare emulator, so the last two words say that side; KVM is not measured here."""
    print(f"bench boot-to-init {bed} ours={_number(mine)} kvm=- ratio=- bare={_number(bare)} bare-ratio={_ratio(mine, bare)}", flush=True)
    if mine is not None and bare and mine / bare > BOOT_BUDGET:
        note(f"boot-to-init on {bed} is above its budget of {BOOT_BUDGET} times the bare emulator")


_RUNS = (  # side, what is measured, function, takes a stock guest and its time
    ("ours", "Ballast's exits", ours, False),
    ("ours", "Ballast's exits beside its debugger's port", stub_ours, False),
    ("ours", "a boot under Ballast", boot_ours, True),
    ("ours", "memory moved by Ballast", memory_ours, True),
    ("ours", "Ballast's debugger", debug_ours, False),
    ("kvm", "KVM's exits", kvm, False),
    ("bare", "a boot without a hypervisor", boot_bare, True),
)


def _asked(side, options):
    """Whether this side is to be measured: what is not ours is the other one's."""
    return not options.only or (options.only == "ours") == (side == "ours")


def _measure(bed, options):
    """All the runs of a bed: {side: {name: number}}."""
    sides = {"ours": {}, "kvm": {}, "bare": {}}
    with tempfile.TemporaryDirectory(prefix="ballast-") as folder:
        for side, what, function, stock in _RUNS:
            if (options.quick and stock) or not _asked(side, options):
                continue
            with step(f"measuring {what} on {bed}"):
                sides[side].update(_guarded(f"{what} on {bed}", function, bed, options.preset, Path(folder), options.timeout))
    if options.only != "kvm":
        sides["ours"]["text-kib"] = text_kib(options.preset)
    return sides


def _report(bed, options, sides):
    """Prints a bed's lines; returns whether everything was measured that was to be."""
    wanted = {"ours": {each.name for each in BENCHMARKS}, "kvm": {each.name for each in BENCHMARKS} - {"cpuid-stub"}, "bare": set()}
    for each in BENCHMARKS:
        _print(each, bed, sides["ours"].get(each.name), sides["kvm"].get(each.name))
    for each in OURS_ALONE:
        if not (options.quick and each.name in _OF_A_STOCK_GUEST):
            _print(each, bed, sides["ours"].get(each.name), None)
            wanted["ours"].add(each.name)
    if not options.quick:
        _print_boot(bed, sides["ours"].get("boot-to-init"), sides["bare"].get("boot-to-init"))
        wanted["ours"].add("boot-to-init")
        wanted["bare"].add("boot-to-init")
    return all(wanted[side] <= set(found) for side, found in sides.items() if _asked(side, options))


def entry(arguments):
    parser = Parser(prog="scripts/bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("--bed", choices=_BEDS, help="only this bed")
    parser.add_argument("--only", choices=("ours", "kvm"), help="only this side")
    parser.add_argument("--quick", action="store_true", help="leave out the runs with a stock guest, which take longest")
    parser.add_argument("--preset", default="gcc", choices=build.PRESETS, help="the build that everything measured comes from (gcc)")
    parser.add_argument("--timeout", type=seconds, default=300, metavar="S", help="wall-clock limit of each run (300)")
    options = parser.parse_args(arguments)
    build.build(options.preset, ("hv.elf", "boot_efi", "bench-guest", "kvmbench", "memload", "portio", "debug_guests"))
    RUNS.mkdir(parents=True, exist_ok=True)
    complete = True
    for bed in [options.bed] if options.bed else _BEDS:
        complete &= _report(bed, options, _measure(bed, options))
    if not complete:
        note(f"not everything was measured; the consoles are in {show(RUNS)}")
    return 0 if complete else 1
