# SPDX-License-Identifier: Apache-2.0
"""The debugger comes, goes, vanishes and comes again; rubbish on its line; several partitions. A neighbour must not notice."""
import random
import re
import time

from ballastlib.cases import Case, ask, call, config, debug, expect, partition
from ballastlib.debuggee import Elf, Scenarios, check, connect_to_first, contains, same
from ballastlib.gdb import Packets

_GUEST = "debug/kernel64"
_NEIGHBOUR = r"^\[good\] steady \d+"


def _good(**properties):
    return partition("good", "guest:steady", startup_mib=16, **properties)


def _debuggee(name="a", **properties):
    return partition(name, f"guest:{_GUEST}", startup_mib=32, debug_wait=True, **properties)


def _goes_on(machine, seconds=60):
    """The neighbour counts on."""
    machine.skip_read()
    machine.expect(_NEIGHBOUR, seconds, stop="FAIL|CORRUPT")


def _rubbish(machine):
    noise = random.Random(1)
    with Packets(machine.debugger.port) as line:
        for data in (b"", b"$", b"#", b"\x03\x03\x03", b"$g#00", b"$g#zz", b"$m0,ffffffffffffffffffffffff#", b"}" * 100, b"$" + b"x" * 20000,
                     b"$vCont;c#a8$?", bytes(noise.randrange(256) for _ in range(5000)), b"$Z0,0,1;X10,0102#00", b"+-+-+-"):
            line.raw(data)
    _goes_on(machine)
    with Packets(machine.debugger.port) as line:
        line.raw(b"$qSup")  # cut in the middle
    # The line is slow: all of that has gone through when this is answered.
    with Packets(machine.debugger.port) as line:
        line.send("qSupported:multiprocess+")
        while not (line.packet(60) or b"PacketSize").startswith(b"PacketSize"):
            pass
    _goes_on(machine)


def _first_contact(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    contains("info inferiors", gdb("info inferiors"), "process 1")
    contains("info threads", gdb("info threads"), "Thread 1.1", "cpu0")
    same("pc before the first instruction", gdb.pc, elf["start32"])
    same("cr0.PG", gdb.value("(unsigned long)$cr0") >> 31, 0)
    scenarios = Scenarios(gdb, elf).to_main()
    scenarios.run("kHotLoop")
    _goes_on(machine)
    contains("detach", gdb("detach"), "(process 1) detached")
    gdb("delete")
    machine.skip_read()


def _comes_back(machine, gdb):
    """Two partitions are on, so nothing is attached at first."""
    elf = Elf(gdb.file)
    gdb.connect()
    listed = [line.split() for line in gdb("info os processes").splitlines()]
    same("info os processes", listed, [["pid", "user", "command"], ["1", "on", "a"], ["2", "on", "good"]])
    check(gdb.fails("attach 9", "failed") is None, "attach to nobody")
    gdb("attach 1")
    scenarios = Scenarios(gdb, elf)
    gdb("break scenario_done")
    scenarios.run("kRecursion")
    gdb.start("continue")
    time.sleep(0.5)
    stop = gdb.interrupt()
    same("signal", stop.signal, "SIGINT")
    contains("where", gdb("backtrace"), "command_loop", "kernel_main")
    # Once: nothing is left of the Ctrl-C.
    scenarios.run("kTouch")
    gdb("disconnect")
    gdb.connect()
    contains("after disconnect", gdb("info inferiors"), "process 1")
    contains("after disconnect", gdb("info threads"), "Thread 1.1")
    scenarios.run("kHotLoop")


def _left_stopped(machine, gdb):
    """The gdb before was killed while the guest stood: it still stands, for us."""
    gdb.connect()
    same("where the last one left", gdb("info symbol $pc").split()[0], "scenario_done")
    gdb("delete")
    gdb.start("continue")
    time.sleep(0.3)


def _left_running(machine, gdb):
    """That one was killed while the guest ran."""
    connect_to_first(gdb)
    contains("backtrace", gdb("backtrace"), "command_loop")
    scenarios = Scenarios(gdb, Elf(gdb.file))
    gdb("break scenario_done")
    scenarios.run("kRecursion")
    gdb("delete")


def _cut_in_packet(machine):
    with Packets(machine.debugger.port) as line:
        line.handshake()
        line.raw(b"$m1000,")
    with Packets(machine.debugger.port) as line:
        line.raw(b"$m1000,4#00")
        features = line.handshake()
        check("multiprocess+" in features and "ConditionalBreakpoints+" in features, features)
        same("an unknown packet", line.ask("vNobodyKnows"), "")
        same("an unknown query", line.ask("qNobody:knows"), "")
        for bad in ("m", "mzz,1", "m0,fffffffffffffffffffffff", "Pffff=00", "Z9,0,1", "Z0", "vCont;x", "vCont;c:p77.1", "X0,4:ab", "G00",
                    "qXfer:features:read:../x:0,10", "Hgp9.9", "T99", "vAttach;63", "vKill;63"):
            reply = line.ask(bad)
            check(reply == "" or reply[0] == "E", f"{bad} is answered {reply[:60]!r}")
        # A loop without end, a division by zero, rubbish: the breakpoint is taken, what does not work counts as a hit.
        for code in ("210000", "2200220005", "ff", "26ffff", "2b2b2b", "17" * 200, "00"):
            reply = line.ask(f"Z0,ffffffff80200000,1;X{len(code) // 2 if code != '00' else 0x7fffffff:x},{code}")
            check(reply == "OK" or reply[0] == "E", f"condition {code[:20]} is answered {reply!r}")
            line.ask("z0,ffffffff80200000,1")
    _goes_on(machine)


def _dies_and_runs(machine, gdb):
    elf = Elf(gdb.file)
    connect_to_first(gdb)
    gdb("kill")
    machine.skip_read()
    machine.send("list")
    machine.expect(r"\| a +\| off", 30)
    gdb.resume("starti")
    same("pc after starti", gdb.pc, elf["start32"])
    scenarios = Scenarios(gdb, elf).to_main()
    scenarios.run("kTouch")
    gdb("monitor reset")
    gdb("maintenance flush register-cache")
    same("pc after monitor reset", gdb.pc, elf["start32"])
    gdb("delete")
    gdb("detach")
    machine.expect(r"^\[a\] debuggee: up", 60)


def _two(machine, gdb):
    """Both attached; continue moves one only."""
    elf = Elf(gdb.file)
    connect_to_first(gdb)
    gdb("add-inferior")
    gdb("inferior 2")
    gdb(f"file {elf.path}")
    gdb("attach 2")
    contains("info inferiors", gdb("info inferiors"), "process 1", "process 2")
    contains("info threads", gdb("info threads"), "Thread 1.1", "Thread 2.1")
    for number in (1, 2):
        gdb(f"inferior {number}")
        same(f"pc of {number}", gdb.pc, elf["start32"])
        same(f"memory of {number}", gdb.value(f"*(unsigned int*){elf['start32']:#x}"),
             int.from_bytes(elf.bytes(elf["start32"], elf["start32"] + 4), "little"))
    gdb("inferior 1")
    gdb("tbreak kernel_main")
    stop = gdb.resume()
    contains("who stopped", stop.text, "Thread 1.1", "kernel_main")
    gdb("inferior 2")
    same("the other one", gdb.pc, elf["start32"])
    gdb("detach")
    gdb("inferior 1")
    same("where the first one stands after the other was left", gdb.pc, stop.pc)
    gdb("detach")


def _ticks(gdb, number):
    gdb(f"inferior {number}")
    return gdb.value("ticks")


def _stand(gdb):
    """Both counts, which no longer change; memory is also read of who runs."""
    counts = [_ticks(gdb, number) for number in (1, 2)]
    time.sleep(1)
    same("ticks a second later", [_ticks(gdb, number) for number in (1, 2)], counts)
    return counts


def _usual_pace(machine, what, look=lambda: None, lines=8):
    """The neighbour's seconds by the machine's clock, while look() is called again and again. An idle machine's clock outruns ours, so
    both are taken from the console, where they stand in their order."""
    pattern = r"^ballast: .*processor \d+, up (\d+) s,"

    def both():
        machine.command_lines("show good", pattern, 60)
        counted = None
        for line in list(machine.lines):
            if match := re.match(_NEIGHBOUR + "$", line.text):
                counted = int(match.group(0).rpartition(" ")[2])
            elif match := re.search(pattern, line.text):
                found = int(match.group(1)), counted
        return found

    machine.expect(_NEIGHBOUR, 60)
    (up, first), (now, counted) = both(), (0, 0)
    while counted < first + lines:
        look()
        time.sleep(0.2)
        now, counted = both()
    late = (now - up) - (counted - first)
    check(abs(late) <= 1, f"{what} the neighbour counted {counted - first} s of {now - up}")


def _two_processors(machine, gdb):
    """With schedule-multiple all inferiors go and stop as one; without it, the current one. Who is not attached does not notice."""
    elf = Elf(gdb.file)
    gdb.connect()
    contains("info inferiors", gdb("info inferiors"), "process 1")
    gdb("add-inferior")
    gdb("inferior 2")
    gdb(f"file {elf.path}")
    gdb("attach 2")
    placed = []
    for number in (1, 2):
        gdb(f"inferior {number}")
        placed.append(re.search(r"on processor (\d)", gdb("monitor info")).group(1))
        gdb("tbreak kernel_main")
        contains("who stopped", gdb.resume().text, f"Thread {number}.1", "kernel_main")
        gdb("set var rounds = 0x3fffffff")
        gdb("set var command = kInterrupts")
    same("processors", sorted(placed), ["0", "1"])
    for multiple in ("off", "on"):
        gdb(f"set schedule-multiple {multiple}")
        for number, other in ((1, 2), (2, 1)):
            counts = _stand(gdb)
            gdb(f"inferior {number}")
            gdb(f"tbreak *{elf['timer_event']:#x} if ticks >= {counts[number - 1] + 20}")
            contains("info breakpoints", gdb("info breakpoints"), f"inf {number}")
            contains("who stopped", gdb.resume().text, f"Thread {number}.1", "timer_event")
            after = _stand(gdb)
            check(after[number - 1] >= counts[number - 1] + 20, f"schedule-multiple {multiple}: {counts}, then {after}")
            moved = after[other - 1] > counts[other - 1]
            same(f"schedule-multiple {multiple}: whether {other} went with {number}", moved, multiple == "on")
    _usual_pace(machine, "with two at a breakpoint", lambda: gdb("x/16xg $sp"))
    gdb.start("continue")
    _usual_pace(machine, "with two running under gdb")
    same("signal", gdb.interrupt().signal, "SIGINT")
    _stand(gdb)
    for number in (1, 2):
        gdb(f"inferior {number}")
        gdb("detach")
    _usual_pace(machine, "with nobody attached")


def _storm(machine, gdb):
    """Nothing but exceptions that the guest raises for itself: it goes, it stops when told, and its neighbour does not notice."""
    gdb.connect()
    gdb.start("continue")
    machine.expect(r"^\[a\] spin: now", 30)
    _goes_on(machine)
    same("signal", gdb.interrupt().signal, "SIGINT")
    _goes_on(machine)
    gdb.start("continue")
    _goes_on(machine)
    gdb.interrupt()
    gdb("detach")
    _goes_on(machine)


def _storming(name, letter, **more):
    return Case(f"storm-{name}", config(partition("a", "guest:spin", startup_mib=16, command_line=letter, debug_wait=True), _good(), debugger="com3"),
                [expect(_NEIGHBOUR, 120), debug(_storm), *_OFF], debugger=True, forbid=(r"FAIL", r"CORRUPT"), timeout_s=240, **more)


_OFF = [ask("stop good off", r"turned off|ended", 30), ask("stop a off", r"all partitions ended", 60)]

CASES = [
    Case("comes-and-goes", config(_debuggee(), _good(), debugger="com3"),
         [expect(_NEIGHBOUR, 120), call(_rubbish), debug(_first_contact, _GUEST), call(_goes_on), debug(_comes_back, _GUEST), call(_goes_on),
          debug(_left_stopped, _GUEST), call(_goes_on), debug(_left_running, _GUEST), call(_cut_in_packet), debug(_dies_and_runs, _GUEST),
          call(_goes_on), *_OFF],
         debugger=True, forbid=(r"FAIL", r"CORRUPT"), timeout_s=300),
    Case("two-partitions", config(_debuggee(), _debuggee("b"), debugger="com3"),
         [expect(r"^ballast: partition b: started", 60), debug(_two, _GUEST), expect(r"^\[a\] debuggee: up", 60),
          ask("stop b off", r"turned off|ended", 30), ask("stop a off", r"all partitions ended", 60)],
         debugger=True, forbid=(r"FAIL",), timeout_s=240),
    _storming("breakpoint", "b"),
    _storming("watched-stack", "d", beds=("vmx",)),  # see hostile.py
    Case("two-processors", config(_debuggee(), _debuggee("b"), _good(), debugger="com3"),
         [expect(_NEIGHBOUR, 120), debug(_two_processors, _GUEST),
          ask("stop b off", r"turned off|ended", 30), *_OFF],
         debugger=True, forbid=(r"FAIL", r"CORRUPT"), cpus=2, timeout_s=300),
]
