# SPDX-License-Identifier: Apache-2.0
"""The symbols that a Linux kernel carries in itself for its own traces (CONFIG_KALLSYMS), read from its uncompressed ELF file.

Nothing tells where the tables are, so they are found by what they look like, and believed only when they agree with each other. Linux,
scripts/kallsyms.c writes them and kernel/kallsyms.c reads them; behind one another, with or without a table for looking up names between:

    offsets      a number for each symbol, by ascending address              6.1: before the count; 6.4 and later: behind the token index
    base         64 bits
    count        32 bits, padded to 64
    names        for each symbol its length and so many tokens; the first character of the text is the type that nm shows
    markers      where each 256th name begins
    token table  the text of each of the 256 tokens, ended by NUL
    token index  where each text begins, 16 bits each
"""
import re
import struct
from collections import namedtuple

from .say import Failure

Symbol = namedtuple("Symbol", "address type name")

_BLOCK = 256
_TYPES = frozenset("aAbBcCdDgGiInNpPrRsStTuUvVwW")
# Characters of names are tokens of their own, so the ten digits follow each other in every kernel.
_DIGITS = re.compile(b"".join(b"%c\0" % digit for digit in b"0123456789"))


def _padded(length):
    return (length + 7) & ~7


def _tokens(data):
    """All places that are a token table with its index: (tokens, begin of the table, end of the index)."""
    for match in _DIGITS.finditer(data):
        texts = data[match.start():match.start() + 8192].split(b"\0")[:_BLOCK - ord("0")]
        index_at = match.start() + sum(len(text) + 1 for text in texts)
        for at in range(index_at, index_at + 8):  # padded to 8 in memory; where that is in the data depends on the section
            index = struct.unpack_from(f"<{_BLOCK}H", data, at) if at + 2 * _BLOCK <= len(data) else ()
            begin = match.start() - index[ord("0")] if index else -1
            texts = data[begin:index_at].split(b"\0")[:-1] if begin >= 0 else []
            starts = [0]
            for text in texts[:-1]:
                starts.append(starts[-1] + len(text) + 1)
            if len(texts) == _BLOCK and starts == list(index):
                yield [text.decode("latin-1") for text in texts], begin, at + 2 * _BLOCK


def _name(data, at, tokens):
    """The name at `at` with its type before it, and where the next one begins."""
    length = data[at]
    at += 1
    if length & 0x80:  # 6.1 and later: longer names have a second byte
        length = length & 0x7F | data[at] << 7
        at += 1
    return "".join([tokens[token] for token in data[at:at + length]]), at + length


def _names(data, count, begin, tokens):
    """The texts of `count` names at `begin`, or None when that is no table of names with its markers."""
    texts, markers, at = [], [], begin
    for number in range(count):
        if number % _BLOCK == 0:
            markers.append(at - begin)
        if at + 1 >= len(data):
            return None
        text, at = _name(data, at, tokens)
        if len(text) < 2 or text[0] not in _TYPES:
            return None
        texts.append(text)
    wanted = struct.pack(f"<{len(markers)}I", *markers)
    return texts if 0 <= data.find(wanted, at, at + 8 + len(wanted)) else None


def _addresses(data, at, base, count):
    """What the offsets at `at` mean with `base`, or None when that is not ascending: then they are something else."""
    if at < 0 or at + 4 * count > len(data):
        return None
    offsets = struct.unpack_from(f"<{count}i", data, at)
    per_cpu = [offset if offset >= 0 else base - 1 - offset for offset in offsets]  # CONFIG_KALLSYMS_ABSOLUTE_PERCPU
    plain = [base + (offset & 0xFFFF_FFFF) for offset in offsets]
    return next((found for found in (per_cpu, plain) if all(a <= b for a, b in zip(found, found[1:])) and found[-1] >> 63 == 1), None)


def read(data):
    """The symbols in `data`, the bytes of an uncompressed kernel or of its read-only data: [Symbol], by ascending address. Addresses are
    those that the kernel is linked to; a per-CPU variable has its offset. Failure when there are none.
    """
    for tokens, table, index_end in _tokens(data):
        begin = table % 8
        words = memoryview(data)[begin:table].cast("Q")
        counts = [(begin + 8 * at, word) for at, word in enumerate(words) if _BLOCK <= word < 1 << 24]
        for at, count in reversed(counts):  # the nearest ones first
            texts = _names(data, count, at + 8, tokens)
            if texts is None:
                continue
            size = _padded(4 * count)
            for offsets, base in ((at - 8 - size, at - 8), (index_end, index_end + size)):
                if 0 <= base <= len(data) - 8:
                    found = _addresses(data, offsets, struct.unpack_from("<Q", data, base)[0], count)
                    if found:
                        return [Symbol(address, text[0], text[1:]) for address, text in zip(found, texts)]
    raise Failure("the kernel carries no symbol table of its own (CONFIG_KALLSYMS)")
