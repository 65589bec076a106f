# SPDX-License-Identifier: Apache-2.0
"""One run of an emulated machine: its serial console as lines to wait for, and how it ended.

    with Machine(Hardware(bed="bochs"), disk, timeout_s=60) as machine:
        machine.expect(r"^ballast: partition web: running")
        machine.send("list")
        print(machine.wait_end())

A run is judged by what the hypervisor printed, never by the emulator's exit status.
"""
import dataclasses
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import beds
from .display import Display
from .say import Failure

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>])|\r|\x00")
ENDED = re.compile(r"^ballast: all partitions ended: (off|crashed (\S+))")
STOPPED = re.compile(r"^ballast: (loader: error|error: panic|panic|assertion failed|error: Ballast cannot run here)\b", re.IGNORECASE)

OFF, CRASHED, TIMEOUT, BROKEN = "off", "crashed", "timeout", "broken"
EXIT_STATUS = {OFF: 0, CRASHED: 1, TIMEOUT: 2, BROKEN: 3}


class Expired(Exception):
    """What was waited for did not come in time, or the machine ended before."""


class Line:
    """A line of the console: its text without escape sequences and when it came (seconds since the start)."""
    __slots__ = ("text", "at_s")

    def __init__(self, text, at_s):
        self.text, self.at_s = text, at_s


class Machine:
    """Starts an emulator and follows its COM1.

    hardware   what the machine has
    disk       what it boots from
    timeout_s  wall-clock limit of the whole run: afterwards it is killed
    log        file that gets every byte of COM1, or None
    on_bytes   called with raw bytes of COM1 as they come (from another thread)
    on_line    called with each finished Line (from another thread)
    debugger   a SerialLine that the port it names is connected to, or None; closed with the machine
    built      the folder of the build that is on the disk, for who needs its symbols, or None
    """

    def __init__(self, hardware, disk, *, timeout_s=300.0, log=None, on_bytes=None, on_line=None, command=None, debugger=None,
                 built=None):
        self.hardware, self.disk, self.timeout_s = hardware, disk, timeout_s
        self.debugger, self.built = debugger, built
        self.log_path, self._on_bytes, self._on_line = log, on_bytes, on_line
        self._make_command = command or (beds.bochs_command if hardware.bed == "bochs" else beds.qemu_command)
        self.lines = []          # every Line so far
        self.reason = None       # after the end: what was decisive, for people
        self._read_to = 0        # expect() goes on from here
        self._judged, self._verdict = 0, None  # verdict() goes on from here
        self._partial = ""
        self._changed = threading.Condition()
        self._closed = False
        self._process = self._connection = self._display = self._folder = self._listener = self._output = self._log = None

    # -- start and end -------------------------------------------------------------------------------------------------
    def start(self):
        """Starts the emulator; what keeps it from that, Ctrl-C included, leaves nothing behind."""
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        self._folder = Path(tempfile.mkdtemp(prefix="ballast-run-"))
        self._log = open(self.log_path, "wb") if self.log_path else None
        if self.hardware.bed == "bochs":
            listener = self._listener = socket.create_server(("127.0.0.1", 0))
            address = "%s:%d" % listener.getsockname()
        else:
            address = str(self._folder / "com1")
            listener = self._listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen(1)
        hardware = self.hardware
        if self.debugger:
            line = {self.debugger.com: self.debugger.open(hardware.bed, self._folder)}
            hardware = dataclasses.replace(hardware, serial_sockets={**hardware.serial_sockets, **line})
        if hardware.screen and hardware.bed == "bochs":
            self._display = Display(self._folder)
            hardware = dataclasses.replace(hardware, x_display=self._display.name)
        command, environment = self._make_command(hardware, self.disk, address, self._folder)
        self.command = command
        self._output = open(self._folder / "emulator.log", "wb")
        self._began = time.monotonic()
        self._process = subprocess.Popen(command, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL,
                                         stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True)
        listener.settimeout(0.2)
        while self._connection is None:
            try:
                self._connection, _ = listener.accept()
            except TimeoutError:
                if self._process.poll() is not None or self.elapsed_s() > 30:
                    raise Failure(f"the emulator did not start: {self.emulator_output()[-2000:]}\n{' '.join(command)}") from None
        listener.close()
        self._connection.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the emulator if it still runs and removes the run's folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._display is not None:
            self._display.stop()
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._connection.close()
        if self.debugger is not None:
            self.debugger.close()
        for file in (self._output, self._log, self._listener):
            if file is not None:
                file.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def screen(self):
        """What the display shows: (width, height, three bytes a pixel). See Hardware.screen."""
        if self._display is not None:
            return *beds.BOCHS_SCREEN[2:], self._display.picture(*beds.BOCHS_SCREEN)
        picture = self._folder / "screen.ppm"
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(20)
            monitor.connect(str(self._folder / beds.MONITOR))
            monitor.sendall(f"screendump {picture}\ninfo status\n".encode())
            said = b""
            while b"VM status" not in said:
                said += monitor.recv(4096)
        kind, size, _, pixels = picture.read_bytes().split(b"\n", 3)
        assert kind == b"P6", kind
        width, height = map(int, size.split())
        return width, height, pixels

    def elapsed_s(self):
        return time.monotonic() - self._began

    def emulator_output(self):
        """What the emulator itself said (not the guest), with the tail of Bochs's log."""
        text = ""
        for name in ("emulator.log", "bochs.log"):
            path = self._folder / name
            if path.exists():
                text += path.read_text(errors="replace")[-4000:]
        return text

    # -- the console ---------------------------------------------------------------------------------------------------
    def _read(self):
        pending = b""
        while True:
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            if self._log and not self._log.closed:
                self._log.write(data)
                self._log.flush()
            if self._on_bytes:
                self._on_bytes(data)
            pending += data
            *finished, pending = pending.split(b"\n")
            fresh = [Line(_ESCAPES.sub("", raw.decode("utf-8", "replace")), self.elapsed_s()) for raw in finished]
            with self._changed:
                self.lines.extend(fresh)
                self._partial = _ESCAPES.sub("", pending.decode("utf-8", "replace"))
                self._changed.notify_all()
            if self._on_line:
                for line in fresh:
                    self._on_line(line)
        with self._changed:
            if self._partial:
                self.lines.append(Line(self._partial, self.elapsed_s()))
                self._partial = ""
            self._closed = True
            self._changed.notify_all()

    def send(self, text):
        """Types one line on COM1. Slowly on purpose: a 16550 holds 16 bytes, and the other side polls it."""
        data = text.encode() + b"\r"
        try:
            for at in range(0, len(data), 8):
                self._connection.sendall(data[at:at + 8])
                time.sleep(0.02)
        except OSError:
            pass  # the machine has just ended

    def _deadline(self, timeout_s):
        limit = self._began + self.timeout_s
        return limit if timeout_s is None else min(limit, time.monotonic() + timeout_s)

    def next_line(self, timeout_s=None):
        """The next line not yet read. Expired when there is none in time or the machine has ended."""
        deadline = self._deadline(timeout_s)
        with self._changed:
            while self._read_to == len(self.lines):
                left = deadline - time.monotonic()
                if self._closed:
                    raise Expired("the machine ended")
                if left <= 0 or not self._changed.wait(left):
                    if self._read_to == len(self.lines) and deadline <= time.monotonic():
                        raise Expired("no line in time")
            line = self.lines[self._read_to]
            self._read_to += 1
            return line

    def expect(self, pattern, timeout_s=None, *, stop=None):
        """Reads lines until one matches `pattern` and returns the match. Lines read are not looked at again.

        stop: a pattern that ends the waiting at once (for what must not happen).
        """
        wanted = re.compile(pattern)
        unwanted = re.compile(stop) if stop else None
        deadline = self._deadline(timeout_s)
        while True:
            try:
                line = self.next_line(max(0.0, deadline - time.monotonic()))
            except Expired as expired:
                raise Expired(f"{expired} while waiting for /{pattern}/") from None
            match = wanted.search(line.text)
            if match:
                return match
            if unwanted and unwanted.search(line.text):
                raise Expired(f'"{line.text}" while waiting for /{pattern}/')

    def command_lines(self, command, last, timeout_s=20):
        """Sends a console command and returns the lines up to and with the first that matches `last`."""
        self.skip_read()
        self.send(command)
        wanted, found = re.compile(last), []
        deadline = self._deadline(timeout_s)
        while True:
            line = self.next_line(max(0.0, deadline - time.monotonic()))
            found.append(line.text)
            if wanted.search(line.text):
                return found

    def skip_read(self):
        """Counts every line so far as read: what is waited for next has to come anew."""
        with self._changed:
            self._read_to = len(self.lines)

    def all_read(self):
        """Whether no line waits to be read."""
        with self._changed:
            return self._read_to == len(self.lines)

    def verdict(self):
        """How the run ended, judging by the lines so far: OFF, CRASHED or BROKEN, or None while it goes on."""
        with self._changed:
            while self._verdict is None and self._judged < len(self.lines):  # a line once: a talkative guest has many
                text = self.lines[self._judged].text
                self._judged += 1
                if match := ENDED.search(text):
                    self._verdict, self.reason = OFF if match.group(1) == "off" else CRASHED, text
                elif STOPPED.search(text):
                    self._verdict, self.reason = BROKEN, text
            return self._verdict

    def wait_end(self, timeout_s=None):
        """Waits until all partitions have ended, the hypervisor has stopped, the emulator is gone or time is up."""
        deadline, seen, verdict = self._deadline(timeout_s), 0, None
        with self._changed:
            while verdict is None:
                if len(self.lines) != seen:
                    seen = len(self.lines)
                    verdict = self.verdict()
                    continue
                if self._closed:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            closed = self._closed
        if verdict is None and closed:
            verdict, self.reason = BROKEN, "the machine ended without a word: " + self.emulator_output()[-400:].strip()
        if verdict is None:
            self.reason = f"no end after {self.elapsed_s():.0f} s"
            return TIMEOUT
        if verdict == BROKEN:
            time.sleep(1.0)  # let a trace come out
            return verdict
        try:
            self._process.wait(5)  # it ends itself; bytes still in the UART come first
        except subprocess.TimeoutExpired:
            pass
        return verdict
