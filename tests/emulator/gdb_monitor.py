# SPDX-License-Identifier: Apache-2.0
"""What `monitor` tells, held against what gdb reads itself; and a gdb that finds the guest in 32-bit code and goes
on with it into 64-bit code."""
import re

from ballastlib.cases import Case, ask, config, debug, expect, partition
from ballastlib.debuggee import Elf, Scenarios, check, contains, same

_GUEST, _TORTURE = "debug/kernel64", "debug/torture"
_COMMANDS = ("arch", "phys", "map", "reset", "version", "info", "regs", "msr", "memory", "exits", "sstep", "kaslr")


def _number(text, pattern):
    match = re.search(pattern, text)
    check(match, f'no /{pattern}/ in "{text.strip()}"')
    return int(match.group(1), 16 if r"[0-9a-f]+" in pattern else 10)


def _help(gdb):
    text = gdb("monitor help")
    listed = [line.split()[0] for line in text.splitlines() if line.strip()]
    same("what monitor help lists", sorted(listed), sorted(_COMMANDS))
    for line in text.splitlines():
        check(line.strip() == "version" or re.search(r"\S {2,}\S", line.strip()), f"monitor help does not explain {line!r}")
    same("monitor alone", gdb("monitor"), text)
    same("monitor version", gdb("monitor version").strip(), "Ballast")
    contains("monitor nonsense", gdb("monitor nonsense"), "monitor help")
    for words in ("sstep", "kaslr", "info version"):
        text = gdb(f"monitor {words}")
        check(text.strip() and "no such command" not in text, f"monitor {words}: {text!r}")


def _info(gdb, elf, scenarios):
    contains("monitor info", gdb("monitor info"), "partition a on processor 0, 64-bit code, CPL 0")
    gdb("set var rounds = 50")
    stepped = _number(gdb("monitor info"), r"(\d+) instructions stepped")
    gdb("set breakpoint always-inserted on")
    with scenarios.point("break work if i == 40"), scenarios.point("watch origin.x"):
        scenarios.begin("kHotLoop")
        same("i", (gdb.resume().function, gdb.value("i")), ("work", 40))
        text = gdb("monitor info")
        at = gdb.pc
        same("false conditions", _number(text, rf"break {at:x}, 1 byte\(s\), by .*: \d+ hits, (\d+) with a false condition"), 40)
        contains("the watchpoint", text, f"watch {gdb.value('&origin.x'):x}, 4 byte(s), by a debug register: 0 hits")
        gdb.resume("stepi 5")
        more = _number(gdb("monitor info"), r"(\d+) instructions stepped") - stepped
        check(more >= 5, f"{more} instructions stepped after stepi 5")
        scenarios.finish("kHotLoop")
    gdb("set breakpoint always-inserted off")
    check(f"break {at:x}," not in gdb("monitor info"), "a deleted breakpoint is still listed")
    gdb("tbreak user_main")
    scenarios.begin("kUserMode")
    same("user_main", gdb.resume().pc, elf["user_main"])
    contains("monitor info", gdb("monitor info"), "64-bit code, CPL 3")
    scenarios.finish("kUserMode")


def _regs(gdb, elf):
    text = gdb("monitor regs")
    for name in ("es", "cs", "ss", "ds", "fs", "gs"):
        same(name, _number(text, rf"(?m)^ *{name} +([0-9a-f]+) base"), gdb.value(f"${name}"))
    same("the task register", _number(text, r"(?m)^ *tr +([0-9a-f]+) base"), 48)
    check(_number(text, r"(?m)^ *cs .* attributes ([0-9a-f]+)") & 0x208 == 0x208, f"cs is no 64-bit code: {text}")  # L, code
    same("gdtr", _number(text, r"gdtr ([0-9a-f]+) limit") & 0x7fffffff, elf["gdt"] & 0x7fffffff)
    same("idtr's limit", _number(text, r"idtr [0-9a-f]+ limit ([0-9a-f]+)"), 0xfff)
    same("an address in the gate of #BP", gdb.value(f"*(unsigned short*)({_number(text, r'idtr ([0-9a-f]+) limit'):#x} + 3 * 16)"),
         elf["breakpoint_entry"] & 0xffff)
    same("rip and rsp", (_number(text, r"rip ([0-9a-f]+)"), _number(text, r"rsp ([0-9a-f]+)")), (gdb.pc, gdb.value("$rsp")))
    same("cr8", _number(text, r"cr8 ([0-9a-f]+)"), gdb.value("$cr8"))
    contains("monitor regs", text, "dr6 ", "(the guest's own)")


def _msr(gdb, elf):
    def msr(index):
        return _number(gdb(f"monitor msr {index}"), r"= ([0-9a-f]+)")

    same("LSTAR", msr("c0000082"), elf["system_call_entry"])
    same("SFMASK", msr("0xC0000084"), 0x47700)
    same("EFER", msr("c0000080"), gdb.value("(unsigned long)$efer"))
    same("GS_BASE", msr("c0000101"), gdb.value("$gs_base"))
    same("APIC_BASE", msr("1b") & ~0xfff, 0xfee00000)
    contains("an MSR that is not there", gdb("monitor msr 12345678"), "the guest has none (#GP)")
    for words in ("msr", "msr efer", "msr 1c0000080", "msr c0000080 1"):
        contains(words, gdb(f"monitor {words}"), "wants a number in hexadecimal")


def _exits(gdb, scenarios):
    def reads():
        return _number(gdb("monitor exits"), r"msr read +(\d+)")

    contains("monitor exits", gdb("monitor exits"), "a: ", "memory: assigned 31 MiB", "startup 32 MiB", "msr write")
    before = reads()
    for _ in range(3):
        scenarios.run("kClock")  # reads the reference time once
    same("MSRs read", reads() - before, 3)


def _reset(gdb, elf, scenarios):
    scenarios.run("kTouch")
    check(gdb.value("table[2]") != 12, "kTouch has changed nothing")
    gdb("delete")
    contains("monitor reset", gdb("monitor reset"), "it stands before its first instruction")
    gdb("maintenance flush register-cache")
    same("pc, CR0.PG", (gdb.pc, gdb.value("(unsigned long)$cr0") >> 31), (elf["start32"], 0))
    contains("monitor info", gdb("monitor info"), "32-bit code, CPL 0")
    contains("monitor exits", gdb("monitor exits"), "restarts 1,")
    scenarios.to_main()
    same("memory after the reset", gdb.value("table[2]"), 12)
    scenarios.run("kTouch")


def _words(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    contains("monitor info", gdb("monitor info"), "32-bit code, CPL 0")
    scenarios = Scenarios(gdb, elf).to_main()
    scenarios.run("kHotLoop")
    _help(gdb)
    _info(gdb, elf, scenarios)
    _regs(gdb, elf)
    _msr(gdb, elf)
    _exits(gdb, scenarios)
    contains("monitor memory", gdb("monitor memory"), "a: nothing has been decided about it yet")
    _reset(gdb, elf, scenarios)
    gdb("delete")
    gdb("detach")


def _describe(gdb, what, pc, code, absent=None):
    """Lets gdb read the description again: it has the mode that the guest is in."""
    gdb("unset tdesc filename")
    same(f"pc in {what}", gdb.pc, pc)
    contains(what, gdb("x/3i $pc"), *code)
    registers = gdb("info registers")
    contains(f"registers in {what}", registers, "cr0", "eip" if absent else "rip")
    check(not absent or not re.search(absent, registers), f"registers in {what}: {registers}")


def _goes_to(gdb, bits, name, address):
    gdb(f"tbreak *{address:#x}")
    stop = gdb.resume()
    check(stop.pc == address, f"{name}: {stop}")
    contains(f"said at {name}", stop.text, f"the code is {bits}-bit now; type: unset tdesc filename")


def _up_from_32(machine, gdb):
    """Attached to 32-bit code without paging; from there to 64-bit code, with the description for each."""
    elf = Elf(gdb.file)
    gdb.connect()
    contains("monitor arch", gdb("monitor arch auto"), "unset tdesc filename")
    same("CR0.PG", gdb.value("(unsigned long)$cr0") >> 31, 0)
    _describe(gdb, "32-bit code", elf["start32"], ("cli", "%esp", "movl "), r"\br15\b|\brip\b")
    contains("monitor arch", gdb("monitor arch"), "32-bit")
    same("stepi", gdb.resume("stepi").pc, elf["start32"] + 1)
    same("nexti", gdb.resume("nexti").pc, elf["start32"] + 6)
    same("esp", gdb.value("$esp"), elf["stack_top"])
    _goes_to(gdb, 64, "start64", elf["start64"])
    _describe(gdb, "64-bit code", elf["start64"], ("$0x10,%eax", "%eax,%ds"))
    gdb("set $r15 = 0x1122334455667788")
    gdb("maintenance flush register-cache")
    same("r15", gdb.value("$r15"), 0x1122334455667788)
    gdb("tbreak torture_begin")
    same("torture_begin", gdb.resume().pc, elf["torture_begin"])
    contains("monitor info", gdb("monitor info"), "64-bit code")
    _down_to_real_mode(gdb, elf)
    check(not re.search(r"too long|Truncated register|Remote connection closed", gdb.transcript), "gdb and the server disagree on registers")
    gdb("detach")
    machine.expect(r"^\[a\] torture: OK", 60, stop="FAIL")
    machine.expect(r"^\[a\] torture: real OK", 60, stop="FAIL")


def _down_to_real_mode(gdb, elf):
    """Breakpoints in 16-bit code, set while the guest is in 64-bit code, and in real mode with a CS base."""
    _goes_to(gdb, 16, "16-bit protected mode", elf["real_base"])
    _describe(gdb, "16-bit protected mode", elf["real_base"], ("$0x40,%ax", "%ax,%ds"), r"\br15\b|\brip\b")
    for _ in range(10):
        stop = gdb.resume("stepi")
    same("CR0.PE", gdb.value("(unsigned long)$cr0") & 1, 0)
    same("CS", (gdb.value("$cs"), gdb.value("$cs_base")), (0x800, 0x8000))
    code = gdb("x/9i $pc")
    contains("real mode", code, "$0x800,%ax", "$0x7000,%sp", "pushf")
    addresses = [int(address, 16) for address in re.findall(r"^(?:=>)?\s+0x([0-9a-f]+)", code, re.MULTILINE)]
    same("x/i begins at pc", addresses[0], stop.pc)
    for address in (addresses[5], addresses[8]):  # right behind MOV SS processors hold breakpoints back
        gdb(f"tbreak *{address:#x}")
        same("a breakpoint in real mode", gdb.resume().pc, address)
    same("sp", (gdb.value("$sp"), gdb.value("$raw_sp") & 0xffff), (0xf000, 0x7000))
    gdb("monitor arch 64")
    gdb("unset tdesc filename")


_STARTED = expect(r"^ballast: partition a: started", 60)

CASES = [
    Case("words", config(partition("a", f"guest:{_GUEST}", startup_mib=32, debug_wait=True), debugger="com3"),
         [_STARTED, debug(_words, _GUEST), ask("stop a off", r"all partitions ended", 60)], debugger=True, forbid=(r"FAIL",), timeout_s=240),
    Case("modes", config(partition("a", f"guest:{_TORTURE}", startup_mib=64, debug_wait=True), debugger="com3"),
         [_STARTED, debug(_up_from_32, _TORTURE), expect(r"all partitions ended", 60)],
         debugger=True, forbid=(r"FAIL",), timeout_s=240),
]
