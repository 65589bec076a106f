# SPDX-License-Identifier: Apache-2.0
"""scripts/test and scripts/bench: what is counted, and the cases themselves."""
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from fakes import fake  # first: it finds the package
from ballastlib import bench, cases, image, machine
from ballastlib import test as test_command
from ballastlib.say import Failure


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
