# SPDX-License-Identifier: Apache-2.0
"""The commands' own tests: no emulator, no build. Run by scripts/test unit (check.commands)."""
import errno
import io
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from ballastlib import apt, beds, bench, cases, console, demo, display, fdt, gdb, image, machine, run, serial_line, setup  # noqa: E402
from ballastlib import test as test_command  # noqa: E402
from ballastlib.say import Failure  # noqa: E402


def fake(scenario, **options):
    def command(hardware, disk, com1, folder):
        return [sys.executable, str(HERE / "fake_machine.py"), com1, scenario], None
    return machine.Machine(beds.Hardware(), None, command=command, **options)


class Verdicts(unittest.TestCase):
    def judge(self, scenario, timeout_s=20.0):
        with fake(scenario, timeout_s=timeout_s) as run:
            return run.wait_end(), run.reason

    def test_the_printed_line_decides(self):
        self.assertEqual(self.judge("off")[0], machine.OFF)
        self.assertEqual(self.judge("crashed"), (machine.CRASHED, "ballast: all partitions ended: crashed web"))

    def test_a_panic_is_not_a_power_off(self):
        self.assertEqual(self.judge("panic"), (machine.BROKEN, "ballast: panic: a test"))

    def test_silence_is_a_time_out(self):
        self.assertEqual(self.judge("silent", 1.0)[0], machine.TIMEOUT)

    def test_an_emulator_that_dies_is_no_power_off(self):
        self.assertEqual(self.judge("dies")[0], machine.BROKEN)

    def test_a_refusal_is_the_reason(self):
        self.assertEqual(self.judge("refuses"), (machine.BROKEN, "ballast: error: Ballast cannot run here: a test"))

    def test_what_keeps_it_from_starting_leaves_nothing_behind(self):
        def breaks(hardware, disk, com1, folder):
            raise KeyboardInterrupt

        with tempfile.TemporaryDirectory() as folder, mock.patch.object(tempfile, "tempdir", folder):
            line = serial_line.SerialLine(3)
            with self.assertRaises(KeyboardInterrupt):
                machine.Machine(beds.Hardware(), None, command=breaks, debugger=line).start()
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", line.port), 5)
            with self.assertRaises(FileNotFoundError):
                fake("off", log=Path("/nowhere/x.log")).start()
            with self.assertRaisesRegex(Failure, "the emulator did not start"):
                machine.Machine(beds.Hardware(), None, command=lambda *_: (["false"], None)).start()
            self.assertEqual(os.listdir(folder), [])

    def test_expect_tells_what_it_waited_for(self):
        with fake("off", timeout_s=20) as run:
            self.assertEqual(run.expect(r"^\[web\] (\w+)").group(1), "hello")
            with self.assertRaisesRegex(machine.Expired, "ended while waiting for /never/"):
                run.expect("never")

    def test_escape_sequences_do_not_hide_a_line(self):
        with fake("off", timeout_s=20) as run:
            run.expect(r"^ballast: loader: Ballast$")

    def test_commands_get_their_answer(self):
        with fake("demo", timeout_s=20) as run:
            run.expect("guest: up")
            answer = run.command_lines("list", console.LIST_END)
            self.assertTrue(any(console.row(text) for text in answer))


class Run(unittest.TestCase):
    def run_fake(self, scenario, *arguments):
        """scripts/run with a fake machine; returns its exit status."""
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(run, "prepare"), mock.patch.object(run.image, "build_disk"), \
                mock.patch.object(run, "Machine", lambda hardware, disk, **options: fake(scenario, **options)):
            dts = Path(folder) / "x.dts"
            dts.touch()
            (Path(folder) / "words").write_text("list\nstop web off\n")
            return run.entry(["--config", str(dts), "--bed", "qemu", "--timeout", "10", *(word.format(folder) for word in arguments)])

    def setUp(self):
        reader, writer = os.pipe()
        self.reader, self.stdout = os.fdopen(reader, "rb"), os.fdopen(writer, "w")
        self.enterContext(mock.patch.object(sys, "stdout", self.stdout))
        self.enterContext(mock.patch.object(sys, "stderr"))
        self.addCleanup(self.reader.close)

    def tearDown(self):
        try:
            self.stdout.close()
        except BrokenPipeError:
            pass

    def test_lines_are_typed_when_there_is_a_console(self):
        self.assertEqual(self.run_fake("console", "--input", "{}/words"), 0)
        self.stdout.close()
        self.assertIn(b"| web ", self.reader.read())  # the answer to the first of them

    def test_without_stdin(self):
        with mock.patch.object(sys, "stdin", None):
            self.assertEqual(self.run_fake("off"), 0)

    def test_a_reader_that_has_enough_ends_the_run(self):
        self.reader.close()
        began = time.monotonic()
        with self.assertRaises(BrokenPipeError):
            self.run_fake("silent")
        self.assertLess(time.monotonic() - began, 5)

    def test_a_missing_configuration_is_told_before_a_build(self):
        with mock.patch.object(run, "prepare", side_effect=AssertionError):
            for place, why in (("/nowhere/x.dts", "does not exist"), ("/", "is no file")):
                with self.assertRaisesRegex(Failure, f"configuration {place} {why}"):
                    run.entry(["--config", place])


class ExitStatus(unittest.TestCase):
    """Of the commands themselves. 2 is that time is up, and nothing else."""
    LIBRARY = HERE.parent / "lib"

    def python(self, code, *words, **options):
        return subprocess.Popen([sys.executable, "-c", f"import os\nfrom ballastlib import say\n{code}", *words], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(self.LIBRARY)), **options)

    def test_a_wrong_argument_is_named(self):
        for command, word in (("run", "--bed=xen"), ("run", "--cpus=0"), ("run", "--gdb=65536"), ("run", "--timeout=nan"), ("run", "--config"),
                              ("demo", "--timeout=0"), ("bench", "--bed=kvm"), ("test", "nosuch"), ("build", "--nosuch"), ("setup", "nosuch")):
            with self.subTest(f"{command} {word}"):
                done = subprocess.run([HERE.parent / command, *(["gcc"] if command == "build" else []), word], text=True, capture_output=True)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertRegex(done.stderr, rf"(?m)^error: .*{word.split('=')[0]}\b.*(scripts/{command}|{command} --help)")
                self.assertNotIn("Traceback", done.stderr)

    def test_a_folder_with_files_named_like_modules_of_python(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("argparse", "importlib", "re", "signal", "struct", "subprocess"):
                (Path(folder) / f"{name}.py").write_text("raise SystemExit('of the folder')")
            subprocess.run([HERE.parent / "run", "--help"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def test_an_old_python_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder) / "python3"
            old.write_text("#!/bin/sh\n# The real one, which believes to be another.\n"
                           f"shift; code=$1; shift; exec {sys.executable} -c \"import sys; sys.version_info = (3, 9); $code\" \"$@\"\n")
            old.chmod(0o755)
            done = subprocess.run([HERE.parent / "build", "--help"], env=dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"), text=True,
                                  capture_output=True)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertRegex(done.stderr, r"^error: Python 3\.11 or newer is needed, .*\n$")

    def test_trouble_of_the_machine_is_an_error_and_no_traceback(self):
        for code, said in (("open('/nowhere/x', 'w')", "error: /nowhere/x: No such file or directory\n"),
                           ("os.write(os.open('/dev/full', os.O_WRONLY), b'x')", "error: No space left on device\n"),
                           ("say.run(['true'], cwd='/nowhere')", "error: /nowhere: No such file or directory\n"),
                           ("say.run(['no-such-program'])", "error: no-such-program: no such program; run scripts/setup\n")):
            with self.python(f"say.main(lambda words: {code})") as process:
                self.assertEqual((process.communicate(timeout=20), process.returncode), (("", said), 3))

    def test_output_that_nobody_reads(self):
        with self.python("say.main(lambda words: print('x' * 1000))") as process:
            process.stdout.close()
            self.assertEqual(process.stderr.read(), "")
            self.assertEqual(process.wait(20), 128 + signal.SIGPIPE)

    def test_a_signal_takes_the_emulator_along(self):
        code = ("import sys\nfrom ballastlib import beds, machine\ndef entry(words):\n"
                " with machine.Machine(beds.Hardware(), None, command=lambda *each: ([sys.executable, words[0], each[2], 'silent'], None)) as run:\n"
                "  print(run._process.pid, flush=True)\n  run.wait_end()\nsay.main(entry)")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with self.subTest(number), self.python(code, HERE / "fake_machine.py") as process:
                emulator = int(process.stdout.readline())
                process.send_signal(number)
                self.assertEqual(process.wait(20), 128 + number)
                self.assertFalse(Path(f"/proc/{emulator}").exists())


class Tests(unittest.TestCase):
    """scripts/test itself."""

    def setUp(self):
        self.report = test_command.Report()
        self.enterContext(mock.patch.object(sys, "stdout", io.StringIO()))

    def ctest(self, commands):
        """The results of a CTest with these tests, as they are printed."""
        with tempfile.TemporaryDirectory() as text, mock.patch.object(test_command, "preset_dir", return_value=Path(text)):
            (Path(text) / "CTestTestfile.cmake").write_text("".join(f'add_test({name} "sh" "-c" "{command}")\n' for name, command in commands.items()))
            test_command._ctest("gcc", lambda name: True, self.report)
        return sys.stdout.getvalue()

    def test_no_way_to_die_is_overlooked(self):
        said = self.ctest({"unit.good": "true", "unit.wrong": "false", "unit.aborts": "kill -ABRT \\$\\$", "unit.faults": "kill -SEGV \\$\\$",
                           "fuzz.killed": "kill -KILL \\$\\$", "unit.a_name_longer_than_the_column_that_ctest_makes_for_it_otherwise": "true"})
        self.assertEqual((self.report.passed, self.report.failed), (2, 4), said)
        for name, why in (("unit.wrong", "Failed"), ("unit.aborts", "Subprocess aborted Exception"), ("unit.faults", "Exception: SegFault"),
                          ("fuzz.killed", "Subprocess killed Exception")):
            self.assertIn(f"FAIL {name}.gcc {why}, see ", said)

    def test_results_that_are_not_read_are_a_failure(self):
        lines = "1/2 Test #1: unit.a ......   Passed    0.01 sec\n{}% tests passed, {} tests failed out of {}\n"
        for numbers, status, failed in (((100, 0, 1), 0, 0), ((50, 0, 2), 0, 1), ((100, 1, 1), 8, 1)):
            done = subprocess.CompletedProcess([], status, lines.format(*numbers), "")
            with self.subTest(numbers), mock.patch.object(subprocess, "run", return_value=done):
                report = test_command.Report()
                test_command._ctest("gcc", lambda name: True, report)
                self.assertEqual((report.passed, report.failed), (1, failed))

    def test_the_list_has_what_ctest_runs(self):
        names = test_command._ctests()
        for name in ("unit.base", "unit.dm_flat", "unit.gdb_cost", "unit.gdb_server", "fuzz.vmbus"):  # each declared in another way
            self.assertIn(name, names)
        self.assertEqual([name for name in names if not re.fullmatch(r"(unit|fuzz)\.\w+", name)], [])

    def test_a_name_that_no_test_has_is_told_before_a_build(self):
        with mock.patch.object(test_command.build, "build", side_effect=AssertionError):
            for part in test_command.KINDS:
                with self.assertRaisesRegex(Failure, f'no test of "{part}" has a name that matches "nosuch"'):
                    test_command.entry([part, "nosuch"])
            with mock.patch.object(sys, "stderr"), self.assertRaisesRegex(Failure, r'pattern: "\(" is no regular expression'):
                test_command.entry(["svm", "("])

    def test_a_check_that_breaks_is_a_failure(self):
        self.assertFalse(self.report.time("check.x", lambda: 1 / 0))
        self.assertIn("FAIL check.x ZeroDivisionError", sys.stdout.getvalue())

    def test_ctrl_c_ends_the_machines_and_starts_no_more(self):
        started = [fake("silent", timeout_s=60) for _ in range(4)]
        making = iter(started)

        waiting = [(f"x{number}", cases.Case(f"x{number}", cases.config(), [cases.expect("never", 60)])) for number in range(4)]
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(machine, "Machine", lambda *_, **__: next(making)), \
                mock.patch.object(cases, "_files"), mock.patch.object(image, "make_disk"), mock.patch.object(cases, "RUNS", Path(folder)), \
                mock.patch.object(cases, "_given_up", False):
            def press():
                time.sleep(1)
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=press, daemon=True).start()
            began = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                test_command.emulate({"svm": waiting[:2], "vmx": waiting[2:]}, self.report)
        self.assertLess(time.monotonic() - began, 20)
        ended = [each._process.poll() is not None for each in started if each._process]
        self.assertEqual(ended, [True, True])


class Demo(unittest.TestCase):
    def findings(self, scenario):
        story = demo.Story()
        with fake(scenario, timeout_s=30) as run:
            demo.follow(run, story, live=False, why="")
            return {what: seen for what, seen, _ in story.findings(run.wait_end())}

    def test_growth_and_fall_are_seen(self):
        self.assertEqual([what for what, seen in self.findings("demo").items() if not seen], [])

    def test_a_guest_that_stays_is_no_success(self):
        missing = [what for what, seen in self.findings("flat").items() if not seen]
        self.assertEqual(len([what for what in missing if what.startswith(("growth", "a fall", "memory"))]), 3)


class LiveView(unittest.TestCase):
    def draw(self, *size):
        """What is on a terminal of this size."""
        story = demo.Story()
        for text in ("[web] ballast-guest: up after 2 s", "[web] memload: phase 2/3: 620 MiB for 30 s",
                     f"ballast: check: ok {'with very much to say ' * 20}",
                     "[web] ballast-guest: MemTotal=1047284 kB MemAvailable=1001024 kB ballooned=256000 added=256000 uptime=100.50",
                     "ballast: | web              | running  |      512 |    256 |   41% | OK           | 256/512/1024     |"):
            story.take(machine.Line(text, 100.0))
        output = io.StringIO()
        with mock.patch.object(shutil, "get_terminal_size", return_value=size), mock.patch.object(sys, "stdout", output):
            drawn = demo.draw(story, mock.Mock(**{"elapsed_s.return_value": 100.0}), "software QEMU (SVM); no nested KVM: for a long reason", 0)
        *lines, end = re.sub(r"\x1b\[2K", "", output.getvalue()).split("\n")
        self.assertEqual((end, len(lines)), ("\x1b[J", drawn))
        self.assertLess(max(map(len, lines)), size[0])
        self.assertLess(len(lines), size[1])
        return lines

    def test_80_columns_hold_it(self):
        lines = self.draw(80, 24)
        self.assertIn("Ballast on software QEMU (SVM), 100 s, load 620 MiB    (MiB; Ctrl-C ends)", lines)
        self.assertIn(f"  [{'#' * 16}{'=' * 16}{'.' * 32}]", lines)
        self.assertIn("guest: MemTotal 1023, available 978, ballooned 1000, hot-added 1000, up 100 s", lines)

    def test_a_small_terminal_is_not_overrun(self):
        self.draw(30, 6)


class SetUp(unittest.TestCase):
    def test_what_apt_could_not_fetch_is_the_reason(self):
        with tempfile.TemporaryDirectory() as text:
            archive = apt.PrivateApt(Path(text) / "apt", ["deb http://127.0.0.1:9/debian bookworm main"])
            archive.options += ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Proxy=DIRECT"]
            archive.update()
            for ask in (lambda: archive.depends("no-such-package"), lambda: archive.source("no-such-package", Path(text) / "source"),
                        lambda: archive.download("no-such-package", Path(text)), lambda: archive.download_closure(["no-such-package"])):
                with self.assertRaisesRegex(Failure, "no-such-package: failed with status 100\n(.*\n)*.*Failed to fetch http://127.0.0.1:9/"):
                    ask()

    def test_progress_of_an_installation(self):
        told = []
        progress = apt.Progress(told.append)
        lines = ["dlstatus:1:4.0:Retrieving file 1 of 9", "dlstatus:2:31.5:Retrieving file 2 of 9", "dlstatus:2:33:Retrieving file 2 of 9",
                 "E: Unable to correct problems", "pmstatus:libc6:amd64:20.5:Unpacking libc6:amd64", "pmstatus:dpkg-exec:19.9:Running dpkg",
                 "pmstatus:gcc:100.0:Installed gcc"]
        self.assertEqual([line for line in lines if not progress.take(line)], ["E: Unable to correct problems"])
        self.assertEqual([text.strip() for text in told], ["downloaded 30 %", "installed 20 %", "installed 100 %"])

    def test_without_apt(self):
        with mock.patch.object(shutil, "which", return_value=None), self.assertRaisesRegex(Failure, "this is no Debian"):
            apt.missing(["gcc"])

    def test_who_asks_for_a_set_up_gets_another_try_for_bochs(self):
        with tempfile.TemporaryDirectory() as text, mock.patch.object(setup, "BOCHS3", Path(text)), mock.patch.object(setup, "CACHE", Path(text)), \
                mock.patch.object(setup, "install_packages"), mock.patch.dict(setup._STEPS, {"zydis": mock.Mock(), "kernel": mock.Mock()}), \
                mock.patch.object(setup.apt, "other_release_lines", side_effect=Failure("no network")) as tried:
            for action, tries in ((setup.setup, 1), (setup.setup, 1), (lambda: setup.entry([]), 2), (setup.setup, 2)):
                action()
                self.assertEqual(tried.call_count, tries)


class Bench(unittest.TestCase):
    ALL = {"ours": dict.fromkeys([each.name for each in bench.BENCHMARKS + bench.OURS_ALONE] + ["boot-to-init"], 100),
           "kvm": dict.fromkeys([each.name for each in bench.BENCHMARKS if each.name != "cpuid-stub"], 200), "bare": {"boot-to-init": 100}}

    def report(self, sides, **options):
        """(whether all was measured, {name: the rest of its line})."""
        with mock.patch.object(sys, "stdout", io.StringIO()) as output:
            complete = bench._report("qemu", mock.Mock(**{"only": None, "quick": False, **options}), sides)
        return complete, {line.split()[1]: line.split(" ", 3)[3] for line in output.getvalue().splitlines()}

    def test_all_is_all(self):
        complete, lines = self.report(self.ALL)
        self.assertTrue(complete)
        self.assertEqual(set(lines), set(self.ALL["ours"]))
        self.assertEqual((lines["cpuid"], lines["step"]), ("ours=100 kvm=200 ratio=0.50", "ours=100 kvm=- ratio=-"))

    def test_each_that_is_missing_is_missed(self):
        for side, found in self.ALL.items():
            for name in found:
                with self.subTest(f"{side} {name}"):
                    self.assertFalse(self.report({**self.ALL, side: {key: value for key, value in found.items() if key != name}})[0])

    def test_one_side_is_judged_alone(self):
        nothing = dict.fromkeys(self.ALL, {})
        for only, sides in (("ours", ("ours",)), ("kvm", ("kvm", "bare"))):
            self.assertTrue(self.report({**nothing, **{side: self.ALL[side] for side in sides}}, only=only)[0])
            self.assertFalse(self.report(nothing, only=only)[0])

    def test_what_the_quick_one_measures_is_printed(self):
        complete, lines = self.report({"ours": {name: 100 for name in self.ALL["ours"] if name not in bench._OF_A_STOCK_GUEST + ("boot-to-init",)},
                                       "kvm": self.ALL["kvm"], "bare": {}}, quick=True)
        self.assertTrue(complete)
        self.assertIn("step", lines)
        self.assertNotIn("balloon-2m", lines)

    def test_a_guest_that_measured_nothing_is_no_mistake_of_ours(self):
        with mock.patch.object(bench, "ours", return_value={}):
            self.assertEqual(bench.stub_ours("qemu", "gcc", Path("/"), 1), {})


class ChoiceOfBed(unittest.TestCase):
    VMX = beds.Kvm("VMX", nested={"kvm_intel": "Y"})
    SVM = beds.Kvm("SVM", nested={"kvm_amd": "1"})
    NO_DEVICE = beds.Kvm("VMX", opening=FileNotFoundError(errno.ENOENT, "No such file or directory"))
    NO_PERMISSION = beds.Kvm("SVM", opening=PermissionError(errno.EACCES, "Permission denied"), nested={"kvm_amd": "1"})

    def qemu_because(self, kvm, reason):
        """Without KVM, auto is software QEMU and says why; who asked for KVM is told the same."""
        bed, why = beds.choose_bed("auto", kvm)
        self.assertEqual(bed, "qemu")
        self.assertRegex(why, r"^software QEMU \(SVM\); no nested KVM: .*" + reason)
        with self.assertRaisesRegex(Failure, f"no nested KVM here: .*{reason}.*--bed qemu"):
            beds.choose_bed("kvm", kvm)

    def test_kvm_that_carries_a_hypervisor_is_taken_and_its_vendor_told(self):
        for wanted in ("auto", "kvm"):
            self.assertEqual(beds.choose_bed(wanted, self.VMX), ("kvm", "nested KVM (VMX)"))
            self.assertEqual(beds.choose_bed(wanted, self.SVM), ("kvm", "nested KVM (SVM)"))

    def test_without_a_device(self):
        self.qemu_because(self.NO_DEVICE, "there is no /dev/kvm: modprobe kvm_intel")
        self.qemu_because(beds.Kvm("SVM", self.NO_DEVICE.opening), "there is no /dev/kvm: modprobe kvm_amd")

    def test_without_permission_it_says_what_to_do(self):
        self.qemu_because(self.NO_PERMISSION, r"no permission to use /dev/kvm: sudo usermod -aG kvm \$USER")

    def test_with_a_device_that_cannot_carry_a_hypervisor(self):
        for kvm, reason in ((beds.Kvm(opening=self.NO_DEVICE.opening), "the processor offers neither VMX nor SVM"),
                            (beds.Kvm("VMX", opening=OSError(errno.ENODEV, "No such device")), "/dev/kvm: No such device"),
                            (beds.Kvm("VMX", using=OSError(errno.EBUSY, "busy")), "/dev/kvm does not work: busy"),
                            (beds.Kvm("VMX", nested={"kvm_intel": "N"}), "modprobe kvm_intel nested=1"),
                            (beds.Kvm("SVM", nested={"kvm_amd": "0"}), "modprobe kvm_amd nested=1"),
                            (beds.Kvm("SVM"), "neither kvm_intel nor kvm_amd is loaded")):
            with self.subTest(reason):
                self.qemu_because(kvm, reason)

    def test_a_named_emulator_is_taken_with_kvm_and_without(self):
        for kvm in (self.VMX, self.NO_DEVICE):
            self.assertEqual(beds.choose_bed("qemu", kvm)[0], "qemu")
            self.assertEqual(beds.choose_bed("bochs", kvm)[0], "bochs")
        with self.assertRaisesRegex(Failure, "allowed are qemu, bochs, kvm"):
            beds.choose_bed("xen", self.VMX)

    def look(self, folder, flags, device, **modules):
        """What is found on a machine made of files."""
        (folder / "cpuinfo").write_text(f"processor\t: 0\nvmx flags\t: vnmi\nflags\t\t: fpu {flags} lm\n")
        for name, switch in modules.items():
            (folder / name / "parameters").mkdir(parents=True)
            (folder / name / "parameters/nested").write_text(switch + "\n")
        return beds.look_at_kvm(device, folder, folder / "cpuinfo")

    def test_looking_finds_processor_device_and_modules(self):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            kvm = self.look(folder, "vmx", folder / "kvm", kvm_intel="Y")
            self.assertEqual((kvm.extension, kvm.opening.errno, kvm.using, kvm.nested), ("VMX", errno.ENOENT, None, {"kvm_intel": "Y"}))
            (folder / "kvm").write_bytes(b"")  # can be opened, and is no KVM
            kvm = self.look(folder, "svm", folder / "kvm", kvm_amd="0")
            self.assertEqual((kvm.extension, kvm.opening, kvm.using.errno), ("SVM", None, errno.ENOTTY))
            self.assertEqual(kvm.nested, {"kvm_intel": "Y", "kvm_amd": "0"})
            self.assertIsNone(self.look(folder, "svm_lock", folder / "kvm").extension)


class ConsoleLines(unittest.TestCase):
    def test_rows(self):
        row = console.row("ballast: | web              | running  |      512 |    301 |   41% | OK           | 256/512/1024     |")
        self.assertEqual((row.name, row.assigned, row.demand, row.available, row.maximum), ("web", 512, 301, 41, 1024))
        self.assertIsNone(console.row("ballast: | a | running | 64 | - | - | Not reported | 64/64/64 |").demand)
        self.assertEqual(console.row("ballast: | a | running | 64 | 70 | -9% | Warning | 64/64/64 |").available, -9)
        self.assertIsNone(console.row("ballast: | partition | state | assigned | demand | avail | status | min/startup/max |"))

    def test_guest_state(self):
        state = console.guest_state("ballast-guest: MemTotal=480284 kB MemAvailable=1024 kB ballooned=256 added=0 onlined=0 uptime=2.50")
        self.assertEqual((state.available, state.ballooned, state.uptime), (1.0, 1.0, 2.5))
        without = console.guest_state("ballast-guest: MemTotal=480284 kB MemAvailable=1024 kB no-balloon-driver uptime=2.50")
        self.assertIsNone(without.ballooned)
        self.assertIsNone(console.guest_state("ballast-guest: MemTotal=480"))


class Images(unittest.TestCase):
    TEXT = cases.config(cases.partition("a", "one.bin", initrd="two.bin", modules=["one.bin", "two.bin"]),
                        cases.partition("b", "one.bin"), reserve_mib=64, numa_spanning=True)

    def compile(self, folder):
        dts = Path(folder) / "x.dts"
        dts.write_text(self.TEXT)
        return image.compile_configuration(dts)

    def test_paths_become_esp_paths_and_files_are_shared(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one.bin", "two.bin"):
                (Path(folder) / name).write_bytes(name.encode())
            root = self.compile(folder)
            placed = image.place_images(root, Path(folder), "gcc")
            self.assertEqual(sorted(placed), ["/images/0-one.bin", "/images/1-two.bin"])
            a, b = root.child("partitions").children
            self.assertEqual(a.strings("modules"), ["/images/0-one.bin", "/images/1-two.bin"])
            self.assertEqual(b.strings("kernel"), ["/images/0-one.bin"])
            again = fdt.parse(fdt.serialise(root))
            self.assertEqual(again.child("partitions").children[0].strings("initrd"), ["/images/1-two.bin"])
            self.assertEqual(again.child("host").cell("reserve-mib"), 64)
            self.assertEqual(again.child("host").properties["numa-spanning"], b"")
            blob = Path(folder) / "again.dtb"
            blob.write_bytes(fdt.serialise(root))
            subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", "/dev/null", blob], check=True)

    def test_a_missing_image_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = self.compile(folder)
            with self.assertRaisesRegex(Failure, f'partition a, key kernel: image "one.bin": {folder}/one.bin does not exist'):
                image.place_images(root, Path(folder), "gcc")
            (Path(folder) / "one.bin").mkdir()
            with self.assertRaisesRegex(Failure, "one.bin is no file"):
                image.place_images(root, Path(folder), "gcc")

    def test_a_value_that_is_no_name_is_told(self):
        for value in ("<5>", '""', "[01 02 00]", "[61 62]"):
            dts = f"/dts-v1/; / {{ partitions {{ a {{ kernel = {value}; }}; }}; }};"
            with tempfile.TemporaryDirectory() as folder, self.subTest(value), mock.patch.object(self, "TEXT", dts):
                with self.assertRaisesRegex(Failure, "partition a, key kernel: (wants a name in quotes|image)"):
                    image.place_images(self.compile(folder), Path(folder), "gcc")

    def test_the_disk_holds_the_files(self):
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder) / "disk.img"
            image.make_disk(disk, {"/EFI/BOOT/BOOTX64.EFI": b"loader", "/images/0-a": b"image"})
            read = subprocess.run(["mtype", "-i", f"{disk}@@{1 << 20}", "::/images/0-a"], capture_output=True, check=True)
            self.assertEqual(read.stdout, b"image")
            checked = subprocess.run(["/sbin/sgdisk", "-v", disk], capture_output=True, text=True, check=True)
            self.assertIn("No problems found", checked.stdout)


class Debugger(unittest.TestCase):
    def test_a_serial_line_serves_one_client_after_the_other_and_drops_what_nobody_hears(self):
        record = []
        line = serial_line.SerialLine(3, 0, record)
        with tempfile.TemporaryDirectory() as folder:
            emulator = socket.socket(socket.AF_UNIX)
            emulator.connect(line.open("qemu", Path(folder)))
            emulator.sendall(b"nobody hears this")
            deadline = time.monotonic() + 10
            while line.dropped < 17 and time.monotonic() < deadline:
                time.sleep(0.01)
            for word in (b"one", b"two"):
                with socket.create_connection(("127.0.0.1", line.port), 10) as client:
                    client.sendall(word)
                    self.assertEqual(emulator.recv(100), word)
                    emulator.sendall(word.upper())
                    self.assertEqual(client.recv(100), word.upper())
            self.assertEqual(record, [(">", b"one"), ("<", b"ONE"), (">", b"two"), ("<", b"TWO")])
            with socket.create_connection(("127.0.0.1", line.port), 10) as client:
                client.sendall(b"x")
                emulator.recv(1)
                emulator.close()  # the machine ends
                self.assertEqual(client.recv(100), b"")
        line.close()

    def test_emulators_get_the_port_where_it_belongs(self):
        hardware = beds.Hardware(serial_sockets={3: "/x/com3"})
        words, _ = beds.qemu_command(hardware, None, "/x/com1", Path("/x"))
        serials = [words[at + 1] for at, word in enumerate(words) if word == "-serial"]
        self.assertEqual(serials, ["chardev:com1", "null", "chardev:com3"])

    def test_a_configuration_without_a_port_is_refused_by_the_key(self):
        for text, com in ((cases.config(debugger="com3"), 3), (cases.config(debugger="com2"), 2), (cases.config(), None)):
            with tempfile.TemporaryDirectory() as folder:
                dts = Path(folder) / "x.dts"
                dts.write_text(text)
                root = image.compile_configuration(dts)
                if com:
                    self.assertEqual(image.debugger_com(root), com)
                else:
                    with self.assertRaisesRegex(Failure, 'debugger = "com3"'):
                        image.debugger_com(root)

    def test_machine_interface_records(self):
        text = r'reason="hit",frame={addr="0x10",args=[{name="a",value="\"x\" \\ \303\244"}],list=[]},n="1"'
        self.assertEqual(gdb.parse_results(text), {"reason": "hit", "n": "1", "frame": {
            "addr": "0x10", "args": [{"name": "a", "value": '"x" \\ \u00c3\u00a4'}], "list": []}})

    def test_gdb_answers_and_errors(self):
        with gdb.Gdb(1, timeout_s=30) as debugger:
            self.assertEqual(debugger("print 6 * 7").strip(), "$1 = 42")
            self.assertIsNone(debugger.fails("print nothing", "No symbol table"))
            self.assertIn("42", debugger.fails("print 42", "x"))
            self.assertIn("(gdb) print 6 * 7\n$1 = 42\n", debugger.transcript)

    def test_gdb_with_a_file_that_it_cannot_read(self):
        with tempfile.TemporaryDirectory(prefix="a folder ") as folder:
            shutil.copy(shutil.which("true"), Path(folder) / "good")
            with gdb.Gdb(1, Path(folder) / "good", timeout_s=30) as debugger:
                self.assertIn(f"{folder}/good", debugger("info files"))
            with mock.patch.object(gdb.subprocess, "Popen", side_effect=subprocess.Popen) as started:
                with mock.patch.object(gdb.Gdb, "kill", autospec=True, side_effect=gdb.Gdb.kill) as killed:
                    with self.assertRaisesRegex(gdb.GdbError, "No such file"):
                        gdb.Gdb(1, Path(folder) / "none", timeout_s=30)
            self.assertEqual((started.call_count, killed.call_count), (1, 1))

    def test_packets_undo_escapes_and_repetitions(self):
        self.assertEqual(gdb.Packets._expand(b"0* 1}\x03x"), b"00001#x")


class OneBuild(unittest.TestCase):
    """Everything that a case boots, and what gdb reads, comes from the build that the case names."""
    CASE = cases.Case("x", cases.config(cases.partition("a", "guest:debug/kernel64"), cases.partition("b", "guest:steady")), [])

    def test_the_second_case_is_the_first_for_clang(self):
        first, second = cases.with_both_compilers(self.CASE)
        self.assertIs(first, self.CASE)
        self.assertEqual((first.name, first.preset, second.name, second.preset), ("x", "gcc", "x.clang", "clang"))
        self.assertEqual((second.config, second.steps), (first.config, first.steps))

    def test_files_are_of_one_build(self):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            for module in (cases, image):
                self.enterContext(mock.patch.object(module, "preset_dir", folder.joinpath))
            for preset in ("gcc", "clang"):
                for name in ("boot/efi/BOOTX64.EFI", "hv/init/hv.elf", "tests/guests/debug/kernel64", "tests/guests/steady"):
                    (folder / preset / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / preset / name).write_text(f"{preset} {name}")
            for case in cases.with_both_compilers(self.CASE):
                files = [source for source in cases._files(case, folder).values() if isinstance(source, Path)]
                self.assertEqual([source.read_text().split()[0] for source in files], [case.preset] * 4)

    def test_gdb_reads_what_boots(self):
        with tempfile.TemporaryDirectory() as text:
            guest = Path(text) / "tests/guests/x"
            guest.parent.mkdir(parents=True)
            shutil.copy(shutil.which("true"), guest)
            running = mock.Mock(built=Path(text), log_path=None, debugger=mock.Mock(port=1))
            files = []
            _, step, _ = cases.debug(lambda machine, debugger: files.append((debugger.file, debugger("info files"))), "x")
            self.assertIsNone(step(running))
            self.assertEqual(files[0][0], guest)
            self.assertIn(str(guest), files[0][1])


class Screen(unittest.TestCase):
    """A picture of an X server's screen."""

    @staticmethod
    def dump(width, height, *, bits=32):
        """Each pixel's red is its column, green its row, blue 7."""
        header = [104, 7, 2, 24, width, height, 0, 0, 32, 0, 32, bits, 4 * width + 8, 4, 0xff0000, 0xff00, 0xff, 8, 256, 2, width, height, 0, 0, 0]
        rows = b"".join(b"".join(bytes([7, y, x, 0]) for x in range(width)) + bytes(8) for y in range(height))
        return struct.pack(">25I", *header) + bytes(4) + bytes(2 * 12) + rows

    def test_a_part_is_cut_out(self):
        self.assertEqual(display.cut_out(self.dump(5, 4), 1, 2, 3, 2), bytes([1, 2, 7, 2, 2, 7, 3, 2, 7, 1, 3, 7, 2, 3, 7, 3, 3, 7]))

    def test_what_is_not_there_or_not_known_is_said(self):
        with self.assertRaisesRegex(Failure, "5 x 4 and too small"):
            display.cut_out(self.dump(5, 4), 3, 0, 3, 4)
        with self.assertRaisesRegex(Failure, "not known"):
            display.cut_out(self.dump(5, 4, bits=16), 0, 0, 1, 1)

    def test_a_server_that_does_not_start_is_said(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(Failure, "X server did not start"):
            display.Display(Path(folder), 0, 0)


class Registry(unittest.TestCase):
    def test_cases_load_and_their_configurations_compile(self):
        found = cases.load()
        self.assertGreater(len(found), 5)
        for name, case in found:
            if isinstance(case, cases.Command):
                continue
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                dts = Path(folder) / "case.dts"
                dts.write_text(case.config)
                image.compile_configuration(dts)


if __name__ == "__main__":
    unittest.main()
