# SPDX-License-Identifier: Apache-2.0
"""One run of a machine, the commands that make one, and how each ends."""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from fakes import HERE, fake  # first: it finds the package
from ballastlib import beds, console, display, machine, run, serial_line
from ballastlib.say import Failure


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


if __name__ == "__main__":
    unittest.main()
