# SPDX-License-Identifier: Apache-2.0
"""Breakpoints, watchpoints and conditions that the guest cannot see; memory through the debugger."""
import re
import tempfile
from pathlib import Path

from ballastlib.cases import Case, ask, call, config, debug, expect, partition
from ballastlib.debuggee import Elf, Scenarios, check, contains, same

_GUEST = "debug/kernel64"


def _checksum(elf):
    sum_ = 0
    for byte in elf.bytes(elf["text_start"], elf["text_end"]):
        sum_ = (sum_ * 31 + byte) & (2 ** 64 - 1)
    return sum_


def _packets(machine, since, what=rb"\$(vCont|T0|T)"):
    """How many packets of a kind went either way since a place in the record."""
    return sum(len(re.findall(what, data)) for _, data in machine.debugger.record[since:])


def _breakpoints(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    # Set while nothing at that address is mapped or, for the late function, even in memory; more than there are registers.
    # The debug registers go to four that are never mapped.
    late = [elf["late_second"]] + [elf["late_second"] + 3 + nop for nop in range(6)]
    never = [elf["late_function"] - 0x10_0000 + 16 * at for at in range(4)]
    for address in never + late:
        gdb(f"break *{address:#x}")
    scenarios = Scenarios(gdb, elf).to_main()
    done = int(gdb("output $bpnum"))
    scenarios.run("kChecksum")
    same("the text's checksum", gdb.value("text_sum"), _checksum(elf))
    gdb(f"disable {done}")  # the page that maps the other runs freely
    scenarios.begin("kLatePage")
    for value in (41, 51):
        same("eax", (gdb.resume().pc, gdb.value("$eax")), (late[0], value))
        same("stops in the late function", [gdb.resume().pc for _ in late[1:]], late[1:])
    gdb(f"enable {done}")
    scenarios.finish("kLatePage")
    # Code that is rewritten before each call: neither is the breakpoint lost nor the new code.
    gdb("set var rounds = 5")
    with scenarios.point("break patched"):
        scenarios.begin("kSelfModifying")
        for turn in range(1, 6):
            stop = gdb.resume()
            same("pc in patched", stop.pc, elf["patched"])
            same("the instruction's operand", gdb.value("*(unsigned int*)($pc + 1)"), turn)
        scenarios.finish("kSelfModifying")
    # The guest reads its text and sees none of eight breakpoints.
    names = ("work", "descend", "touch", "fib", "hot_loop", "timer_event", "system_call", "user_after_call")
    for name in names:
        gdb(f"break {name}")
    scenarios.run("kChecksum")
    same("the text's checksum under breakpoints", gdb.value("text_sum"), _checksum(elf))
    first = int(gdb("output $bpnum")) - len(names) + 1
    gdb("set var rounds = 2")
    scenarios.begin("kHotLoop")
    same("stops of kHotLoop", [gdb.resume().function for _ in range(3)], ["hot_loop", "work", "work"])
    scenarios.finish("kHotLoop")
    gdb(f"delete {first + 5}")
    scenarios.begin("kUserMode")
    for call_number in (3, 2, 1):
        same("a system call", (gdb.resume().function, gdb.value("number")), ("system_call", call_number))
        stop = gdb.resume()
        same("back in user mode", (stop.pc, gdb.value("$cs") & 3), (elf["user_after_call"], 3))
    scenarios.finish("kUserMode")
    gdb(f"delete {first}-{first + 4}")
    gdb(f"delete {first + 6}-{first + 7}")
    # Hardware breakpoints, and one that is deleted when hit.
    gdb("hbreak touch")
    gdb("tbreak work")
    scenarios.begin("kHotLoop")
    contains("tbreak", gdb.resume().text, "Temporary breakpoint", "work")
    scenarios.finish("kHotLoop")
    scenarios.begin("kTouch")
    same("hbreak", gdb.resume().pc, elf["touch"])
    scenarios.finish("kTouch")
    # Its own debugging works while ours goes on.
    with scenarios.point("break own_target"), scenarios.point("hbreak own_store"), scenarios.point("watch own_byte"):
        scenarios.begin("kOwnDebugging")
        same("own_target", gdb.resume().pc, elf["own_target"])
        stop = gdb.resume()
        if stop.pc == elf["own_target"]:  # again, when the guest's handler comes back from the guest's own breakpoint there
            stop = gdb.resume()
        same("own_store", stop.pc, elf["own_store"])
        stop = gdb.resume()
        same("the byte that both watch", (stop.reason, stop.fields["value"]["new"]), ("watchpoint-trigger", r"1 '\001'"))
        gdb("set var own_byte = 0")
        scenarios.finish("kOwnDebugging")
    scenarios.run("kOwnDebugging")


def _conditions(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    scenarios = Scenarios(gdb, elf).to_main()
    record = machine.debugger.record
    gdb("set var rounds = 2000")
    for condition, value in (("i == 1234", 1234), ("$rdi == 77", 77), ("i > 1000 && counter > 5 && origin.x == 3", 1001)):
        with scenarios.point(f"break work if {condition}"):
            contains("info breakpoints", gdb("info breakpoints"), "stop only if")
            scenarios.begin("kHotLoop")
            begin = len(record)
            stop = gdb.resume("continue", 120)
            same(condition, (stop.function, gdb.value("i")), ("work", value))
            check(_packets(machine, begin) < 12, f"{condition}: {_packets(machine, begin)} packets")
            contains("who evaluates", gdb("info breakpoints"), "target evals")
        scenarios.finish("kHotLoop", 120)
    # One that gdb has to check itself is right all the same.
    gdb("set var rounds = 20")
    with scenarios.point("break work if $_thread == 1 && i == 7"):
        scenarios.begin("kHotLoop")
        gdb.resume("continue", 120)
        same("i", gdb.value("i"), 7)
    scenarios.finish("kHotLoop")
    # Memory that is not there makes a hit, not a hang.
    with scenarios.point("break work if *(int*)0x7000000000 == 1"):
        scenarios.begin("kHotLoop")
        stop = gdb.resume("continue", 120)
        same("an error in a condition", stop.function, "work")
    scenarios.finish("kHotLoop")


def _watchpoints(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    scenarios = Scenarios(gdb, elf).to_main()
    with scenarios.point("watch counter"):
        gdb("set var rounds = 3")
        scenarios.begin("kHotLoop")
        values = []
        for _ in range(2):  # counter + 0 is no change
            stop = gdb.resume()
            contains("watch", stop.text, "Hardware watchpoint", "Old value", "New value")
            same("where", stop.function, "work")
            values.append(int(stop.fields["value"]["new"]))
        same("counter's step", values[1] - values[0], 2)
        scenarios.finish("kHotLoop")
    # Eight at once, of all kinds: more than the processor has.
    table = elf["table"]
    with scenarios.point("rwatch table[0]"), scenarios.point("watch table[1]"), scenarios.point("awatch table[2]"), \
            scenarios.point("watch table[3]"), scenarios.point("watch table[4]"), scenarios.point("watch table[5]"), \
            scenarios.point("rwatch table[6]"), scenarios.point("awatch origin.x"):
        scenarios.begin("kTouch")
        reasons = [gdb.resume().reason for _ in range(4)]
        same("stops", reasons, ["read-watchpoint-trigger", "watchpoint-trigger", "access-watchpoint-trigger", "access-watchpoint-trigger"])
        scenarios.finish("kTouch")
        gdb("set var command = kChecksum")
        scenarios.finish("kChecksum")
    same("table", [gdb.value(f"table[{at}]") for at in range(3)], [10, 110, 13])
    # A string instruction over watched memory; a store over the end of a page.
    with scenarios.point(f"watch *(long*){table + 32:#x}"):
        scenarios.begin("kFillString")
        changes = 0
        while (stop := gdb.resume()).reason == "watchpoint-trigger":
            changes += 1
        check(1 <= changes <= 8, f"{changes} changes of a word that was filled")
        scenarios.ended(stop, "kFillString")
    with scenarios.point("watch edge[4096]"):
        scenarios.begin("kPageCrossing")
        stop = gdb.resume()
        same("the half behind the page's end", (stop.reason, gdb.value("edge[4096]")), ("watchpoint-trigger", 0x44))
        scenarios.finish("kPageCrossing")
    with scenarios.point("watch *(char(*)[64])edge"):
        scenarios.run("kChecksum")
    # Gone is gone.
    scenarios.run("kHotLoop")


def _memory(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    scenarios = Scenarios(gdb, elf).to_main()
    # Text is read-only for the guest.
    original = gdb.value("*(unsigned char*)own_target")
    same("the file's byte", original, elf.bytes(elf["own_target"], elf["own_target"] + 1)[0])
    gdb("set var *(unsigned char*)own_target = 0xf4")
    same("written", gdb.value("*(unsigned char*)own_target"), 0xf4)
    gdb(f"set var *(unsigned char*)own_target = {original}")
    for address, what in ((0x7000000000, "not mapped"), (0xffff900000000000, "not mapped high"), (0xfee00000, "a device"), (0xf0000000, "absent")):
        wrong = gdb.fails(f"x/4x {address:#x}", "Cannot access memory at address")
        check(wrong is None, f"{what}: {wrong}")
        wrong = gdb.fails(f"set var *(int*){address:#x} = 1", "Cannot access memory at address")
        check(wrong is None, f"{what}: {wrong}")
    # A read into what is not there gives what is.
    gdb.fails("x/64bx 0x1fffff0", "Cannot access")
    contains("up to the end", gdb.transcript[-2000:], "0x1fffff8")
    # By physical address.
    gdb("monitor phys on")
    physical = elf["table"] - 0xffffffff80000000
    same("table by its physical address", gdb.value(f"*(long*){physical:#x}"), 10)
    same("start32 by its physical address", gdb.value(f"*(unsigned char*){elf['start32']:#x}"), 0xfa)
    wrong = gdb.fails("x/x 0xfee00020", "Cannot access memory")
    check(wrong is None, f"a device: {wrong}")
    wrong = gdb.fails("x/x 0x70000000", "Cannot access memory")
    check(wrong is None, f"absent: {wrong}")
    _large_packets(machine, gdb)
    gdb("monitor phys off")
    same("table by its virtual address", gdb.value("table[0]"), 10)
    text = gdb("monitor map")
    contains("monitor map", text, "RAM", "000000000000-")
    check(re.search(r"device", text), f"monitor map: {text}")
    # Calling a function of the guest.
    same("fib(10)", int(gdb("output fib(10)")), 55)
    scenarios.run("kTouch")


def _ends(machine, gdb):
    gdb.connect()
    gdb("set var command = kPowerOff")
    gdb("delete")
    gdb.start("continue")
    machine.expect(r"^\[a\] debuggee: power off", 30)
    stop = gdb.wait_stop(30)
    same("the end", stop.reason, "exited")


def _large_packets(machine, gdb):
    """Memory that nobody uses, there and back in packets as large as they get."""
    noise = bytes(number * number >> 3 & 0xFF for number in range(24 << 10))
    since = len(machine.debugger.record)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "there").write_bytes(noise)
        gdb(f"restore {folder}/there binary 0x1000000")
        gdb(f"dump binary memory {folder}/back 0x1000000 {0x1000000 + len(noise):#x}")
        check((Path(folder) / "back").read_bytes() == noise, "what was read is not what was written")
    lines = ["".join(data.decode("latin-1") for to, data in machine.debugger.record[since:] if to == way) for way in "><"]
    sizes = [max(map(len, line.split("$"))) for line in lines]
    check(min(sizes) > 0x3000, f"the largest packets, there and back: {sizes} bytes")


def _case(name, *functions):
    steps = []
    for function in functions:
        steps += [debug(function, _GUEST), call(_restart)]
    return Case(name, config(partition("a", f"guest:{_GUEST}", startup_mib=32, debug_wait=True), debugger="com3"),
                [expect(r"^ballast: partition a: started", 60), *steps[:-1], ask("stop a off", r"all partitions ended", 60)],
                debugger=True, forbid=(r"FAIL",), timeout_s=300)


def _restart(machine):
    """To its first instruction again, for the next gdb."""
    from ballastlib.gdb import Gdb
    with Gdb(machine.debugger.port, machine.built / "tests/guests" / _GUEST) as gdb:
        gdb.connect()
        gdb("monitor reset")


CASES = [
    _case("breakpoints", _breakpoints, _conditions),
    _case("data", _watchpoints, _memory),
    Case("power-off", config(partition("a", f"guest:{_GUEST}", startup_mib=32, debug_wait=True), debugger="com3"),
         [expect(r"^ballast: partition a: started", 60),
          debug(lambda machine, gdb: (gdb.connect(), Scenarios(gdb, Elf(gdb.file)).to_main(), None)[2], _GUEST), debug(_ends, _GUEST)],
         debugger=True, forbid=(r"FAIL",), timeout_s=200),
]
