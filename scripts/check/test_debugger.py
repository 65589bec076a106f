# SPDX-License-Identifier: Apache-2.0
"""gdb as a program to drive, and the line it speaks on."""
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import fakes  # noqa: F401  first: it finds the package
from ballastlib import beds, cases, gdb, image, serial_line
from ballastlib.say import Failure


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


if __name__ == "__main__":
    unittest.main()
