# SPDX-License-Identifier: Apache-2.0
"""A Linux kernel's ELF file with the symbols it carries in itself written out as a symbol table: for gdb, where there is no debug package.

The result is the file itself, so that its code and read-only data can be looked at without a target, and more sections at its end.
System V ABI, chapters "Sections" and "Symbol Table".
"""
import bisect
import struct
from collections import namedtuple

from . import kallsyms, orc
from .say import Failure

_Section = namedtuple("_Section", "name type flags address offset size link info alignment entry")
_SECTION, _SYMBOL = "<IIQQQQIIQQ", "<IBBHQQ"
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_ALLOC, _EXECUTE = 2, 4
_ABSOLUTE = 0xFFF1
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_OBJECT, _FUNCTION = 1, 2


class _Strings:
    """A string table under construction."""

    def __init__(self):
        self.data = bytearray(1)

    def add(self, text):
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def _sections(elf):
    """The sections of an ELF64 file with their names' numbers replaced by their names."""
    if elf[:6] != b"\x7fELF\2\1":
        raise Failure("not a little-endian ELF64 file")
    table, = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    if count == 0 or table + size * count > len(elf):
        raise Failure("an ELF file without sections")
    found = [_Section(*struct.unpack_from(_SECTION, elf, table + size * at)) for at in range(count)]
    begin = found[names].offset
    return [each._replace(name=elf[begin + each.name:elf.index(b"\0", begin + each.name)].decode()) for each in found]


def _symbol_table(symbols, sections):
    """(.symtab, .strtab, number of local symbols). A symbol reaches to the next address that has one, or to its section's end."""
    loaded = sorted((each.address, each.address + each.size, number, each.flags)
                    for number, each in enumerate(sections) if each.flags & _ALLOC and each.size)
    starts = [begin for begin, *_ in loaded]
    addresses = sorted({symbol.address for symbol in symbols})
    following = dict(zip(addresses, addresses[1:]))
    names = _Strings()
    local, others = [], []
    for address, kind, name in symbols:
        at = bisect.bisect_right(starts, address) - 1
        begin, end, number, flags = loaded[at] if at >= 0 else (0, 0, _ABSOLUTE, 0)
        if address > end and begin == 0:
            number = _ABSOLUTE  # beyond the per-CPU data, before the kernel
        size = min(following.get(address, end), end) - address if begin <= address < end else 0
        binding = _WEAK if kind in "wWvV" else _GLOBAL if kind.isupper() else _LOCAL
        sort = 0 if size == 0 else _FUNCTION if flags & _EXECUTE else _OBJECT
        record = struct.pack(_SYMBOL, names.add(name), binding << 4 | sort, 0, number, address, size)
        (local if binding == _LOCAL else others).append(record)
    return bytes(24) + b"".join(local) + b"".join(others), bytes(names.data), 1 + len(local)


def make(elf):
    """The bytes of the file for gdb, from those of an uncompressed kernel. Failure when the kernel carries no symbols."""
    sections = _sections(elf)
    symbols = kallsyms.read(elf)
    kept = [each for each in sections if each.type == 0 or each.flags & _ALLOC]
    table, strings, local = _symbol_table(symbols, kept)
    output = bytearray(elf[:max(each.offset + each.size for each in kept if each.type != _NOBITS)])  # without what lies behind: relocations

    def append(name, kind, data, link=0, info=0, entry=0):
        output.extend(bytes(-len(output) % 8))
        kept.append(_Section(name, kind, 0, 0, len(output), len(data), link, info, 8, entry))
        output.extend(data)

    unwind = {each.name: each for each in kept if each.name.startswith(".orc_")}
    if ".orc_unwind" in unwind and ".orc_header" not in unwind:
        ips, entries = (elf[each.offset:each.offset + each.size] for each in (unwind[".orc_unwind_ip"], unwind[".orc_unwind"]))
        append(".debug_frame", _PROGBITS, orc.debug_frame(ips, unwind[".orc_unwind_ip"].address, entries))
    append(".symtab", _SYMTAB, table, len(kept) + 1, local, 24)
    append(".strtab", _STRTAB, strings)
    names = _Strings()
    numbers = [names.add(each.name) for each in kept] + [names.add(".shstrtab")]
    append(".shstrtab", _STRTAB, names.data)
    output.extend(bytes(-len(output) % 8))
    struct.pack_into("<Q", output, 0x28, len(output))
    struct.pack_into("<HHH", output, 0x3A, struct.calcsize(_SECTION), len(kept), len(kept) - 1)
    for number, each in zip(numbers, kept):
        output.extend(struct.pack(_SECTION, *each._replace(name=number)))
    return bytes(output)
