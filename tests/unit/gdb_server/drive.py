#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""drive.py SERVER [PATTERN]: the real gdb against the session over a fake machine (gdb_server), case by case.

Each case starts a server and one or more gdbs in batch mode and looks at what they print and at the packets. Exit status
77 where there is no gdb."""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, *[os.pardir] * 3, "scripts/lib"))
from ballastlib.gdb import Gdb as Interactive  # noqa: E402
from ballastlib.say import Failure  # noqa: E402

SERVER = os.path.abspath(sys.argv[1])
AT = 0x10000
HIGH = 0xFFFFFFFF80000000


class Server:
    """One gdb_server; `packets` are the requests it has seen."""

    def __init__(self, *options):
        self.process = subprocess.Popen([SERVER, "trace=1", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[1])
        self.packets = []
        self.seen = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            with self.seen:
                self.packets.append(line.decode(errors="replace").rstrip("\n"))
                self.seen.notify_all()

    def wait_for(self, pattern, since=0):
        """Waits for a packet, not before number `since`; returns the number of the one behind it."""
        def found():
            return next((i + 1 for i, p in enumerate(self.packets[since:], since) if re.search(pattern, p)), None)
        with self.seen:
            assert self.seen.wait_for(found, 20), pattern
            return found()

    def count(self, pattern):
        """How many packets of a kind there were, from a gdb that has ended: its last one, which detaches, has been read."""
        self.wait_for(r"\$D;")
        return sum(1 for p in self.packets if re.search(pattern, p))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(5)


class Gdb:
    """gdb in batch mode with these commands after the connection to `server`."""

    def __init__(self, server, *commands, program=None, before=()):
        words = ["gdb", "-nx", "-batch"]
        for command in ["set confirm off", "set pagination off", "set width 0", *before,
                        *([f"file {program}"] if program else []), f"target extended-remote :{server.port}", *commands]:
            words += ["-ex", command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env={**os.environ, "DEBUGINFOD_URLS": "", "LC_ALL": "C"})

    def text(self):
        try:
            return self.process.communicate(timeout=30)[0].decode()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[0].decode() + "\n(hangs)"


def gdb(server, *commands, **more):
    return Gdb(server, *commands, **more).text()


def expect(text, *patterns, never=()):
    """The patterns come in this order, and none of `never`."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        assert found, f"no /{pattern}/ in\n{text[at:]}"
        at = found.end()
    for pattern in [*never, "packet reply is too long", "hangs", "Ignoring packet error", "internal", "Truncated", "warning: while"]:
        assert not re.search(pattern, text), f"/{pattern}/ in\n{text}"


def build(name, source, flags, emulation, text):
    path = os.path.join(WORK, name)
    subprocess.run(["gcc", "-g", "-c", *flags, "-o", path + ".o", os.path.join(HERE, "programs", source)], check=True)
    subprocess.run(["ld", "-m", emulation, "-N", "--no-warn-rwx-segments", f"-Ttext={text:#x}", "-o", path, path + ".o"], check=True)
    subprocess.run(["objcopy", "-O", "binary", path, path + ".bin"], check=True)
    return path


def kernel64(*options):
    return Server(f"image={K64}.bin", f"at={AT}", f"entry={HIGH + AT:#x}", *options)


def case_connect_and_look():
    with kernel64() as s:
        text = gdb(s, "info inferiors", "info threads", "info registers", "p $xmm3", "p $ymm1", "info registers mxcsr st0",
                   "x/2i $pc", "info os processes", "maint print remote-registers", program=K64)
    expect(text, r"_start \(\) at", r"\* 1 +process 1 ", r'\* 1 +Thread 1\.1 "cpu0" \(linux\) _start',
           r'2 +Thread 1\.2 "cpu1" \(linux\)', r"^rsp +0x80000 ", r"^rip .*<_start>", r"^fs_base", r"^cr0 .*\[ PE ET PG \]",
           r"^efer .*\[ LME LMA \]", r"^raw_ip", r"v4_float", r"v8_float|v4_double", r"^mxcsr", r"^st0", r"mov +\$0x0,%ebx",
           r"^1 +on +linux", r"^2 +off +other", r"^ rip .* 16 +128\b")


def case_registers_can_be_written():
    with kernel64() as s:
        text = gdb(s, "set $rax = 0x1122334455667788", "p/x $rax", "set $cr3 = 0x5000", "p/x $cr3", "set $cr0 = 0x11ul",
                   "info registers cr0", "set $eflags = 0x41", "p $eflags", "set $xmm2.v4_int32[1] = 99", "p $xmm2.v4_int32",
                   "set $fs_base = 0x77", "set $gs = 0x33", "p $gs", "p $ymm2.v8_int32", "set $ymm2.v8_int32[5] = 3", "p $ymm2.v8_int32")
    expect(text, "0x1122334455667788", "0x5000", r"0x11 +\[ PE ET \]", r"\[ CF ZF \]", r"\{0, 99, 0, 0\}", "51",
           r"\{0, 99, 0, 0, 0, 0, 0, 0\}", r"\{0, 99, 0, 0, 0, 3, 0, 0\}")


def case_memory():
    with kernel64() as s:
        text = gdb(s, "p *(int*)&counter", "set *(int*)&counter = 0x55", "p *(int*)&counter", "x/x 0x300000",
                   "set *(char*)0x300000 = 1", "x/2xb 0x1fffff", "monitor phys on", "x/xw 0x10000", "monitor phys off",
                   "x/3xb 0xffffffff80010000", "dump binary memory /dev/null 0 0x20000", "p 1+1", program=K64)
    expect(text, " = 0", " = 85", "Cannot access memory at address 0x300000", "Cannot access memory at address 0x300000",
           "0x1fffff", "Cannot access memory at address 0x200000", "guest-physical", "0x10000.*0x000000bb", "guest-virtual",
           "0xbb\t0x00", " = 2")


def case_steps():
    with kernel64() as s:
        text = gdb(s, "set scheduler-locking step", "stepi", "stepi", "stepi", "stepi", "bt", "finish", "next", "next", "next", "next",
                   "step", "info symbol $pc", "until 38", "advance inner", "bt", program=K64)
    expect(text, r"inc", r"\$5, %edi", r"call work", r"work \(\)", r"#0 +work", r"#1 .* in again",
           r"again \(\)", r"work", r"inner \(\)", r"#0 +inner", r"#1 .* in work", r"#2 .* in again")


def case_one_step_costs_few_packets():
    with kernel64() as s:
        gdb(s, "set scheduler-locking step", "stepi", "stepi", program=K64)
        s.wait_for(r"\$D;")
        first = max(i for i, p in enumerate(s.packets) if "vCont" in p)
        last_step = [p for p in s.packets[first:] if p.startswith("<")]
    assert not any("$g#" in p for p in last_step), last_step


def case_breakpoints():
    with kernel64() as s:
        text = gdb(s, "break work", "continue", "continue", "hbreak inner", "set scheduler-locking on", "continue", "bt",
                   "info breakpoints", "delete", "tbreak end", "break crash", program=K64)
        expect(text, r"Breakpoint 1, work \(\)", r"Breakpoint 1, work \(\)", r"Hardware assisted breakpoint 2",
               r"Breakpoint 2, inner \(\)", r"#1 .* work", r"breakpoint already hit 2 times", r"Breakpoint 4 at")
        assert s.count(r"Z0,") and s.count(r"Z1,") and s.count(r"z0,")


def case_conditions():
    with kernel64() as s:
        text = gdb(s, "set scheduler-locking on", "break work if $rbx == 5", "continue", "p $rbx", "info breakpoints", "break inner if $fs_base == 3",
                   "delete 1", "tbreak *again", "continue", program=K64)
        expect(text, r"Breakpoint 1, work", r" = 5", r"stop only if \$rbx == 5 \(target evals\)", r"Temporary breakpoint 3")
        # The layout's own numbers: rbx is 1, fs_base 0x18.
        assert s.count(r"Z0,ffffffff800100[0-9a-f]+,1;X9,26000116402205132?7?")
        assert s.count(r"X9,260018")


def case_watchpoints():
    with kernel64() as s:
        text = gdb(s, "set scheduler-locking on", "watch *(int*)&counter", "continue", "continue", "delete", "awatch *(int*)&counter", "continue",
                   "delete", "rwatch *(int*)&counter", "tbreak *again", "continue", "watch *(char(*)[64])0x9000", program=K64)
    expect(text, r"Hardware watchpoint 1", r"Old value = 0\nNew value = 1", r"Old value = 1\nNew value = 2",
           r"Hardware access \(read/write\) watchpoint 2", r"Value = 3|New value = 3", r"Hardware read watchpoint 3")


def case_interrupt():
    with kernel64() as s:
        g = Gdb(s, "continue", "info threads", "continue", "p 40+2", "detach", program=K64)
        s.wait_for(r"vCont;c")
        time.sleep(0.1)
        g.process.send_signal(signal.SIGINT)
        s.wait_for(r"vCont;c", s.wait_for("T02"))
        time.sleep(0.1)
        g.process.send_signal(signal.SIGINT)
        expect(g.text(), "received signal SIGINT", r"Thread 1\.1", "received signal SIGINT", " = 42", r"\[Inferior 1 \(process 1\) detached\]")


def case_attach_by_number():
    with kernel64("second=on") as s:
        text = gdb(s, "info inferiors", "attach 9", "attach 1", "info threads", "add-inferior", "inferior 2", "attach 2",
                   "info registers rip", "p $xmm0", "info threads", "stepi", "inferior 1", "set scheduler-locking on", "stepi", "set schedule-multiple on",
                   "set scheduler-locking off", "stepi", "detach", "inferior 2", "p $pc", "kill", "info inferiors", program=K64)
    expect(text, r"<null>", r"Attaching to process 9 failed", r"_start \(\)", r'Thread 1\.2 "cpu1"', r"0x0+2000 in", r"rip +0x2000",
           r"v4_float", r"Thread 2\.1 \"cpu0\" \(other\)", r"0x0+2001 in", r"again \(\)", r"\[Inferior 1 \(process 1\) detached\]", r"0x2",
           r"\[Inferior 2 \(process 2\) killed\]", r"<null>.*\n.*<null>")


def case_kill_run_reset_reconnect():
    with kernel64() as s:
        text = gdb(s, "kill", "info inferiors", "starti", "p $pc", "stepi", "disconnect", f"target extended-remote :{s.port}",
                   "info threads", "break work", "run", "bt", "delete", "monitor reset", "maint flush register-cache", "p $pc", program=K64)
    expect(text, r"\[Inferior 1 \(process 1\) killed\]", r"<null>", r"<_start>", r"again", r"Thread 1\.1", r"Breakpoint 1, work", r"#0 +work",
           r"before its first instruction", r"<_start>")


def case_a_gdb_that_vanishes():
    with kernel64() as s:
        g = Gdb(s, "break work", "continue", "delete", "continue", program=K64)
        s.wait_for(r"vCont;c")
        s.wait_for(r"z0,")
        time.sleep(0.2)
        g.process.kill()
        g.text()
        text = gdb(s, "p $pc", "info threads", "detach", program=K64)
    expect(text, r"Thread 1\.1", r"detached")


def case_crash():
    with kernel64() as s:
        text = gdb(s, "set scheduler-locking on", "set $pc = crash", "continue", "p $pc", "continue", "monitor info", "detach",
                   f"target extended-remote :{s.port}", "p $pc", program=K64)
    expect(text, r"SIGABRT", r"<crash\+1>", r"SIGABRT", r"a debugged machine", r"detached", r"<crash\+1>")


def case_end():
    with kernel64() as s:
        text = gdb(s, "set $pc = end", "continue", "info inferiors", "info threads", "starti", "p $pc", program=K64)
    expect(text, r"\[Inferior 1 \(process 1\) exited normally\]", r"<null>", r"No threads", r"<_start>")


def case_monitor():
    with kernel64() as s:
        text = gdb(s, "monitor help", "monitor version", "monitor map", "monitor info", "monitor nonsense", "monitor arch", "monitor much",
                   "p 6*7")
    expect(text, r"^arch 16", r"^info$", r"^Ballast", r"000000100000-00000017ffff +512 KiB ballooned", r"a debugged machine",
           r"no such command: nonsense", r"64-bit", r"^line 0$", r"^line 999$", r"^\$1 = 42")


def case_memory_map_in_physical_mode():
    with kernel64() as s:
        text = gdb(s, "info mem", "monitor phys on", "detach", "attach 1", "info mem", "x/x 0x100000", "x/x 0x1000")
    expect(text, r"There are no memory regions|no memory regions", r"0x0+ +0x0*100000 +rw", r"Cannot access memory at address 0x100000", r"0x1000:")


def case_32_bit_code():
    with Server(f"image={K32}.bin", f"at={AT}", f"entry={AT}", "bits=32") as s:
        # Not told: it connects, and steps.
        expect(gdb(s, "stepi", "p $pc", "detach", program=K32), "<again>")
        text = gdb(s, "set scheduler-locking on", "monitor arch 32", "unset tdesc filename", "break inner", "continue", "bt", "finish", "info registers",
                   "set $eax = 77", "p $eax", "p $xmm1", "p $ymm1", "p $st0", "x/2i again", "break work if $ebx == 4", "continue", "p $ebx", "detach", program=K32)
        expect(text, r"unset tdesc filename", r"Breakpoint 1, inner", r"#1 .* in work", r"#2 .* in again", r"^eax ", r"^eip .*<work",
               r"^fs_base", r"^cr0 .*\[ PE ET \]", r" = 77", r"v4_float", r"v8_float", "inc +%ebx", r"work|inner")
        # And from the start, once chosen.
        expect(gdb(s, "p $eip", "info threads", program=K32), "again|work|inner", r"Thread 1\.1")


def case_a_32_bit_description_in_64_bit_code():
    with kernel64() as s:
        text = gdb(s, "monitor arch 32", "unset tdesc filename", "stepi", "stepi", "monitor arch 64", "unset tdesc filename", "p $pc")
    expect(text, r"the code is 64-bit now; type: monitor arch 64", r"0x80010003|0x80010008", r"0xffffffff80010008")
    assert text.count("64-bit now") == 1, text


def case_arch_auto():
    with Server(f"image={K32}.bin", f"at={AT}", f"entry={AT}", "bits=32") as s:
        text = gdb(s, "monitor arch auto", "stepi", "unset tdesc filename", "stepi", "p $eip", "p $esp")
    expect(text, r"the code is 32-bit now; type: unset tdesc", r"= \(void \(\*\)\(\)\) 0x1000[0-9a-f]", "0x80000")
    assert text.count("32-bit now") == 1, text


def case_real_mode():
    with Server(f"image={R16}.bin", "at=0x10100", "entry=0x100", "cs=0x10000", "bits=16") as s:
        text = gdb(s, "info registers rip raw_ip cs_base", "stepi", "p $pc", "monitor arch 16", "unset tdesc filename", "x/3i $pc",
                   "break *0x1010d", "continue", "p $eip", "p $raw_ip", "p $sp", "set $eip = 0x10100", "p/x $raw_ip")
    expect(text, r"rip +0x10100", r"raw_ip +0x100", r"cs_base +0x10000", r"0x10103", r"=> 0x10103:\tmov +\$0x8000,%bx",
           r"Breakpoint 1, 0x0001010d", "0x1010d", r" = 269", "0x7ffc", "0x100$")


def non_stop(server):
    return Interactive(server.port, K64, timeout_s=20, settings=("set non-stop on",))


def case_non_stop():
    """Threads go and stop one by one; gdb stops them with vCont;t."""
    with kernel64("second=on") as s, non_stop(s) as g:
        g.connect()
        g("attach 1")
        assert [g.wait_stop().thread, g.wait_stop().thread] == ["1", "2"]
        g("add-inferior")
        g("inferior 2")
        g("attach 2")
        assert g.wait_stop().pc == 0x2000
        g("thread 1.1")
        g.start("continue &")
        expect(g("info threads"), r"Thread 1\.1 .*\(running\)", r"Thread 1\.2 .* _start", r"Thread 2\.1 .*0x0+2000")
        counted = g.value("*(int*)&counter")  # of who runs
        while g.value("*(int*)&counter") == counted:
            time.sleep(0.01)
        g("thread 2.1")
        stop = g.resume("stepi")
        assert (stop.thread, stop.pc) == ("3", 0x2001), stop
        g("thread 1.1")
        expect(str(g.fails("stepi", "running")), "None")
        since = len(s.packets)
        g("interrupt")
        assert g.wait_stop().signal == "0"
        s.wait_for(r"<\$vCont;t:p1\.1#", since)
        g.start("continue &")
        g("break work")
        stop = g.wait_stop()
        assert (stop.reason, stop.function) == ("breakpoint-hit", "work"), stop
        expect(g("backtrace"), r"#0 +work", r"#1 .* in again")
        assert g.resume("next").function == "work"
        assert g.resume("continue").reason == "breakpoint-hit"
        g("delete")
        g("watch *(int*)&counter")
        stop = g.resume("continue")
        assert stop.reason == "watchpoint-trigger", stop
        g("delete")
        g.start("continue")  # in the foreground
        s.wait_for(r"vCont;c", since)
        assert g.interrupt().signal == "SIGINT"
        s.wait_for(r"<\$vCtrlC#", since)
        g.start("continue &")
        g("detach")
        g("inferior 2")
        g("kill")
        expect(g("info inferiors"), "<null>", "<null>")


def case_non_stop_finds_one_partition():
    with kernel64() as s:
        with non_stop(s) as g:
            g("target extended-remote :" + str(s.port))
            assert g.wait_stop().function == "_start"
            assert g.wait_stop().function == "_start"  # the other virtual processor
            assert g.resume("stepi").function == "again"
            g.start("continue &")
        # It was killed while the guest ran; the next one is in all-stop.
        expect(gdb(s, "info threads", "stepi", program=K64), r"Thread 1\.1", r"Thread 1\.2")


def verdict(name, case):
    begin = time.monotonic()
    try:
        case()
        said = "passed"
    except (AssertionError, Failure) as e:
        said = f"FAILED: {e}"
    print(f"{name} ({time.monotonic() - begin:.1f} s): {said}", flush=True)
    return said == "passed"


def main():
    global WORK, K64, K32, R16
    if not shutil.which("gdb"):
        print("no gdb")
        return 77
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    cases = {name[5:].replace("_", " "): case for name, case in globals().items() if name.startswith("case_") and wanted in name}
    with tempfile.TemporaryDirectory() as WORK, concurrent.futures.ThreadPoolExecutor(3) as pool:
        K64 = build("kernel64", "kernel.S", ["-DWORD=64"], "elf_x86_64", HIGH + AT)
        K32 = build("kernel32", "kernel.S", ["-DWORD=32", "-m32"], "elf_i386", AT)
        R16 = build("real16", "real_mode.S", ["-m32"], "elf_i386", 0x100)
        return 0 if all(list(pool.map(verdict, cases.keys(), cases.values()))) else 1


sys.exit(main())
