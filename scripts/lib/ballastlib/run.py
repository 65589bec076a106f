# SPDX-License-Identifier: Apache-2.0
"""scripts/run: boots any configuration; the guests' consoles and Ballast's log on stdout, stdin on the operator's console."""
import argparse
import sys
import tempfile
import threading
from pathlib import Path

from . import beds, build, image
from .arguments import Parser, seconds, whole
from .machine import EXIT_STATUS, Expired, Machine
from .paths import preset_dir
from .say import note
from .serial_line import SerialLine

_EPILOG = """\
exit status: 0 all partitions have powered off, 1 one crashed, 2 time is up, 3 the hypervisor or the emulator stopped, or nothing was
started.
Image paths in the configuration are files of this machine, relative to it, or stock:vmlinuz, stock:vmlinux, stock:initramfs, guest:NAME.
Lines typed here go to the operator's console on COM1: list, show NAME, why NAME, check, help."""


def add_hardware_options(parser):
    parser.add_argument("--cpus", type=whole(1), metavar="N", default=1, help="processors of the machine (1); more than one is not repeatable")
    parser.add_argument("--memory", type=whole(1), default=2048, metavar="MIB", help="memory of the machine (2048)")
    parser.add_argument("--numa", type=whole(1), default=1, metavar="NODES", help="memory nodes (1; qemu and kvm only)")


def prepare(build_first, preset="gcc"):
    """Builds when asked or when nothing is built yet."""
    if build_first or not (preset_dir(preset) / "hv/init/hv.elf").exists():
        build.build(preset, build.PRODUCT)


def type_lines(machine, lines):
    """Types lines on the operator's console as soon as there is one: before that the firmware would take them."""
    try:
        machine.expect(r"^ballast: ready$")
    except Expired:
        return
    for line in lines:
        machine.send(line.rstrip("\n"))


def entry(arguments):
    parser = Parser(prog="scripts/run", description="Boots a configuration in an emulator.", epilog=_EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bed", default="auto", choices=("auto",) + beds.BEDS, help="the machine (kvm where it works, else qemu)")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.dts", help="what to boot; see README.md, Configuration")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="wall-clock limit (600; a day with --gdb)")
    add_hardware_options(parser)
    parser.add_argument("--gdb", type=whole(0, 65535), metavar="PORT",
                        help='the serial port that the configuration names (host: debugger = "com3") as a TCP port, for gdb; 0 picks one')
    parser.add_argument("--hypervisor-gdb", type=whole(1, 65535), metavar="PORT", help="QEMU's own stub, for the hypervisor itself (symbols: hv.elf)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="every byte of COM1 into a file as well")
    parser.add_argument("--input", type=Path, metavar="FILE", help="lines for the console instead of stdin")
    parser.add_argument("--preset", default="gcc", choices=build.PRESETS, help="the build to boot (gcc)")
    parser.add_argument("--real-time", action=argparse.BooleanOptionalAction, default=None,
                        help="qemu: let idle time pass instead of skipping it (with --gdb the clock is this machine's unless one of these is given)")
    parser.add_argument("--build", action="store_true", help="build first even when there is a build")
    options = parser.parse_args(arguments)

    if options.timeout is None:
        options.timeout = 600 if options.gdb is None else 86400
    image.need_configuration(options.config)
    lines = options.input.read_text(errors="replace").splitlines() if options.input else sys.stdin or ()  # None: it is closed
    prepare(options.build, options.preset)
    bed, why = beds.choose_bed(options.bed)
    note(f"bed: {why}")
    hardware = beds.Hardware(bed=bed, cpus=options.cpus, memory_mib=options.memory, numa_nodes=options.numa,
                             hypervisor_gdb=options.hypervisor_gdb,
                             real_time=bool(options.real_time),
                             # Somebody sits at a breakpoint. (QEMU's counted time can stand still for seconds when the machine idles in
                             # real time, and gdb gives up.)
                             host_clock=options.gdb is not None and options.real_time is None)
    unheard = None

    def show(data):
        nonlocal unheard
        if unheard:
            return
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:  # who reads has enough ("| head"), or there is no room for more
            unheard = error
            machine.stop()

    with tempfile.TemporaryDirectory(prefix="ballast-") as folder:
        disk = Path(folder) / "disk.img"
        root = image.build_disk(options.config, disk, options.preset)
        line = None
        if options.gdb is not None:
            line = SerialLine(image.debugger_com(root), options.gdb)
            note(f"gdb: target extended-remote :{line.port}")
        machine = Machine(hardware, disk, timeout_s=options.timeout, log=options.log, on_bytes=show, debugger=line)
        with machine:
            threading.Thread(target=type_lines, args=(machine, lines), daemon=True).start()
            result = machine.wait_end()
            if unheard:
                raise unheard
            note(f"{result}: {machine.reason}")
            return EXIT_STATUS[result]
