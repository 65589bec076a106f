# SPDX-License-Identifier: Apache-2.0
"""A new gdb for a guest that runs in 32-bit code, in real mode and in long mode: each sees it as it is and goes on with it into the
next mode without losing the line."""
import re

from ballastlib.cases import Case, config, debug, expect, partition
from ballastlib.debuggee import Elf, check, contains, same

_GUEST = "debug/modes"
_REAL = 0x8000  # the base of its first real-mode segment


def _reads_again(gdb, bits, names, absent):
    """The description for the code's width, as README.md says."""
    gdb("monitor arch auto")
    gdb("unset tdesc filename")
    contains("monitor arch", gdb("monitor arch"), f"{bits}-bit")
    registers = re.findall(r"^(\w+) ", gdb("info registers"), re.MULTILINE)
    same(f"registers missing for {bits}-bit code", [name for name in names if name not in registers], [])
    same(f"registers too many for {bits}-bit code", [name for name in absent if name in registers], [])


_NARROW, _WIDE = ("eax", "esp", "eip", "cs_base", "raw_ip", "cr0"), ("rax", "r15", "rsp", "rip", "fs_base", "cr0")


def _frames(gdb, *names):
    text = gdb(f"backtrace {len(names)}")
    same("backtrace", re.findall(r"^#\d+ .*?(\w+) \(\)", text, re.MULTILINE), list(names))


def _in_function(gdb, elf, name):
    check(elf[name] <= gdb.pc < elf[name] + 24, f"pc is {gdb.pc:#x}, not in {name}")


def _turn(gdb, elf, number):
    gdb(f"set var *(char*){elf['turn']:#x} = {number}")


def _goes_to(gdb, name, address, bits=None):
    gdb(f"tbreak *{address:#x}")
    stop = gdb.resume()
    same(f"pc at {name}", stop.pc, address)
    if bits:
        contains(f"said at {name}", stop.text, f"the code is {bits}-bit now; type: unset tdesc filename")


def _quiet(gdb):
    """gdb and the server agree on what a register packet holds."""
    check(not re.search(r"too long|Truncated register|Remote connection closed|Ignoring packet", gdb.transcript), "the line was lost")


def _in_32_bit_code(machine, gdb):
    elf = Elf(gdb.file)
    contains("on connecting", gdb.connect(), "inner32")
    _in_function(gdb, elf, "inner32")
    same("CR0.PE, CR0.PG", gdb.value("$cr0 & 0x80000001ul"), 1)
    same("cs and its base", (gdb.value("$cs"), gdb.value("$cs_base"), gdb.value("$raw_ip")), (48, 0, gdb.pc))
    _reads_again(gdb, 32, _NARROW, ("rax", "r15", "rip"))
    _in_function(gdb, elf, "inner32")
    contains("32-bit code", gdb(f"x/3i {elf['inner32']:#x}"), "push   %ebp", "mov    %esp,%ebp", f"cmpb   $0x1,{elf['turn']:#x}")
    _frames(gdb, "inner32", "outer32")
    gdb("set $esi = 0x89abcdef")
    gdb("maintenance flush register-cache")
    same("esi", gdb.value("$esi"), 0x89abcdef)
    # On into real mode, in the same session.
    _turn(gdb, elf, 1)
    same("finish", gdb.resume("finish").function, "outer32")
    _goes_to(gdb, "16-bit protected mode", _REAL, 16)
    _goes_to(gdb, "real mode", elf["waits16"])
    _reads_again(gdb, 16, _NARROW, ("rax", "r15", "rip"))
    same("CR0.PE", gdb.value("(unsigned long)$cr0") & 1, 0)
    _quiet(gdb)
    gdb("detach")


def _in_real_mode(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    contains("info inferiors", gdb("info inferiors"), "process 1")
    _reads_again(gdb, 16, _NARROW, ("rax", "r15", "rip"))
    check(elf["waits16"] <= gdb.pc < elf["waits16"] + 8, f"pc {gdb.pc:#x}")
    same("cs, its base, ip", [gdb.value(f"${name}") for name in ("cs", "cs_base", "raw_ip")], [_REAL >> 4, _REAL, gdb.pc - _REAL])
    same("bases", [gdb.value(f"${name}_base") for name in ("ds", "es", "ss", "fs", "gs")], [_REAL, 0x10000, 0x20000, 0, 0])
    same("sp", (gdb.value("$esp"), gdb.value("$raw_sp") & 0xffff), (0x27000, 0x7000))
    contains("16-bit code", gdb(f"x/3i {elf['waits16']:#x}"), "cmpb   $0x2,%fs:", "jb ", "ljmp   $0x0,")
    # A selector brings its base along.
    gdb("set $es = 0x1234")
    gdb("maintenance flush register-cache")
    same("es", (gdb.value("$es"), gdb.value("$es_base")), (0x1234, 0x12340))
    before = gdb.pc
    stops = [gdb.resume("stepi").pc for _ in range(2)]
    same("two steps", stops[1], before)
    # Code as compilers make it, in segment 0.
    _turn(gdb, elf, 2)
    _goes_to(gdb, "16-bit code with 32-bit frames", elf["inner16"] + 5)
    same("cs and its base", (gdb.value("$cs"), gdb.value("$cs_base")), (0, 0))
    _quiet(gdb)
    gdb("delete")
    gdb("monitor arch 16")
    gdb("continue &")


def _knows_at_once(machine, gdb):
    """The gdb before was killed while the guest ran. This one has no file, and the description that was chosen for it from the start."""
    elf = Elf(machine.built / "tests/guests" / _GUEST)
    gdb.connect()
    _in_function(gdb, elf, "inner16")
    contains("16-bit code", gdb(f"x/2i {elf['inner16'] + 5:#x}"), "cmpb   $0x3,", "jb ")
    same("cs, its base, ip", [gdb.value(f"${name}") for name in ("cs", "cs_base", "raw_ip")], [0, 0, gdb.pc])
    contains("monitor arch", gdb("monitor arch"), "16-bit")
    # gdb follows 32-bit frames where it knows no function's start; the prologues that it can read are 32-bit code's.
    frames = [int(pc, 16) for pc in re.findall(r"^#\d+ +0x([0-9a-f]+) in", gdb("backtrace 2"), re.MULTILINE)]
    check(len(frames) == 2 and elf["outer16"] < frames[1] < elf["inner16"], f"backtrace: {frames}")
    _quiet(gdb)


def _left_in_real_mode(machine, gdb):
    """The gdb before was killed while the guest stood."""
    elf = Elf(gdb.file)
    gdb.connect()
    _in_function(gdb, elf, "inner16")
    _reads_again(gdb, 16, _NARROW, ("rax", "r15", "rip"))
    contains("16-bit code", gdb(f"x/4i {elf['inner16']:#x}"), "push   %ebp", "mov    %esp,%ebp", "cmpb   $0x3,", "jb ")
    # On into long mode, in the same session.
    _turn(gdb, elf, 3)
    _goes_to(gdb, "32-bit code", elf["protected32"], 32)
    _reads_again(gdb, 32, _NARROW, ("rax", "r15", "rip"))
    contains("32-bit code", gdb("x/2i $pc"), "mov    $0x10,%eax", "mov    %eax,%ds")
    _goes_to(gdb, "long mode", elf["start64"], 64)
    _reads_again(gdb, 64, _WIDE, ("eax", "eip"))
    gdb("set $r15 = 0x1122334455667788")
    gdb("maintenance flush register-cache")
    same("r15", gdb.value("$r15"), 0x1122334455667788)
    _goes_to(gdb, "inner64", elf["inner64"] + 4)
    _frames(gdb, "inner64", "outer64", "start64")
    _quiet(gdb)
    gdb("detach")


def _in_long_mode(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    _in_function(gdb, elf, "inner64")
    same("r15", gdb.value("$r15"), 0x1122334455667788)
    _reads_again(gdb, 64, _WIDE, ("eax", "eip"))
    contains("64-bit code", gdb(f"x/3i {elf['inner64']:#x}"), "push   %rbp", "mov    %rsp,%rbp", f"cmpb   $0x4,{elf['turn']:#x}")
    _frames(gdb, "inner64", "outer64", "start64")
    _turn(gdb, elf, 4)
    _quiet(gdb)
    gdb("detach")


CASES = [
    Case("new-gdb", config(partition("a", f"guest:{_GUEST}", startup_mib=32), debugger="com3"),
         [expect(r"^\[a\] modes: 32-bit", 60), debug(_in_32_bit_code, _GUEST), expect(r"^\[a\] modes: real$", 30),
          debug(_in_real_mode, _GUEST), expect(r"^\[a\] modes: real, segment 0", 30), debug(_knows_at_once, architecture="i8086"),
          debug(_left_in_real_mode, _GUEST),
          expect(r"^\[a\] modes: 64-bit", 30), debug(_in_long_mode, _GUEST), expect(r"all partitions ended", 60)],
         debugger=True, timeout_s=240),
]
