# SPDX-License-Identifier: Apache-2.0
"""One instruction is one instruction: over everything that is special about stepping an x86, in all modes; and the commands made of
steps. The guests check that they see nothing of it."""
from ballastlib.cases import Case, ask, config, debug, expect, partition, with_both_compilers
from ballastlib.debuggee import Elf, Scenarios, check, contains, same, step_table

_TORTURE, _GUEST, _SMALL = "debug/torture", "debug/kernel64", "debug/kernel32"


def _walk(gdb, elf, first, end):
    """Steps from the first to the last address of a table of torture's."""
    table = step_table(elf, first, end)
    same(f"the start of {first}", gdb.pc, table[0][0])
    at = 0
    while at + 1 < len(table):
        before = table[at][0]
        pc = gdb.resume("stepi").pc
        at += 1
        if table[at][1] and pc != table[at][0]:
            at += 1
        if pc != table[at][0]:
            code = gdb(f"x/i {before:#x}").strip()
            check(False, f"step {at} of {first}, over <{code}>: at {pc:#x} {gdb('info symbol $pc').strip()}, not {table[at][0]:#x}")


def _torture(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    gdb("tbreak torture_begin")
    same("torture_begin", gdb.resume().pc, elf["torture_begin"])
    _walk(gdb, elf, "steps", "steps_end")
    # Behind HLT: the interrupt that was held all the time comes now.
    same("behind HLT", gdb.pc, elf["after_halt"])
    same("ticks while stepping", gdb.value("*(int*)&ticks"), 0)
    gdb("tbreak halt_over")
    same("halt_over", gdb.resume().pc, elf["halt_over"])
    check(gdb.value("*(int*)&ticks") >= 1, "no interrupt after the stepping")
    gdb("tbreak real_begin")
    same("real_begin", gdb.resume().pc, elf["real_begin"])
    _walk(gdb, elf, "real_steps", "real_steps_end")
    # Real mode, seen as it is.
    check(gdb.value("$cr0 & 1ul") == 0, "not in real mode")
    same("segment bases", gdb.value("$cs_base"), gdb.value("$cs") << 4)
    same("raw_ip", gdb.value("$raw_ip"), gdb.pc - gdb.value("$cs_base"))
    gdb("monitor arch 16")
    gdb("unset tdesc filename")
    contains("16-bit code", gdb("x/2i $pc"), "cmpw", "jne")
    gdb("monitor arch 64")
    gdb("unset tdesc filename")
    gdb("detach")
    machine.expect(r"^\[a\] torture: real OK", 30)


def _commands(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    # From the first instruction: 32-bit code, then the far jump into long mode.
    gdb("monitor arch 32")
    gdb("unset tdesc filename")
    contains("32-bit code", gdb("x/3i $pc"), "cli", "esp")
    gdb("monitor arch 64")
    gdb("unset tdesc filename")
    gdb(f"tbreak *{elf['start64_low']:#x}")
    same("long mode", gdb.resume().pc, elf["start64_low"])
    scenarios = Scenarios(gdb, elf).to_main()
    stop = gdb.resume("next")
    check(stop.function == "kernel_main" and int(stop.fields["frame"]["line"]) > 0, f"next: {stop}")
    gdb("set var depth = 5")
    scenarios.begin("kRecursion")
    with scenarios.point("break descend if level == 2"):
        stop = gdb.resume()
        contains("backtrace", gdb("backtrace"), "#0  descend (level", "#3  ", "recursion", "command_loop", "kernel_main", "start64")
        same("frames of descend", gdb("backtrace").count("descend (level"), 4)
        contains("finish", gdb.resume("finish").text, "Run till exit", "Value returned is", "= 3")
        gdb.resume("stepi")
        same("until", gdb.resume("until").function, "recursion")
    gdb("delete")
    gdb("break scenario_done")
    scenarios.finish("kRecursion")
    gdb("set var rounds = 3")
    scenarios.begin("kHotLoop")
    gdb("tbreak hot_loop")
    same("hot_loop", gdb.resume().function, "hot_loop")
    functions, lines = set(), []
    for _ in range(12):
        stop = gdb.resume("step")
        functions.add(stop.function)
        lines.append(int(stop.fields["frame"]["line"]))
        if stop.function == "work":
            break
    check("work" in functions, f"step does not step into work(): {functions} {lines}")
    contains("up", gdb("up"), "hot_loop")
    same("advance ends where the frame does", gdb.resume("advance scenario_done").function, "run")
    scenarios.finish("kHotLoop")
    same("stepi and nexti", (gdb.resume("stepi 3").reason, gdb.resume("nexti 2").reason), ("end-stepping-range",) * 2)
    # Into a system call and out of it; the timer's interrupts do not get in between.
    gdb("tbreak user_main")
    scenarios.begin("kUserMode")
    same("user_main", gdb.resume().pc, elf["user_main"])
    pcs = [gdb.resume("stepi").pc for _ in range(3)]
    same("steps into the kernel", pcs[2], elf["system_call_entry"])
    gdb(f"tbreak *{elf['system_call_return']:#x}")
    gdb.resume()
    same("a step out of the kernel", gdb.resume("stepi").pc, elf["user_after_call"])
    scenarios.finish("kUserMode")
    scenarios.run("kOwnDebugging")
    gdb("set var rounds = 100")
    gdb("tbreak interrupts")
    scenarios.begin("kInterrupts")
    gdb.resume()
    before = gdb.value("ticks")
    for _ in range(40):
        check(gdb.resume("stepi").function not in ("timer_entry", "timer_event"), "an interrupt was taken while stepping")
    same("interrupts while stepping", gdb.value("ticks"), before)
    with scenarios.point("break timer_event"):
        same("an interrupt", gdb.resume().function, "timer_event")
        contains("its backtrace", gdb("backtrace 2"), "timer_event")
    scenarios.finish("kInterrupts")
    _pending(gdb, elf, scenarios)
    scenarios.begin("kHalt")
    for _ in range(20):  # a timer ticks meanwhile: Ctrl-C may find its handler instead
        gdb.start("continue")
        gdb.interrupt()
        frames = gdb("backtrace")
        if "halt_until_told" in frames:
            break
    contains("in HLT", frames, "halt_until_told")
    gdb("set var command = kNone")
    for _ in range(6):
        gdb.resume("stepi")
    scenarios.begin("kChecksum")
    stop = gdb.resume()
    scenarios.ended(stop, "kHalt")
    scenarios.finish("kChecksum")
    gdb("detach")


def _pending(gdb, elf, scenarios):
    """An interrupt that waits: held while stepping unless it is asked for, and never lost."""
    first, entry = elf["pending_first"], elf["timer_entry"]
    contains("monitor sstep", gdb("monitor sstep"), "are held")
    gdb("set var rounds = 3")
    with scenarios.point(f"break *{first:#x}"):
        scenarios.begin("kPending")
        for setting in ("held", "delivered", "held"):
            same("the window", gdb.resume().pc, first)
            before = gdb.value("ticks")
            same("interrupts are on", gdb.value("$eflags") >> 9 & 1, 1)
            same("held: steps", [gdb.resume("stepi").pc for _ in range(4)], [first + step for step in range(1, 5)])
            if setting == "delivered":
                contains("monitor sstep", gdb("monitor sstep deliver"), f"are {setting}")
                same("delivered: a step", gdb.resume("stepi").pc, entry)
                same("the interrupted instruction", gdb.value("*(unsigned long*)$rsp"), first + 4)
                same("in the handler: a step", gdb.resume("stepi").pc, entry + 1)
            same("ticks", gdb.value("ticks"), before)
            contains("monitor info", gdb("monitor info"), f"while stepping: {setting}")
            contains("monitor sstep", gdb("monitor sstep hold"), "are held")
        contains("monitor sstep", gdb("monitor sstep never"), "'hold' or 'deliver'")
        contains("monitor sstep", gdb("monitor sstep"), "are held")
    scenarios.finish("kPending")  # each came once


def _elf32(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    check(not any("packet reply is too long" in error for error in gdb.errors), gdb.transcript)
    gdb("monitor arch 32")
    gdb("unset tdesc filename")
    same("pc", gdb.pc, elf["start32"])
    scenarios = Scenarios(gdb, elf).to_main()
    scenarios.run("kTouch")
    scenarios.begin("kRecursion")
    with scenarios.point("break descend if level == 7"):
        gdb.resume()
        same("frames of descend", gdb("backtrace").count("descend (level"), 4)
        contains("finish", gdb.resume("finish").text, "Value returned is", "= 8")
    scenarios.finish("kRecursion")
    with scenarios.point("watch counter"):
        gdb("set var rounds = 3")
        scenarios.begin("kHotLoop")
        same("watch", gdb.resume().reason, "watchpoint-trigger")
    scenarios.finish("kHotLoop")
    contains("info registers", gdb("info registers"), "eax", "eip", "cr0")
    gdb("detach")


def _alone(name, guest, function, says, **more):
    end = ask("stop a off", r"all partitions ended", 60)
    return Case(name, config(partition("a", f"guest:{guest}", startup_mib=64, debug_wait=True), debugger="com3"),
                [expect(r"^ballast: partition a: started", 60), debug(function, guest), *(says or [end])], debugger=True, forbid=(r"FAIL",),
                timeout_s=300, **more)


CASES = [
    Case("torture-alone", config(partition("a", f"guest:{_TORTURE}", startup_mib=64)), [expect(r"^\[a\] torture: OK", 60),
         expect(r"^\[a\] torture: real OK", 30)], forbid=(r"FAIL",), timeout_s=120),
    _alone("torture", _TORTURE, _torture, [expect(r"all partitions ended", 30)]),
    *with_both_compilers(_alone("commands", _GUEST, _commands, None)),
    _alone("elf32", _SMALL, _elf32, None),
]
