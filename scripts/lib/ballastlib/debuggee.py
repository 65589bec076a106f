# SPDX-License-Identifier: Apache-2.0
"""What the debugger's tests know about the kernels of tests/guests/debug: where symbols are, how to start, how to run a scenario."""
import struct
from contextlib import contextmanager

from .say import Failure


class Wrong(Failure):
    """A check that did not hold."""


def check(holds, text):
    if not holds:
        raise Wrong(text)


def same(what, found, wanted):
    if found != wanted:
        show = [f"{each:#x}" if isinstance(each, int) and not isinstance(each, bool) else repr(each) for each in (found, wanted)]
        raise Wrong(f"{what} is {show[0]}, not {show[1]}")


def contains(what, text, *parts):
    for part in parts:
        check(part in text, f'{what}: no "{part}" in "{" / ".join(text.strip().splitlines())[-400:]}"')


def connect_to_first(gdb):
    """Connects a gdb that is attached to the first partition then: with several on, none is by itself."""
    gdb.connect()
    if "process 1" not in gdb("info inferiors"):
        gdb("attach 1")


class Elf:
    """Symbols and bytes of an ELF64 or ELF32 file, such as the one that a gdb has read."""

    def __init__(self, path):
        self.path = path
        self._data = self.path.read_bytes()
        wide = self._data[4] == 2
        header, section, symbol = ("<QQ", "<IIQQQQIIQQ", "<IBBHQQ") if wide else ("<II", "<IIIIIIIIII", "<IIIBBH")
        table = struct.unpack_from(header, self._data, 0x20 if wide else 0x1C)[1]
        size, count = struct.unpack_from("<HH", self._data, 0x3A if wide else 0x2E)
        self._sections = [struct.unpack_from(section, self._data, table + size * at) for at in range(count)]
        self.symbols = {}
        for _, kind, _, _, offset, length, link, _, _, entry in self._sections:
            if kind != 2:
                continue
            names = self._sections[link][4]
            for at in range(offset, offset + length, entry):
                fields = struct.unpack_from(symbol, self._data, at)
                end = self._data.index(b"\0", names + fields[0])
                self.symbols[self._data[names + fields[0]:end].decode()] = fields[4] if wide else fields[1]

    def __getitem__(self, name):
        return self.symbols[name]

    def bytes(self, first, end):
        """What the file holds for the addresses [first, end)."""
        for _, kind, flags, address, offset, length, *_ in self._sections:
            if kind == 1 and flags & 2 and address <= first and end <= address + length:
                return self._data[offset + first - address:offset + end - address]
        raise Failure(f"{self.path.name} holds nothing at {first:#x}")


class Scenarios:
    """A gdb that is connected to kernel64 or kernel32, at or behind kernel_main."""

    def __init__(self, gdb, elf):
        self.gdb, self.elf = gdb, elf

    def to_main(self):
        """From the start: to kernel_main; then scenario_done is a breakpoint that stays."""
        self.gdb("tbreak kernel_main")
        stop = self.gdb.resume()
        same("pc at kernel_main", stop.function, "kernel_main")
        self.gdb("break scenario_done")
        return self

    def begin(self, name):
        """Chooses a scenario; the next continue runs it."""
        self.gdb(f"set var command = {name}")

    def finish(self, name, timeout_s=None):
        """Continues to the end of the scenario under way, which has to be content."""
        stop = self.gdb.resume("continue", timeout_s)
        self.ended(stop, name)

    def ended(self, stop, name):
        check(stop.function == "scenario_done", f"{name}: stopped at {stop.function} {stop.pc:#x} instead of its end: {stop.reason}")
        contains(name, stop.text, "which=", f"={name},", "ok=true")

    def run(self, name, timeout_s=None):
        self.begin(name)
        self.finish(name, timeout_s)

    @contextmanager
    def point(self, command):
        """A breakpoint or watchpoint for a while; yields its number."""
        self.gdb(command)
        number = int(self.gdb("output $bpnum"))
        yield number
        self.gdb(f"delete {number}")


def step_table(elf, first, end):
    """The addresses of torture's table between two symbols, as [(address, may be left out)]."""
    raw = elf.bytes(elf[first], elf[end])
    return [(entry & ~(1 << 63), bool(entry >> 63)) for entry in struct.unpack(f"<{len(raw) // 8}Q", raw)]
