# SPDX-License-Identifier: Apache-2.0
"""Debian's gdb as a program to drive: each command waits for its result, each wait has a limit, everything is in a transcript.

    with Gdb(port, file=elf) as gdb:
        gdb.connect()
        gdb("break fib")
        stop = gdb.resume("continue")         # waits for the stop
        print(stop.reason, hex(stop.pc), gdb("backtrace"))

It talks GDB/MI version 3, which says when a command is done and when the target stops; commands are still typed as a person
would. `Packets` speaks the remote protocol itself, for what gdb never sends.
"""
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import namedtuple

from .say import Failure

Stop = namedtuple("Stop", "reason pc function thread signal fields text")


class GdbError(Failure):
    """gdb answered with an error; its text is gdb's message. Or it did not answer in time."""


_CSTRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unescape(text):
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)) if match.group(1)[0] in "01234567" and len(match.group(1)) == 3
                       else _SIMPLE.get(match.group(1), match.group(1)), text)


def _quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_results(text):
    """MI's `name=value,…` as a dictionary; a value is text, a list or a dictionary. GDB manual, "GDB/MI Output Syntax"."""
    at = 0

    def value():
        nonlocal at
        if text[at] == '"':
            match = _CSTRING.match(text, at)
            at = match.end()
            return _unescape(match.group(1))
        closing = {"{": "}", "[": "]"}[text[at]]
        at += 1
        names, values = [], []
        while text[at] != closing:
            match = re.compile(r"([\w-]+)=").match(text, at)
            if match:
                at = match.end()
            names.append(match.group(1) if match else None)
            values.append(value())
            if text[at] == ",":
                at += 1
        at += 1
        return dict(zip(names, values)) if closing == "}" else values

    found = {}
    while at < len(text):
        match = re.compile(r",?([\w-]+)=").match(text, at)
        if not match:
            break
        at = match.end()
        found[match.group(1)] = value()
    return found


class Gdb:
    """One gdb. `transcript` is what a person would have seen: prompts, commands, answers.

    port       TCP port of 127.0.0.1 that connect() goes to
    file       the program with symbols, or None
    timeout_s  limit of each command and of each wait for a stop, unless told otherwise
    settings   more commands before the file is read
    """

    def __init__(self, port, file=None, *, timeout_s=60.0, settings=(), architecture=None):
        self.port, self.file, self.timeout_s = port, file, timeout_s
        self.transcript = ""
        self.errors = []             # messages of ^error, in their order
        self._lines, self._changed = [], threading.Condition()
        self._read_to = 0
        self._token = 0
        self._stops = []             # stops not yet taken
        self._text = ""              # of the command under way
        words = ["gdb", "-nx", "-q", "--interpreter=mi3"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         env=dict(os.environ, DEBUGINFOD_URLS="", TERM="dumb", LC_ALL="C"),
                                         start_new_session=True)
        threading.Thread(target=self._follow, daemon=True).start()
        quiet = ("set confirm off", "set pagination off", "set width 0", "set height 0", "set debuginfod enabled off",
                 "set style enabled off", f"set remotetimeout {int(max(2, timeout_s / 3))}", "set startup-with-shell off",
                 *([f"set architecture {architecture}"] if architecture else ()), *settings)
        try:
            for each in quiet:
                self(each)
            if file:
                self(f'file "{file}"', 120)
        except BaseException:
            self.__exit__()  # nobody else will end it
            raise
        self.transcript = ""

    # -- gdb's side ----------------------------------------------------------------------------------------------------
    def _follow(self):
        for raw in self._process.stdout:
            with self._changed:
                self._lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
                self._changed.notify_all()
        with self._changed:
            self._lines.append(None)
            self._changed.notify_all()

    def _next(self, deadline, what):
        with self._changed:
            while self._read_to == len(self._lines):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise GdbError(f"gdb: no end of {what} in time; it said: {self._text.strip()[-300:]}")
                self._changed.wait(left)
            line = self._lines[self._read_to]
            if line is None:
                raise GdbError(f"gdb has ended during {what}; it said: {self._text.strip()[-300:]}")
            self._read_to += 1
            return line

    def _take(self, line):
        """Looks at a line that is no result: text is kept, a stop put by. Returns a result record (token, class, fields) or None."""
        match = re.match(r"(\d*)\^([\w-]+)(?:,(.*))?$", line)
        if match:
            return match.group(1), match.group(2), parse_results(match.group(3) or "")
        if line[:1] in "~@" and line:
            text = _CSTRING.search(line)
            if text:
                self._text += _unescape(text.group(1))
        elif line.startswith("=thread-group-exited"):  # gdb says no more of it for a command that was typed
            fields = parse_results(line[len("=thread-group-exited"):])
            self._stops.append(Stop("exited", None, None, None, None, fields, ""))
        elif line.startswith("*stopped,reason=\"exited"):
            pass
        elif line.startswith("*stopped"):
            fields = parse_results(line[len("*stopped"):])
            frame = fields.get("frame", {})
            pc = int(frame["addr"], 16) if "addr" in frame else None
            self._stops.append(Stop(fields.get("reason"), pc, frame.get("func"), fields.get("thread-id"), fields.get("signal-name"),
                                    fields, ""))
        elif not re.match(r"\(gdb\)|[=*&+]|\d*\^", line):
            self._text += line + "\n"  # what gdb or a program below writes around MI
        return None

    def _mi(self, command, timeout_s=None, shown=None):
        """Sends a command and waits for its result. Returns (class, fields); GdbError for an error."""
        self._token += 1
        token = str(self._token)
        self._text = ""
        deadline = time.monotonic() + (timeout_s or self.timeout_s)
        try:
            self._process.stdin.write(f"{token}{command}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise GdbError(f"gdb has ended before {shown or command}") from None
        while True:
            result = self._take(self._next(deadline, shown or command))
            if result and result[0] == token:
                break
        _, kind, fields = result
        if shown is not None:
            self.transcript += f"(gdb) {shown}\n{self._text}" + ("\n" if self._text and self._text[-1] != "\n" else "")
        if kind == "error":
            message = fields.get("msg", "")
            self.errors.append(message)
            if shown is not None:
                self.transcript += message + "\n"
            raise GdbError(f"{shown or command}: {message}")
        return kind, fields

    # -- for callers ---------------------------------------------------------------------------------------------------
    def __call__(self, command, timeout_s=None):
        """Types a command that does not resume the target and returns what gdb prints for it."""
        self._mi(f"-interpreter-exec console {_quote(command)}", timeout_s, command)
        return self._text

    def fails(self, command, pattern, timeout_s=None):
        """Types a command that must fail with a message that matches. Returns None, or what is wrong."""
        try:
            text = self(command, timeout_s)
        except GdbError as error:
            return None if re.search(pattern, str(error)) else f'{command}: "{error}" does not match /{pattern}/'
        return f'{command}: did not fail but said "{text.strip()[:200]}"'

    def start(self, command):
        """Types a command that resumes the target and does not wait for its stop."""
        self._stops.clear()
        self._mi(f"-interpreter-exec console {_quote(command)}", None, command)

    def wait_stop(self, timeout_s=None):
        """The next stop of the target, as a Stop whose text is what gdb printed meanwhile."""
        deadline = time.monotonic() + (timeout_s or self.timeout_s)
        self._text = ""
        while not self._stops:
            self._take(self._next(deadline, "waiting for the target's stop"))
        quiet = time.monotonic() + 0.05  # text that belongs to it may come behind it
        while time.monotonic() < quiet:
            try:
                self._take(self._next(quiet, "text"))
            except GdbError:
                break
        self.transcript += self._text
        return self._stops.pop(0)._replace(text=self._text)

    def resume(self, command="continue", timeout_s=None):
        """Types a command that resumes the target and waits for the stop."""
        self.start(command)
        begin = self._text
        stop = self.wait_stop(timeout_s)
        return stop._replace(text=begin + stop.text)

    def connect(self, timeout_s=None, how="extended-remote"):
        """Connects and returns what gdb said; the target is stopped then, or nothing is attached."""
        self._stops.clear()
        text = self(f"target {how} 127.0.0.1:{self.port}", timeout_s)
        self._stops.clear()
        return text

    def interrupt(self, timeout_s=None):
        """Ctrl-C while the target runs; returns the stop."""
        time.sleep(0.3)  # gdb says ^running before it looks for a Ctrl-C
        os.kill(self._process.pid, signal.SIGINT)
        self.transcript += "^C\n"
        return self.wait_stop(timeout_s)

    def value(self, expression):
        """An expression's value as a number."""
        text = self(f"output/x {expression}").strip()
        try:
            return int(text, 0)
        except ValueError:
            raise GdbError(f"{expression} is {text!r} and no number") from None

    @property
    def pc(self):
        return int(self("output/x $pc").strip(), 16)

    def end(self):
        """Ends gdb the polite way, which detaches from what is attached."""
        try:
            self._process.stdin.write(b"-gdb-exit\n")
            self._process.stdin.flush()
            self._process.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self):
        """kill -9: the target hears nothing but the closed line."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for file in (self._process.stdin, self._process.stdout):
            try:
                file.close()
            except OSError:
                pass


def checksum(data):
    return sum(data) & 0xFF


class Packets:
    """The remote protocol on a socket, packet by packet. GDB manual, "Remote Serial Protocol"."""

    def __init__(self, port, timeout_s=20.0):
        self.timeout_s = timeout_s
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._pending = b""
        self.acks = True

    def raw(self, data):
        self._socket.sendall(data)

    def send(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.raw(b"$" + data + b"#%02x" % checksum(data))

    def byte(self, timeout_s=None):
        """The next byte, or b"" when none comes in time."""
        if not self._pending:
            self._socket.settimeout(timeout_s or self.timeout_s)
            try:
                self._pending = self._socket.recv(65536)
            except TimeoutError:
                return b""
        first, self._pending = self._pending[:1], self._pending[1:]
        return first

    def packet(self, timeout_s=None):
        """The next packet's data with escapes and repetitions undone, acknowledged when acks are on; None when none comes in time."""
        deadline = time.monotonic() + (timeout_s or self.timeout_s)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if self.byte(left) != b"$":
                continue
            data = b""
            while (each := self.byte()) not in (b"#", b""):
                data += each
            if int(self.byte() + self.byte(), 16) != checksum(data):
                raise GdbError(f"a packet with a wrong checksum: {data[:100]!r}")
            if self.acks:
                self.raw(b"+")
            return self._expand(data)

    @staticmethod
    def _expand(data):
        out, at = bytearray(), 0
        while at < len(data):
            each = data[at]
            if each == 0x7D:
                out.append(data[at + 1] ^ 0x20)
                at += 2
            elif each == 0x2A:
                out += bytes([out[-1]]) * (data[at + 1] - 29)
                at += 2
            else:
                out.append(each)
                at += 1
        return bytes(out)

    def ask(self, text, timeout_s=None):
        """Sends a packet and returns the reply as text; GdbError when there is none."""
        self.send(text)
        while True:
            reply = self.packet(timeout_s)
            if reply is None:
                raise GdbError(f"no reply to {text[:60]!r}")
            if reply[:1] != b"O" or reply == b"OK":
                return reply.decode("latin-1")

    def handshake(self):
        """What gdb does first; afterwards there are no acks. Returns the features' reply."""
        features = self.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386")
        if "QStartNoAckMode+" in features and self.ask("QStartNoAckMode") == "OK":
            self.acks = False
        return features

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
