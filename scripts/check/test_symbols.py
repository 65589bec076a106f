# SPDX-License-Identifier: Apache-2.0
"""Tests of what makes a file for gdb from a kernel's image. Run by scripts/test unit (check.commands)."""
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ballastlib import bzimage, gdb, kallsyms, orc, setup, symbol_file  # noqa: E402
from ballastlib.paths import GUEST_KERNEL  # noqa: E402
from ballastlib.say import Failure  # noqa: E402

# A kernel's tables as Linux lays them out; a thousand names, because the markers count by 256.
BASE = 0xFFFFFFFF_81000000
SYMBOLS = [*(kallsyms.Symbol(0x40 * at, "A", f"per_cpu_{at}") for at in range(5)),
           *(kallsyms.Symbol(BASE + 16 * at, "tTdDbBrRW"[at % 9], f"do_{at % 7}_{at}") for at in range(1000)),
           kallsyms.Symbol(BASE + 0x8000, "t", "long" * 100)]
TOKENS = [bytes([at]) if 0x20 < at < 0x7F else b"" for at in range(256)]
TOKENS[200:203] = (b"do_", b"per_cpu_", b"lo")


def _encode(symbol):
    text = (symbol.type + symbol.name).encode()
    for token in (200, 201, 202):
        text = text.replace(TOKENS[token], bytes([token]))
    return (bytes([len(text)]) if len(text) < 0x80 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])) + text


def _padded(data):
    return data + bytes(-len(data) % 8)


def _tables(newer=False, spoil=0):
    """newer: the order of Linux 6.4 and later. spoil: added to the markers."""
    names = [_encode(symbol) for symbol in SYMBOLS]
    markers = [sum(map(len, names[:at])) + (spoil if at else 0) for at in range(0, len(names), 256)]
    index = [sum(len(token) + 1 for token in TOKENS[:at]) for at in range(256)]
    offsets = [each.address if each.address < BASE else BASE - 1 - each.address for each in SYMBOLS]
    places = _padded(struct.pack(f"<{len(offsets)}i", *offsets)) + struct.pack("<Q", BASE)
    rest = (struct.pack("<Q", len(names)) + _padded(b"".join(names)) + _padded(struct.pack(f"<{len(markers)}I", *markers)) +
            _padded(bytes(3 * len(names))) + _padded(b"".join(token + b"\0" for token in TOKENS)) + struct.pack("<256H", *index))
    return b"0\x001\x002\0 others" + b"\x07" * 117 + (rest + places if newer else places + rest) + b"\xff" * 64


class CarriedSymbols(unittest.TestCase):
    def test_the_tables_are_found_by_what_they_look_like(self):
        for newer in (False, True):
            self.assertEqual(kallsyms.read(_tables(newer)), SYMBOLS)

    def test_tables_that_disagree_are_no_symbols(self):
        for data in (_tables(spoil=1), _tables()[:-600], b"", bytes(5000)):
            with self.assertRaisesRegex(Failure, "no symbol table of its own"):
                kallsyms.read(data)

    def test_stack_tables_become_call_frame_information(self):
        sp, bp, cpu = 5, 4, 2
        rows = [(0x1000, 8, 0, sp), (0x1001, 16, 0, sp), (0x1400, 16, -16, bp | 1 << 4), (0x1500, 8, 0, sp | cpu << 8), (0x1600, 0, 0, 0),
                (0x1700, 0, 0, 0)]
        ips = b"".join(struct.pack("<i", address - 4 * at - 0x8000) for at, (address, *_) in enumerate(rows))
        made = orc.debug_frame(ips, 0x8000, b"".join(struct.pack("<hhH", *row[1:]) for row in rows))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "cfi").write_bytes(made)
            subprocess.run(["objcopy", "-I", "binary", "-O", "elf64-x86-64", "--rename-section", ".data=.debug_frame", "cfi", "cfi.o"],
                           cwd=folder, check=True)
            dump = subprocess.run(["readelf", "--debug-dump=frames-interp", "cfi.o"], cwd=folder, text=True, capture_output=True).stdout
        found = [line.split() for line in dump.splitlines() if line.startswith("0000000000001")]
        self.assertEqual([(int(address, 16), *rules) for address, *rules in found], [  # frame, rbp, rsp where it is saved, return address
            (0x1000, "rsp+8", "s", "c-8"), (0x1001, "rsp+16", "s", "c-8"), (0x1400, "rbp+16", "c-16", "c-8"),
            (0x1500, "rsp+8", "s", "c+24", "c+0"), (0x1600, "rsp+8", "u")])
        self.assertRegex(dump, r'00000010 \S+ \S+ CIE "S"[^$]*FDE cie=00000010 pc=0000000000001500\.\.0000000000001600')

    def test_an_image_without_symbols_leads_to_our_own_kernel(self):
        empty = bytearray(b"\x7fELF\2\1" + bytes(122))
        struct.pack_into("<Q", empty, 0x28, 64)
        struct.pack_into("<HHH", empty, 0x3A, 64, 1, 0)
        with mock.patch.object(setup, "fetch_guest_kernel"), mock.patch.object(bzimage, "unpack", return_value=bytes(empty)):
            with self.assertRaisesRegex(Failure, "no symbol table of its own(.*\n)+.*start pvh\n.*attach 2' .*tests/guests/debug/kernel64$"):
                setup.image_symbols()

    @unittest.skipUnless(setup.guest_kernel_version(), "the stock kernel is not there")
    def test_the_stock_kernel(self):
        release = setup.guest_kernel_version()
        elf = bzimage.unpack(GUEST_KERNEL / "boot" / f"vmlinuz-{release}")
        symbols = kallsyms.read(elf)
        addresses = {symbol.name: symbol.address for symbol in symbols}
        self.assertGreater(len(symbols), 50_000)
        self.assertLess(addresses["_text"], addresses["start_kernel"])
        self.assertEqual([name for name in ("_stext", "_etext", "__init_begin", "_end") if addresses[name] < addresses["_text"]], [])
        self.assertLess(addresses["current_task"], addresses["__per_cpu_end"])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "vmlinux"
            file.write_bytes(symbol_file.make(elf))
            with gdb.Gdb(1, file, timeout_s=30) as debugger:
                self.assertIn(f"Linux version {release} ", debugger("x/s &linux_banner"))
                self.assertIn("<__fentry__>", debugger("x/i start_kernel"))
                self.assertIn("start_kernel in section .init.text", debugger("info symbol start_kernel"))
                self.assertEqual(debugger.value("&current_task"), addresses["current_task"])
        if setup.guest_kernel_symbols():  # Debian's own table of the same kernel knows each of them
            listed = subprocess.run(["nm", setup.guest_kernel_symbols()], text=True, capture_output=True, check=True).stdout.split("\n")
            known = {(int(address, 16), name) for address, _, name in (line.split() for line in listed if len(line.split()) == 3)}
            self.assertEqual([symbol for symbol in symbols if (symbol.address, symbol.name) not in known], [])


if __name__ == "__main__":
    unittest.main()
