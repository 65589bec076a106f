# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernel under gdb: the session of the README's page with Debian's symbols, the same with those that the kernel's
image carries, a kernel that has chosen its own place (KASLR), and a minute at a breakpoint that Linux does not notice."""
import re
import time
from itertools import zip_longest

from ballastlib import setup
from ballastlib.cases import Case, ask, config, debug, expect, partition, stock
from ballastlib.debuggee import check, connect_to_first, contains, same
from ballastlib.paths import ROOT, RUNS

_UP = r"^\[web\] ballast-guest: up"
_COUNT = re.compile(r"\[good\] steady (\d+)$")


def _symbols():
    setup.setup("symbols")
    if not setup.guest_kernel_symbols():
        setup.image_symbols()


def _from_image():
    setup.image_symbols()


def _remark():
    return None if setup.guest_kernel_symbols() else "with the symbols in the kernel's image: Debian's are not to be had (scripts/setup symbols says why)"


def _best_file():
    return setup.guest_kernel_symbols() or setup.image_symbols_file()


def _masked(text):
    """A transcript without what changes from kernel to kernel and from run to run: addresses, numbers."""
    text = re.sub(r"127\.0\.0\.1:\d+", ":1234", text)
    text = re.sub(r"0x[0-9a-f]+", "0x…", text)
    return [re.sub(r"\d+", "N", line).rstrip() for line in text.splitlines() if line.strip()]


def _readme():
    """The session in the README's page."""
    page = (ROOT / "README.md").read_text().partition("is this very session:")[2]
    return "\n".join(line[4:] for line in page.partition("\n- ")[0].splitlines())


def _session(machine, gdb):
    """What the README shows, in its order; then what would make that too long."""
    if not setup.guest_kernel_symbols():
        return _session_from_image(machine, gdb)
    gdb.connect()
    gdb("break start_kernel")
    stop = gdb.resume("continue", 240)
    contains("continue", stop.text, "Breakpoint 1, start_kernel () at init/main.c:")
    contains("backtrace", gdb("backtrace"), "#0  start_kernel", "secondary_startup_64")
    contains("print", gdb("print boot_command_line"), "console=ttyS0", "nokaslr")
    line = int(stop.fields["frame"]["line"])
    stop = gdb.resume("next")
    check(int(stop.fields["frame"]["line"]) > line, f"next: from line {line} to {stop.fields['frame']}")
    check(gdb.resume("step").reason == "end-stepping-range", "step")
    gdb("tbreak setup_arch")
    contains("tbreak setup_arch", gdb.resume().text, "setup_arch (cmdline_p=")
    contains("finish", gdb.resume("finish", 240).text, "start_kernel () at init/main.c:")
    gdb("tbreak run_init_process")
    stop = gdb.resume("continue", 400)
    contains("run_init_process", stop.text, "run_init_process (init_filename=", "/init")
    gdb.start("continue")
    machine.expect(_UP, 240)
    (RUNS / f"{machine.hardware.bed}.linux-session.txt").write_text(gdb.transcript)
    wrong = [pair for pair in zip_longest(_masked(gdb.transcript), _masked(_readme())) if pair[0] != pair[1]]
    check(not wrong, f'the README shows "{wrong[0][1]}" where gdb says "{wrong[0][0]}"' if wrong else "")
    # The running kernel.
    stop = gdb.interrupt(60)
    same("signal", stop.signal, "SIGINT")
    gdb("delete")
    if gdb.value("$cs") & 3 == 0 and gdb.value("$gs_base") >> 63:
        contains("the current task", gdb("print ((struct task_struct *)*(unsigned long *)($gs_base + (unsigned long)&current_task))->comm"), '"')
    # Linux starts five minutes before the wrap of 32 bits; HZ is 250.
    since_boot = gdb.value("jiffies") - (2**32 - 300 * 250)
    check(250 < since_boot < 600 * 250, f"{since_boot} jiffies since the start")
    # Ftrace, jump labels and static calls patch the text that breakpoints are in; hot functions with conditions for the hypervisor.
    gdb("break vfs_read if $rdx == 12345678")
    gdb("break __schedule if $rdi == 77")
    gdb("tbreak do_exit")
    contains("do_exit", gdb.resume("continue", 120).text, "do_exit (code=")
    contains("its caller", gdb("backtrace 3"), "do_group_exit")
    contains("monitor kaslr", gdb('eval "monitor kaslr %lx", &entry_SYSCALL_64'), "no slide")
    gdb("delete")
    gdb("detach")


def _session_from_image(machine, gdb):
    """The same way through the kernel with what its image carries: names and stacks, no lines, no types."""
    gdb.connect()
    contains("monitor kaslr", gdb("monitor kaslr"), "LSTAR is 0")
    gdb("break start_kernel")
    stop = gdb.resume("continue", 240)
    contains("continue", stop.text, "Breakpoint 1, ", " in start_kernel ()")
    same("pc", stop.pc, gdb.value("&start_kernel"))
    contains("backtrace", gdb("backtrace"), "#0 ", "in start_kernel ()\n#1 ", "secondary_startup_64")
    contains("linux_banner", gdb("x/s &linux_banner"), f"Linux version {setup.guest_kernel_version()} ")
    contains("jiffies", gdb("print (long)jiffies"), " = 42948")  # INITIAL_JIFFIES: five minutes before 32 bits are full
    contains("boot_command_line", gdb("x/s &boot_command_line"), "console=ttyS0", "nokaslr")
    contains("x/i", gdb("x/i $pc"), "<start_kernel>:", "call ", "__fentry__")
    contains("nexti", gdb.resume("nexti").text, "in start_kernel ()")
    same("pc behind the call", gdb.pc, stop.pc + 5)
    contains("stepi", gdb.resume("stepi").text, "in start_kernel ()")
    gdb("tbreak setup_arch")
    contains("tbreak setup_arch", gdb.resume().text, "in setup_arch ()")
    gdb.resume("stepi 40")  # into what it calls or behind its first pushes: only the unwinding tables lead back from there
    contains("backtrace", gdb("backtrace"), "setup_arch ()", "start_kernel ()", "secondary_startup_64")
    gdb("tbreak run_init_process")
    contains("run_init_process", gdb.resume("continue", 400).text, "in run_init_process ()")
    contains("its argument", gdb("x/s $rdi"), '"/init"')
    contains("its callers", gdb("backtrace"), "run_init_process ()", "kernel_init ()", "ret_from_fork ()")
    gdb("delete")
    gdb.start("continue")
    machine.expect(_UP, 240)
    same("signal", gdb.interrupt(60).signal, "SIGINT")
    _running_kernel(gdb)
    gdb("detach")


def _running_kernel(gdb):
    """With symbols that fit, without types: the time passes, and a system call's way through the kernel can be read."""
    before = gdb.value("*(unsigned long *)&jiffies")
    gdb(f"tbreak do_exit if *(unsigned long *)&jiffies > {before}")  # the next one may come within the same tick
    contains("do_exit", gdb.resume("continue", 120).text, "in do_exit ()")
    contains("its callers", gdb("backtrace"), "do_exit ()", "do_group_exit ()", "do_syscall_64 ()", "<signal handler called>")
    task = gdb.value("*(unsigned long *)($gs_base + (unsigned long)&current_task)")
    check(task >> 47 == 0x1FFFF, f"current_task is {task:#x}")


def _randomised(machine, gdb):
    """The kernel has moved itself: no symbol fits until monitor kaslr has told how far, then all do."""
    machine.expect(_UP, 240)
    gdb.connect()
    unmoved = gdb("x/s &linux_banner")
    contains("monitor kaslr", gdb("monitor kaslr"), 'eval "monitor kaslr %lx", &entry_SYSCALL_64')
    told = gdb('eval "monitor kaslr %lx", &entry_SYSCALL_64')
    slide = re.match(r"slide ([0-9a-f]+): symbol-file, then (add-symbol-file VMLINUX .*)", told)
    if slide:  # all but one of some five hundred times
        check("Linux version" not in unmoved, f"monitor kaslr says {told}, but the symbols fit as they were")
        moved = gdb.value("&_text") + int(slide.group(1), 16)
        gdb("symbol-file")
        gdb(slide.group(2).replace("VMLINUX", str(setup.image_symbols_file())))
        same("_text", gdb.value("&_text"), moved)
    contains("monitor kaslr", gdb('eval "monitor kaslr %lx", &entry_SYSCALL_64'), "no slide")
    _running_kernel(gdb)
    contains("linux_banner", gdb("x/s &linux_banner"), f"Linux version {setup.guest_kernel_version()} ")
    gdb("detach")


def _minute(machine, gdb):
    """The neighbour lives through more than a minute, then the kernel goes on and complains of nothing."""
    connect_to_first(gdb)
    counted = [int(match.group(1)) for match in (_COUNT.search(line.text) for line in machine.lines) if match]
    machine.skip_read()
    machine.expect(rf"^\[good\] steady {counted[-1] + 62}$", 300)
    gdb("detach")
    time.sleep(2)
    counted = [int(match.group(1)) for match in (_COUNT.search(line.text) for line in machine.lines) if match]
    machine.expect(rf"^\[good\] steady {counted[-1] + 10}$", 200)


_COMPLAINTS = (r"soft lockup", r"rcu.*stall", r"hung task", r"clocksource.*unstable", r"Call Trace", r"WARNING:", r"BUG:")

CASES = [
    Case("session", config(stock(words="nokaslr ballast.job=idle ballast.phases=0:600 ballast.no-drivers", debug_wait=True), debugger="com3"),
         [expect(r"^ballast: partition web: started", 60), debug(_session, _best_file, timeout_s=90),
          ask("stop web off", r"all partitions ended", 60)],
         debugger=True, prepare=_symbols, remark=_remark, forbid=_COMPLAINTS, timeout_s=600),
    Case("session_from_image", config(stock(words="nokaslr ballast.job=idle ballast.phases=0:600 ballast.no-drivers", debug_wait=True), debugger="com3"),
         [expect(r"^ballast: partition web: started", 60), debug(_session_from_image, setup.image_symbols_file),
          ask("stop web off", r"all partitions ended", 60)],
         debugger=True, prepare=_from_image, forbid=_COMPLAINTS, timeout_s=600),
    Case("randomised", config(stock(words="ballast.job=idle ballast.phases=0:600 ballast.no-drivers"), debugger="com3"),
         [debug(_randomised, setup.image_symbols_file), ask("stop web off", r"all partitions ended", 60)],
         debugger=True, prepare=_from_image, forbid=_COMPLAINTS, timeout_s=600),
    Case("minute", config(stock(words="ballast.job=idle ballast.phases=0:600 ballast.fast-reports", minimum_mib=256),
                          partition("good", "guest:steady", startup_mib=16), debugger="com3"),
         [expect(_UP, 200), expect(r"^\[good\] steady", 30), debug(_minute), ask("list", r"\| web +\| running"),
          ask("show web", r"heartbeat OK", 60), ask("stop good off", r"turned off|ended", 30), ask("stop web", r"all partitions ended", 120)],
         debugger=True, forbid=(*_COMPLAINTS, "FAIL", "CORRUPT"), timeout_s=600),
]
