# SPDX-License-Identifier: Apache-2.0
"""Emulator tests: each a declaration, run on both beds by scripts/test.

    CASES = [
        Case("boots", config(partition("web", kernel="stock:vmlinuz", initrd="stock:initramfs", ...)),
             [expect(r"^\\[web\\] ballast-guest: up", 120), send("list"), expect(r"\\| web +\\| running")], ends="off"),
    ]
"""
import dataclasses
import importlib.util
import re
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from . import beds, fdt, image, machine
from .gdb import Gdb
from .paths import ROOT, RUNS, preset_dir, show
from .say import Failure
from .serial_line import SerialLine

BED_OF = {"svm": "qemu", "vmx": "bochs"}
_PREPARING = threading.Lock()  # both beds want the same thing fetched
_LOCK = threading.Lock()       # guards what follows
_running = []                  # the machines of cases under way
_given_up = False
FORBIDDEN = (r"(?i)^ballast: (error: )?(panic|assertion failed)\b",)


# -- steps ---------------------------------------------------------------------------------------------------------------
def expect(pattern, within_s=60):
    """Waits for a line that matches."""
    return ("expect", pattern, within_s)


def send(text):
    """Types a line on the operator's console."""
    return ("send", text, 0)


def ask(command, pattern, within_s=30):
    """Types a console command and waits for a line of its answer."""
    return ("ask", (command, pattern), within_s)


def pause(seconds):
    """Lets wall-clock time pass, for what must not happen."""
    return ("pause", seconds, 0)


def call(function):
    """Calls function(machine); a text it returns is why the test fails."""
    return ("call", function, 0)


def debug(function, guest=None, **options):
    """Calls function(machine, gdb) with a gdb that has read `guest`, a file of tests/guests in the case's build or a path; it is not
    connected yet. The case has to have a debugger port. A text it returns, or an error of gdb, is why the test fails. options: see Gdb.
    What was typed and answered is appended to the run's log with the ending .gdb.
    """
    def step(running):
        file = running.built / "tests/guests" / guest if isinstance(guest, str) else guest() if callable(guest) else guest
        with Gdb(running.debugger.port, file, **{"timeout_s": 60, **options}) as gdb:
            try:
                why = function(running, gdb)
                return f"{function.__name__}: {why}" if why else None
            except Exception as failure:  # also a mistake in the test must not end the thread that runs them all
                where = "" if isinstance(failure, (Failure, machine.Expired)) else type(failure).__name__ + " "
                return f"{function.__name__}: {where}{str(failure).strip()}".replace("\n", " ")
            finally:
                if running.log_path:
                    with open(running.log_path.with_suffix('.gdb'), 'a') as log:
                        log.write(f"-- {function.__name__}\n{gdb.transcript}\n")
    return call(step)


# -- configuration text ----------------------------------------------------------------------------------------------------
def _value(value):
    if value is True:
        return ""
    if isinstance(value, int):
        return f" = <{value}>"
    if isinstance(value, (list, tuple)):
        return " = " + ", ".join(f'"{text}"' for text in value)
    return f' = "{value}"'


def _node(name, properties):
    lines = "".join(f"        {key.replace('_', '-')}{_value(value)};\n" for key, value in properties.items() if value not in (None, False))
    return f"    {name} {{\n{lines}    }};\n"


def partition(name, kernel, *, startup_mib=64, minimum_mib=None, maximum_mib=None, auto_start=True, **properties):
    """A partition's node. Keys with _ stand for those with -."""
    return _node(name, dict(kernel=kernel, startup_mib=startup_mib, minimum_mib=minimum_mib or startup_mib,
                            maximum_mib=maximum_mib or startup_mib, auto_start=auto_start, **properties))


def stock(name="web", words="ballast.job=poweroff", *, kernel="stock:vmlinuz", startup_mib=512, **properties):
    """A partition with Debian's kernel and our initramfs."""
    return partition(name, kernel, initrd="stock:initramfs", startup_mib=startup_mib,
                     command_line=f"console=ttyS0 quiet memhp_default_state=online {words}", **properties)


def config(*partitions, **host):
    """The text of a configuration."""
    return f"/dts-v1/;\n/ {{\n{_node('host', host)}    partitions {{\n{''.join(partitions)}    }};\n}};\n"


@dataclass
class Case:
    """One emulator test.

    name       unique within its file
    config     text of a .dts, see config()
    steps      expect, send, ask, pause, call, in their order
    ends       what must be the end: "off", "crashed", "broken" (the loader or the hypervisor refused), or None: not waited for
    forbid     patterns that fail the test in any line
    panics     the hypervisor's own panic is what is to be seen; else it fails the test
    timeout_s  of the whole run, on QEMU; Bochs gets slack times as much
    beds       where it runs
    preset     the build that loader, hypervisor, guests and their symbols come from, see with_both_compilers()
    cpus, memory_mib, numa_nodes, virtualization, nested_paging, screen   what the machine has, see beds.Hardware
    files      changes to the disk: {ESP path: bytes, or the name of a file of the build, or None to leave the file out}
    first_disk files of one more disk, which the firmware sees before the case's own: {ESP path: bytes}
    debugger   the serial port that the configuration gives to the debugger is a TCP port, see debug()
    real_time  idle time passes instead of being skipped (QEMU): for clocks that must not run while gdb thinks
    prepare    called before the machine starts, for what has to be fetched; a text it returns is why the test fails
    remark     called when it has passed; a text it returns stands behind the result: what could not be had and what was done instead
    """
    name: str
    config: str
    steps: list
    ends: str | None = "off"
    forbid: tuple = ()
    panics: bool = False
    timeout_s: float = 180
    slack: float = 1.5
    beds: tuple = ("svm", "vmx")
    preset: str = "gcc"
    cpus: int = 1
    memory_mib: int = 1024
    numa_nodes: int = 1
    virtualization: bool = True
    screen: bool = False
    nested_paging: bool = True
    files: dict = field(default_factory=dict)
    first_disk: dict = field(default_factory=dict)
    debugger: bool = False
    real_time: bool = False
    prepare: Callable | None = None
    remark: Callable | None = None


@dataclass
class Command:
    """A test of one of the commands in scripts/, as a user types it.

    name      unique within its file
    function  called with (bed, folder): the bed's name for --bed, and an empty folder; a text it returns is why the test fails
    """
    name: str
    function: Callable
    beds: tuple = ("svm", "vmx")
    preset: str = "gcc"
    remark: Callable | None = None


def with_both_compilers(case):
    """The case, and the same for the build with Clang, whose name ends with ".clang"."""
    return case, dataclasses.replace(case, name=f"{case.name}.clang", preset="clang")


def load(folder=ROOT / "tests/emulator"):
    """All cases: [("file.case", Case)]."""
    found = []
    for path in sorted(folder.glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"emulator_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [(f"{path.stem}.{case.name}", case) for case in module.CASES]
    names = [name for name, _ in found]
    if len(set(names)) != len(names):
        raise Failure("two emulator tests have one name: " + ", ".join(sorted({name for name in names if names.count(name) > 1})))
    return found


def _files(case, folder):
    """What is on a case's disk, {ESP path: file or bytes}. Writes the configuration into the folder."""
    dts = folder / "case.dts"
    dts.write_text(case.config)
    root = image.compile_configuration(dts)
    built = preset_dir(case.preset)
    files = {"/EFI/BOOT/BOOTX64.EFI": built / "boot/efi/BOOTX64.EFI", "/ballast/hv.elf": built / "hv/init/hv.elf"}
    files.update(image.place_images(root, folder, case.preset))
    files["/ballast/ballast.dtb"] = fdt.serialise(root)
    for path, content in case.files.items():
        if content is None:
            files.pop(path)
        else:
            files[path] = content if isinstance(content, bytes) else built / content
    for path, source in files.items():
        if isinstance(source, Path) and not source.is_file():
            raise Failure(f"{show(source)} is missing")
    return files


def _follow(case, running):
    """Takes the steps; returns why the test fails, or None."""
    for kind, what, within_s in case.steps:
        if kind == "expect":
            running.expect(what, within_s)
        elif kind == "send":
            running.send(what)
        elif kind == "ask":
            running.skip_read()
            running.send(what[0])
            running.expect(what[1], within_s)
        elif kind == "pause":
            time.sleep(what)
        else:
            why = what(running)
            if why:
                return why
    if case.ends is None:
        return None
    ended = running.wait_end()
    return None if ended == case.ends else f"ended {ended} instead of {case.ends}: {running.reason}"


@contextmanager
def _under_way(running):
    """While it is, give_up() ends it."""
    with _LOCK:
        if _given_up:
            raise machine.Expired("given up")
        _running.append(running)
    try:
        yield
    finally:
        with _LOCK:
            _running.remove(running)


def give_up():
    """Ends the machines of the cases under way in other threads, which then fail at once, and so does each that comes later."""
    global _given_up
    with _LOCK:
        _given_up = True
        ended = list(_running)
    for each in ended:
        each.stop()


def run_case(kind, name, case):
    """Runs a Case or a Command on the bed of kind "svm" or "vmx". Returns (why it failed or None, log path or None)."""
    bed = BED_OF[kind]
    if isinstance(case, Command):
        with tempfile.TemporaryDirectory(prefix="ballast-") as folder:
            try:
                return case.function(bed, Path(folder)), None
            except Failure as failure:
                return str(failure), None
    RUNS.mkdir(parents=True, exist_ok=True)
    log = RUNS / f"{kind}.{name}.log"
    timeout_s = case.timeout_s * (case.slack if bed == "bochs" else 1)
    log.with_suffix(".gdb").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="ballast-") as text:
        folder = Path(text)
        try:
            with _PREPARING:
                why = case.prepare() if case.prepare else None
            if why:
                return why, log
            disk = folder / "disk.img"
            image.make_disk(disk, _files(case, folder))
            first = folder / "first.img" if case.first_disk else None
            if first:
                image.make_disk(first, case.first_disk)
            hardware = beds.Hardware(bed=bed, cpus=case.cpus, memory_mib=case.memory_mib, numa_nodes=case.numa_nodes,
                                     virtualization=case.virtualization, nested_paging=case.nested_paging, screen=case.screen, real_time=case.real_time,
                                     first_disk=first)
            line = None
            if case.debugger:
                line = SerialLine(image.debugger_com(image.compile_configuration(folder / "case.dts")), record=[])
            with machine.Machine(hardware, disk, timeout_s=timeout_s, log=log, debugger=line, built=preset_dir(case.preset)) as running:
                try:
                    with _under_way(running):
                        why = _follow(case, running)
                except machine.Expired as expired:
                    why = str(expired)
                    last = running.verdict()
                    if last:
                        why += f"; the run was over: {running.reason}"
                for pattern in (*(() if case.panics else FORBIDDEN), *case.forbid):
                    hit = next((line.text for line in running.lines if re.search(pattern, line.text)), None)
                    if hit:
                        why = f'forbidden line "{hit}"' + (f"; {why}" if why else "")
                        break
        except Failure as failure:
            why = str(failure).splitlines()[0]
    return why, log
