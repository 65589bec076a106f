# SPDX-License-Identifier: Apache-2.0
"""A crash stops for the debugger, or is kept for one that comes later; and time stands still for who is stopped."""
import re

from ballastlib.cases import Case, ask, call, config, debug, expect, partition, send
from ballastlib.debuggee import Elf, Scenarios, check, connect_to_first, contains, same

_GUEST = "debug/kernel64"


def _guest(name, **properties):
    return partition(name, f"guest:{_GUEST}", startup_mib=32, debug_wait=True, **properties)


def _dies(scenario, function):
    def dies(machine, gdb):
        connect_to_first(gdb)
        scenarios = Scenarios(gdb, Elf(gdb.file)).to_main()
        scenarios.begin(scenario)
        stop = gdb.resume()
        check(stop.signal in ("SIGABRT", "SIGTRAP", "SIGSEGV"), f"{scenario}: {stop}")
        contains("backtrace of the crash", gdb("backtrace"), function, "command_loop")
        same("memory of the dead", gdb.value("table[3]"), 13)
        gdb("detach")
    return dies


def _let_go(machine, gdb):
    """Leaves a guest that will die alone."""
    connect_to_first(gdb)
    scenarios = Scenarios(gdb, Elf(gdb.file)).to_main()
    scenarios.begin("kTripleFault")
    gdb("delete")
    gdb("detach")


def _post_mortem(machine, gdb):
    connect_to_first(gdb)
    contains("backtrace of the dead", gdb("backtrace"), "triple_fault", "command_loop")
    same("memory of the dead", gdb.value("table[3]"), 13)
    contains("registers of the dead", gdb("info registers rip cr0"), "rip")
    gdb("kill")


def _counted(machine):
    return [int(match.group(1)) for match in (re.match(r"\[good\] steady (\d+)$", line.text) for line in machine.lines) if match]


def _stands_still(machine, gdb):
    """Many seconds of the neighbour are nothing for who is stopped."""
    connect_to_first(gdb)
    scenarios = Scenarios(gdb, Elf(gdb.file)).to_main()
    scenarios.run("kClock")
    before = gdb.value("clock_us")
    start = _counted(machine)[-1]
    machine.skip_read()
    machine.expect(rf"^\[good\] steady {start + 15}$", 200)
    scenarios.run("kClock")
    passed = gdb.value("clock_us") - before
    check(0 < passed < 500_000, f"{passed / 1e6:.3f} s have passed for a guest that was stopped")
    # Its timer too: no burst of interrupts for the time away.
    gdb("set var rounds = 20")
    with scenarios.point("break timer_event"):
        scenarios.begin("kInterrupts")
        gdb.resume()
        start = _counted(machine)[-1]
        machine.expect(rf"^\[good\] steady {start + 5}$", 100)
    scenarios.finish("kInterrupts")
    scenarios.run("kClock")
    gdb("delete")
    gdb("detach")


_STARTED = expect(r"^ballast: partition a: started", 60)

CASES = [
    Case("attached", config(_guest("a"), debugger="com3"),
         [_STARTED, debug(_dies("kTripleFault", "triple_fault"), _GUEST), expect(r"^ballast: .*partition a: crashed: triple fault", 30),
          send("start a"), _STARTED, debug(_dies("kPanic", "panic"), _GUEST),
          expect(r"^ballast: .*partition a: debuggee: the kernel has died.for a test$", 30), send("start a"), _STARTED,
          debug(_dies("kCrashRegisters", "panic"), _GUEST),
          expect(r"^ballast: .*partition a: the guest reports a crash: bad 8100 [0-9a-f]{16} 1234 5678$", 30),
          expect(r"^ballast: .*partition a: crashed: the guest reports a panic", 30)], debugger=True, ends=None, timeout_s=300),
    Case("post-mortem", config(_guest("a", auto_start=False), partition("good", "guest:steady", startup_mib=16), debugger="com3"),
         [expect(r"^\[good\] steady", 60), send("start a"), _STARTED, debug(_let_go, _GUEST),
          expect(r"^ballast: .*partition a: crashed: triple fault", 60), debug(_post_mortem, _GUEST), ask("list", r"\| a +\| (off|crashed)", 30),
          ask("check", r"^ballast: check: ok", 60)], debugger=True, ends=None, timeout_s=240),
    Case("time-stands-still", config(_guest("a"), partition("good", "guest:steady", startup_mib=16), debugger="com3"),
         [expect(r"^\[good\] steady", 60), debug(_stands_still, _GUEST), ask("stop good off", r"turned off|ended", 30),
          ask("stop a off", r"all partitions ended", 60)], debugger=True, forbid=("FAIL", "CORRUPT"), timeout_s=300),
]
