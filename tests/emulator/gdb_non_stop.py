# SPDX-License-Identifier: Apache-2.0
"""gdb's non-stop mode: partitions stop and go one by one, while the others run under the same gdb."""
import time

from ballastlib.cases import Case, ask, call, config, debug, expect, partition
from ballastlib.debuggee import Elf, check, contains, same

_GUEST = "debug/kernel64"
_NEIGHBOUR = r"^\[good\] steady \d+"


def _debuggee(name):
    return partition(name, f"guest:{_GUEST}", startup_mib=32, debug_wait=True)


def _goes_on(machine):
    machine.skip_read()
    machine.expect(_NEIGHBOUR, 60, stop="FAIL|CORRUPT")


def _ticks(gdb, number):
    """The guest's own count of timer interrupts, read whether it runs or not."""
    gdb(f"thread {number}.1")
    return gdb.value("ticks")


def _runs(gdb, number, timeout_s=60):
    first, until = _ticks(gdb, number), time.monotonic() + timeout_s
    while _ticks(gdb, number) == first:
        check(time.monotonic() < until, f"{number} does not run")
        time.sleep(0.1)


def _stands(gdb, number):
    count = _ticks(gdb, number)
    time.sleep(0.5)
    same(f"ticks of {number}, which stands", _ticks(gdb, number), count)


def _go(gdb, number):
    gdb(f"thread {number}.1")
    gdb.start("continue &")


def _to_its_interrupts(gdb, number):
    gdb(f"thread {number}.1")
    gdb("tbreak kernel_main")
    same("where", gdb.resume("continue").function, "kernel_main")
    gdb("set var rounds = 0x3fffffff")
    gdb("set var command = kInterrupts")
    gdb.start("continue &")


def _in_its_loop(gdb):
    where = gdb("info symbol $pc")
    check(any(name in where for name in ("interrupts()", "timer_event", "timer_entry")), where)


def _sent(log, packet):
    """How often gdb has sent a packet that starts so."""
    return log.read_text(errors="replace").count(packet)


def _one_by_one(machine, gdb):
    elf = Elf(gdb.file)
    log = machine.log_path.with_suffix(".remote")
    gdb(f"set remotelogfile {log}")
    gdb("set non-stop on")
    gdb.connect()
    contains("info threads", gdb("info threads"), "Thread 1.1")
    same("pc before the first instruction", gdb.pc, elf["start32"])
    gdb("add-inferior")
    gdb("inferior 2")
    gdb(f"file {elf.path}")
    gdb.start("attach 2")
    same("pc of the other", gdb.wait_stop().pc, elf["start32"])
    check(_sent(log, "$vCont;t:p2.-1#") >= 1, "gdb stops what it attaches to with vCont;t")

    for number in (1, 2):
        _to_its_interrupts(gdb, number)
    listed = gdb("info threads")
    same("running threads", listed.count("(running)"), 2)
    for number in (1, 2):
        _runs(gdb, number)

    # Stopped by vCont;t: one, and nobody else.
    gdb("thread 1.1")
    before = _sent(log, "$vCont;t:p1.1#")
    gdb("interrupt")
    stop = gdb.wait_stop()
    same("signal of an interrupt", (stop.thread, stop.signal), ("1", "0"))
    same("vCont;t that gdb sent", _sent(log, "$vCont;t:p1.1#"), before + 1)
    _stands(gdb, 1)
    _runs(gdb, 2)
    _goes_on(machine)
    gdb("thread 1.1")
    _in_its_loop(gdb)
    for _ in range(5):
        same("who stepped", gdb.resume("stepi").thread, "1")
    _runs(gdb, 2)

    # A breakpoint put in while its guest runs, one of the other's.
    gdb("thread 2.1")
    gdb("tbreak timer_event thread 2.1")
    stop = gdb.wait_stop()
    same("who is at the breakpoint", (stop.thread, stop.function), ("2", "timer_event"))
    gdb("thread 2.1")
    contains("info registers", gdb("info registers rip"), "timer_event")
    gdb(f"watch *(unsigned*){elf['ticks']:#x}")
    stop = gdb.resume("continue")
    same("who wrote", (stop.thread, stop.reason), ("2", "watchpoint-trigger"))
    gdb("delete")
    _stands(gdb, 1)
    _stands(gdb, 2)

    # In the foreground Ctrl-C, which is vCtrlC here, is for the one that was continued last.
    _go(gdb, 1)
    gdb("thread 2.1")
    gdb.start("continue")
    stop = gdb.interrupt()
    same("who was interrupted", (stop.thread, stop.signal), ("2", "SIGINT"))
    check(_sent(log, "$vCtrlC#") == 1, "vCtrlC was not sent")
    _stands(gdb, 2)
    _runs(gdb, 1)

    _go(gdb, 2)
    gdb("interrupt -a")
    same("who stops when all shall", sorted([gdb.wait_stop().thread, gdb.wait_stop().thread]), ["1", "2"])
    for number in (1, 2):
        _stands(gdb, number)

    # Let go, one standing and one running.
    _go(gdb, 2)
    for number in (1, 2):
        gdb(f"inferior {number}")
        gdb("detach")


def _in_all_stop_again(machine, gdb):
    gdb.connect()
    gdb("attach 1")
    _in_its_loop(gdb)
    _goes_on(machine)
    gdb("detach")


CASES = [
    Case("one-by-one", config(_debuggee("a"), _debuggee("b"), partition("good", "guest:steady", startup_mib=16), debugger="com3"),
         [expect(_NEIGHBOUR, 120), debug(_one_by_one, _GUEST), call(_goes_on), debug(_in_all_stop_again, _GUEST), call(_goes_on),
          ask("stop good off", r"turned off|ended", 30), ask("stop b off", r"turned off|ended", 30),
          ask("stop a off", r"all partitions ended", 60)],
         debugger=True, forbid=(r"FAIL", r"CORRUPT"), timeout_s=300),
]
