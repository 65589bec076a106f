# SPDX-License-Identifier: Apache-2.0
"""The tables by which a Linux kernel walks its own stacks (CONFIG_UNWINDER_ORC), told in the way that gdb understands (DWARF's .debug_frame).

Without it, and without debug information, a backtrace is right only at a function's first instruction: this kernel keeps no frame
pointers. Linux: arch/x86/include/asm/orc_types.h and kernel/unwind_orc.c, as of 6.1; from 6.4 on entries look different, and
a section .orc_header says so. DWARF 5, section 6.4 "Call Frame Information"; register numbers: System V ABI for AMD64.
"""
import struct
from itertools import groupby

_RBP, _RSP, _RIP = 6, 7, 16
# sp_reg and bp_reg of an entry.
_UNDEFINED, _PREVIOUS_SP, _DX, _DI, _BP, _SP, _R10, _R13, _BP_INDIRECT, _SP_INDIRECT = range(10)
_REGISTERS = {_DX: 1, _DI: 5, _BP: _RBP, _SP: _RSP, _R10: 10, _R13: 13}
# type of an entry: a call's return address lies below the previous stack pointer; or it names a whole pt_regs, or its end that the CPU pushes.
_CALL, _REGS, _REGS_PARTIAL = range(3)
_PT_REGS = {15: 0, 14: 8, 13: 16, 12: 24, _RBP: 32, 3: 40, 11: 48, 10: 56, 9: 64, 8: 72, 0: 80, 2: 88, 1: 96, 4: 104, 5: 112,
            _RIP: 128, _RSP: 152}
_PUSHED = {_RIP: 0, _RSP: 24}
_FACTOR = -8  # of offsets
_ENTRIES_PER_FDE = 64  # gdb runs through half of one to find a row


def _unsigned(value):
    output = bytearray()
    while value > 0x7F:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)


def _signed(value):
    output = bytearray()
    while not -0x40 <= value < 0x40:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value & 0x7F)
    return bytes(output)


def _block(code):
    return _unsigned(len(code)) + code


def _at(register, offset):
    """The register was saved `offset` from the frame's address."""
    return b"\x11" + _unsigned(register) + _signed(offset // _FACTOR)  # DW_CFA_offset_extended_sf


def _row(entry):
    """The instructions for one entry, whatever held before."""
    sp_offset, bp_offset, flags = entry
    sp, bp, kind, end = flags & 15, flags >> 4 & 15, flags >> 8 & 3, flags >> 10 & 1
    if sp == _UNDEFINED or end:
        return b"\x0c\x07\x08" + b"\x07\x10"  # DW_CFA_def_cfa of anything, DW_CFA_undefined: nothing called this
    if sp == _BP_INDIRECT:  # DW_CFA_def_cfa_expression: DW_OP_breg6, DW_OP_deref
        code = b"\x0f" + _block(b"\x76" + _signed(sp_offset) + b"\x06")
    elif sp == _SP_INDIRECT:  # DW_OP_breg7, DW_OP_deref, DW_OP_consts, DW_OP_plus
        code = b"\x0f" + _block(b"\x77\0\x06\x11" + _signed(sp_offset) + b"\x22")
    else:  # DW_CFA_def_cfa_sf
        code = b"\x12" + _unsigned(_REGISTERS[sp]) + _signed(sp_offset // _FACTOR)
    if kind == _CALL:
        code += _at(_RIP, -8)
    for register, offset in {_CALL: {}, _REGS: _PT_REGS, _REGS_PARTIAL: _PUSHED}[kind].items():
        code += _at(register, offset)
    if kind == _REGS:
        return code
    if bp == _PREVIOUS_SP:
        return code + _at(_RBP, bp_offset)
    if bp == _BP:  # DW_CFA_expression: DW_OP_breg6
        return code + b"\x10\x06" + _block(b"\x76" + _signed(bp_offset))
    return code + b"\x08\x06"  # DW_CFA_same_value


def _advance(distance):
    if distance < 0x40:
        return bytes([0x40 | distance]) if distance else b""
    if distance < 0x100:
        return b"\x02" + bytes([distance])
    return b"\x03" + struct.pack("<H", distance) if distance < 0x1_0000 else b"\x04" + struct.pack("<I", distance)


def _record(content):
    content += bytes(-(len(content) + 4) % 8)  # DW_CFA_nop
    return struct.pack("<I", len(content)) + content


def debug_frame(ips, ips_address, entries):
    """The bytes of a .debug_frame, from those of .orc_unwind_ip, which is linked to `ips_address`, and of .orc_unwind."""
    addresses = [ips_address + 4 * at + offset for at, (offset,) in enumerate(struct.iter_unpack("<i", ips))]
    rows = list(zip(addresses, struct.iter_unpack("<hhH", entries)))
    # Two CIEs: in the frame of an interrupt the program counter is not behind a call.
    output = bytearray()
    cies = {}
    for interrupted, augmentation in ((False, b"\0"), (True, b"S\0")):
        cies[interrupted] = len(output)
        output += _record(struct.pack("<IB", 0xFFFF_FFFF, 1) + augmentation + b"\x01" + _signed(_FACTOR) + bytes([_RIP]))
    codes = {}
    at = 0
    for kind, group in groupby(rows[:-1], key=lambda row: row[1][2] >> 8 & 3):
        group = list(group)
        for first in range(0, len(group), _ENTRIES_PER_FDE):
            part = group[first:first + _ENTRIES_PER_FDE]
            begin = here = part[0][0]
            code = bytearray()
            for address, entry in part:
                if entry not in codes:
                    codes[entry] = _row(entry)
                code += _advance(address - here) + codes[entry]
                here = address
            at += len(part)
            output += _record(struct.pack("<IQQ", cies[kind != _CALL], begin, rows[at][0] - begin) + code)
    return bytes(output)
