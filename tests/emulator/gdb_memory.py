# SPDX-License-Identifier: Apache-2.0
"""Memory that comes and goes, as gdb sees it: Debian's kernel, stopped when it has been given more and when it has given some away."""
import re

from ballastlib import console
from ballastlib.cases import Case, ask, config, debug, expect, stock
from ballastlib.debuggee import check, contains, same

_UP = r"^\[web\] ballast-guest: up"
_REGION = re.compile(r"([0-9a-f]{12})-([0-9a-f]{12}) +(\d+) KiB (.+)")


def _map(machine, gdb):
    """`monitor map` as {kind: [(first, end)]}, which has to agree with what `list` says meanwhile."""
    text = gdb("monitor map")
    kinds, before = {}, 0
    for line in text.strip().splitlines():
        match = _REGION.fullmatch(line)
        check(match, f"monitor map: {line!r}")
        first, last, kib, kind = int(match.group(1), 16), int(match.group(2), 16), int(match.group(3)), match.group(4)
        check(before <= first and last + 1 - first == kib * 1024, f"monitor map: {line!r} behind {before:#x}")
        before = last + 1
        kinds.setdefault(kind, []).append((first, before))
    check(set(kinds) <= {"RAM", "ballooned", "hot-added", "not added", "device"}, text)
    assigned = (_bytes(kinds, "RAM") + _bytes(kinds, "hot-added")) >> 20
    rows = [console.row(line) for line in machine.command_lines("list", console.LIST_END, 30)]
    same("assigned by the map", assigned, [row.assigned for row in rows if row][0])
    return kinds


def _direct_map(gdb):
    """Where Linux maps all of physical memory with nokaslr: by four or five levels of tables (Documentation/x86/x86_64/mm.rst)."""
    return 0xff11000000000000 if gdb.value("$cr4") >> 12 & 1 else 0xffff888000000000


def _bytes(kinds, kind):
    return sum(end - first for first, end in kinds.get(kind, ()))


def _read(gdb, address, count=8):
    return [int(byte, 16) for byte in re.findall(r"\t0x(\w\w)", gdb(f"x/{count}bx {address:#x}"))]


def _refused(gdb, address):
    for command in (f"x/bx {address:#x}", f"set var *(char*){address:#x} = 1"):
        wrong = gdb.fails(command, f"Cannot access memory at address {address:#x}")
        check(wrong is None, wrong)


def _is_memory(gdb, address):
    """A page by its physical address: what is written there is found where the kernel maps it, and the other way round."""
    gdb("monitor phys on")
    kept = _read(gdb, address)
    other = [byte ^ 0xA5 for byte in kept]
    gdb(f"set var *(unsigned long*){address:#x} = {int.from_bytes(other, 'little'):#x}ul")
    gdb("monitor phys off")
    mapped = _direct_map(gdb) + address
    same(f"{address:#x} through the kernel's tables", _read(gdb, mapped), other)
    gdb(f"set var *(unsigned long*){mapped:#x} = {int.from_bytes(kept, 'little'):#x}ul")
    gdb("monitor phys on")
    same(f"{address:#x}", _read(gdb, address), kept)


def _grown(machine, gdb, kinds):
    hot = kinds["hot-added"]
    check(_bytes(kinds, "not added"), "all of the window has been added")
    _is_memory(gdb, hot[0][0])
    _is_memory(gdb, hot[-1][1] - 8)
    _refused(gdb, kinds["not added"][0][0])
    gdb("monitor phys off")
    contains("monitor memory", gdb("monitor memory"), " s: hot-add ", "because ", "demand ")


def _fallen(machine, gdb, kinds):
    ballooned = kinds["ballooned"]
    memory = kinds["RAM"] + kinds["hot-added"]
    beside = [(first - 8, first) for first, _ in ballooned if any(end == first for _, end in memory)]
    beside += [(end, end - 1) for _, end in ballooned if any(first == end for first, _ in memory)]
    check(beside, f"nothing lies beside what is ballooned: {kinds}")
    for good, bad in (beside[0], beside[len(beside) // 2], beside[-1]):
        _is_memory(gdb, good)
        _refused(gdb, bad)
        # A read into it gives what is before it.
        if good < bad:
            wrong = gdb.fails(f"x/16bx {good:#x}", f"Cannot access memory at address {bad:#x}")
            check(wrong is None, wrong)
            same("what is before it", len(re.findall(r"\t0x\w\w\b", gdb.transcript.rpartition("x/16bx")[2])), 8)
        gdb("monitor phys off")
        _refused(gdb, _direct_map(gdb) + bad)
    contains("monitor memory", gdb("monitor memory"), " s: balloon ", "because ", "demand ")


def _gdbs_own_map(machine, gdb):
    """gdb reads the map when it attaches: it is the physical one while addresses are."""
    contains("info mem", gdb("info mem"), "There are no memory regions defined")
    gdb("monitor phys on")
    gdb("detach")
    gdb.resume("attach 1")
    kinds = _map(machine, gdb)
    shown = [(int(first, 16), int(end, 16)) for first, end in re.findall(r"0x(\w+) +0x(\w+) +rw", gdb("info mem"))]
    wanted = []  # neighbours are one to gdb
    for first, end in sorted(kinds["RAM"] + kinds["hot-added"]):
        wanted = wanted[:-1] + [(wanted[-1][0], end)] if wanted and wanted[-1][1] == first else wanted + [(first, end)]
    same("info mem", shown, wanted)
    _refused(gdb, kinds["ballooned"][0][0])
    same("bytes of a hot-added page", len(_read(gdb, kinds["hot-added"][0][0])), 8)
    gdb("monitor phys off")
    gdb("detach")
    gdb.resume("attach 1")
    contains("info mem", gdb("info mem"), "There are no memory regions defined")


def _breathes(machine, gdb):
    gdb.connect()
    _grown(machine, gdb, _map(machine, gdb))
    gdb.start("continue")
    machine.expect(r"^\[web\] memload: phase 3/3: reached", 240)
    for _ in range(20):
        machine.expect(r"^\[web\] ballast-guest: MemTotal", 60)
        rows = [console.row(line) for line in machine.command_lines("list", console.LIST_END, 30)]
        if [row.assigned for row in rows if row][0] < 400:
            break
    same("signal", gdb.interrupt().signal, "SIGINT")
    kinds = _map(machine, gdb)
    _fallen(machine, gdb, kinds)
    _gdbs_own_map(machine, gdb)
    gdb("detach")


CASES = [
    Case("breathes", config(stock(words="nokaslr ballast.job=load ballast.phases=0:5,620:30,32:6000 ballast.fast-reports", minimum_mib=256,
                                  maximum_mib=1280), debugger="com3", idle_seconds=10),
         [expect(_UP, 150), expect(r"^\[web\] memload: phase 2/3: reached", 240), debug(_breathes),
          ask("check", console.CHECK, 60), ask("stop web off", r"all partitions ended", 60)],
         debugger=True, forbid=(r"memload: CORRUPT", r"check: FAILED"), timeout_s=500, memory_mib=2048),
]
