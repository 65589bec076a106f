# SPDX-License-Identifier: Apache-2.0
"""Registers through the debugger. Each of the target description is given another value, read back, and stored by the guest, which has
to have found the same; the list is the description's own: a register without a planned value fails the test."""
import math
import re

from ballastlib.cases import Case, ask, config, debug, expect, partition
from ballastlib.debuggee import Elf, Scenarios, check, contains, same

_GUEST, _MODES = "debug/kernel64", "debug/modes"
_BASE = 0x12345000                # of the data segment 72 of kernel64
_MARKER = 0x600d600d600d600d      # registers_marker
_GENERAL = "rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split()
# What take_registers() stores, in its order; and behind that by FXSAVE64: Intel SDM vol 1, "FXSAVE Area".
_SEEN = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 eflags cs ss ds es fs gs cr0 cr2 cr3 cr4 cr8 efer " \
        "fs_base gs_base k_gs_base".split()
_FXSAVE = {"fctrl": (0, 2), "fstat": (2, 2), "fop": (6, 2), "fioff": (8, 4), "fiseg": (12, 4), "fooff": (16, 4), "foseg": (20, 4),
           "mxcsr": (24, 4), **{f"st{at}": (32 + 16 * at, 10) for at in range(8)}, **{f"xmm{at}": (160 + 16 * at, 16) for at in range(16)}}
# In 64-bit code these bases are not used, and the guest cannot see RIP but by running on from there.
_NOT_SEEN = {"cs_base", "ss_base", "ds_base", "es_base", "rip", "raw_ip"}
_FPU_POINTERS = ("fioff", "fiseg", "fooff", "foseg")
_SELECTORS = ("es", "cs", "ss", "ds", "fs", "gs")


def _vector(number):
    """16 bytes unlike those of any other number."""
    return int.from_bytes(bytes((number * 7 + at * 13) & 0xff for at in range(16)), "little")


def _extended(value):
    """A positive number as the x87 holds it."""
    mantissa, exponent = math.frexp(value)
    return exponent - 1 + 16383 << 64 | int(mantissa * 2 ** 64)


def _plan(gdb, elf):
    """{register: its new value}, in the order of writing: a selector brings its base along; the tags belong to ST and TOP; the upper
    half of a YMM is written with the lower. A value is what the register's bytes are as a number, or of ST the number it stands for."""
    control = {name: gdb.value(f"${name}") for name in ("cr0", "cr4", "efer")}
    return {
        **{name: 0x0101010101010101 * (17 + at) for at, name in enumerate(_GENERAL)},
        "rsp": elf["edge"] + 4096, "eflags": 0x247ed7,  # ID AC NT IOPL 3 OF DF IF SF ZF AF PF CF
        "cs": 64, "ss": 72, "ds": 72, "es": 0x23, "fs": 72, "gs": 0x23,
        "cs_base": 0x1111000, "ss_base": 0x2222000, "ds_base": 0x3333000, "es_base": 0x44440,
        "fs_base": 0x7fff12345678, "gs_base": 0xffffffff80123456, "k_gs_base": 0xffff800000005555,
        "cr0": control["cr0"] ^ 0x4005002e,  # CD AM WP NE TS EM MP
        "cr2": 0xffff800123456789, "cr3": elf["other_root"] - 0xffffffff80000000 | 0x18,  # PCD PWT
        "cr4": control["cr4"] ^ 0x1df, "cr8": 5,  # PCE PGE MCE PSE DE TSD PVI VME
        "efer": control["efer"] ^ 0x801,  # NXE SCE
        **{f"st{at}": 1.5 + at for at in range(8)},
        "fctrl": 0xe7f, "fstat": 0x2d41, "ftag": 0x0ff0,  # TOP is 5; 2 to 5 are empty
        "fiseg": 0xffff8000, "fioff": 0x80204060, "foseg": 0xffff8001, "fooff": 0x90214161, "fop": 0x5a3,
        **{f"xmm{at}": _vector(at) for at in range(16)}, "mxcsr": 0xffbf,
        **{f"ymm{at}h": _vector(at + 16) for at in range(16)},
        "raw_sp": elf["edge"] + 2048, "rip": elf["registers_here"] + 1, "raw_ip": elf["registers_there"],
    }


def _described(gdb):
    """{register: bits} as the description that gdb has read names them."""
    text = gdb("maintenance print xml-tdesc")
    found = {}
    for reg in re.findall(r"<reg ([^>]*)>", text):
        found[re.search(r'name="(\w+)"', reg).group(1)] = int(re.search(r'bitsize="(\d+)"', reg).group(1))
    check(len(found) > 40, f"no description: {text[:300]}")
    return found


def _wide(name):
    """The gdb register and the two 8-byte elements that a vector register is."""
    if name.endswith("h"):
        return f"${name[:-1]}.v4_int64", (2, 3)
    return f"${name}.v2_int64", (0, 1)


def _write(gdb, name, bits, value):
    if bits == 128:
        vector, elements = _wide(name)
        for at, element in enumerate(elements):
            gdb(f"set {vector}[{element}] = {value >> 64 * at & 2 ** 64 - 1:#x}ul")
    else:
        gdb(f"set ${name} = {value}" if bits == 80 else f"set ${name} = {value:#x}" + ("ull" if bits == 64 else ""))


def _read(gdb, name, bits):
    if bits == 128:
        vector, elements = _wide(name)
        return sum((gdb.value(f"{vector}[{element}]") & 2 ** 64 - 1) << 64 * at for at, element in enumerate(elements))
    if bits == 80:
        return float(gdb(f"output ${name}"))
    return gdb.value(f"${name}")


def _bytes(gdb, address, count):
    """Memory as the guest has it."""
    found = []
    for line in gdb(f"x/{count}xb {address:#x}").splitlines():
        found += [int(byte, 16) for byte in line.partition(":")[2].split()]
    same("bytes read", len(found), count)
    return bytes(found)


def _seen(gdb, elf):
    """{register: value} as the guest has stored them."""
    raw = _bytes(gdb, elf["registers_seen"], 8 * len(_SEEN))
    seen = {name: int.from_bytes(raw[8 * at:8 * at + 8], "little") for at, name in enumerate(_SEEN)}
    fpu, high = _bytes(gdb, elf["registers_fpu"], 512), _bytes(gdb, elf["registers_high"], 256)
    seen.update({name: int.from_bytes(fpu[at:at + size], "little") for name, (at, size) in _FXSAVE.items()})
    seen["ftag"] = fpu[4]
    seen.update({f"ymm{at}h": int.from_bytes(high[16 * at:16 * at + 16], "little") for at in range(16)})
    seen["raw_sp"] = seen["rsp"]
    return seen


def _as_seen(name, value):
    """What the guest must have stored for a value written."""
    if name == "ftag":  # of a register FXSAVE says only whether it is empty
        return sum((value >> 2 * at & 3 != 3) << at for at in range(8))
    return _extended(value) if name[:2] == "st" else value


def _plan_narrow(gdb):
    """The same for the 32-bit description, in 32-bit code without paging. RIP and RSP are shown with their segment's base."""
    control = {name: gdb.value(f"${name}") for name in ("cr0", "cr4", "efer")}
    return {
        **{name: 0x01010101 * (17 + at) for at, name in enumerate(("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi"))},
        "eflags": 0x247ed7, "cs": 72, "ss": 64, "ds": 64, "es": 64, "fs": 64, "gs": 64,
        "cs_base": 0x1111000, "ss_base": 0x2222000, "ds_base": 0x3333000, "es_base": 0x44440,
        "fs_base": 0x81234567, "gs_base": 0x7654321, "k_gs_base": 0xffff800000005555,
        "cr0": control["cr0"] ^ 0x4005002e, "cr2": 0x80123456, "cr3": 0x5018,
        "cr4": control["cr4"] ^ 0x1df, "cr8": 5, "efer": control["efer"] ^ 0x801,
        **{f"st{at}": 1.5 + at for at in range(8)},
        "fctrl": 0xe7f, "fstat": 0x2d41, "ftag": 0x0ff0,
        "fiseg": 0x12, "fioff": 0x80204060, "foseg": 0x34, "fooff": 0x90214161, "fop": 0x5a3,
        **{f"xmm{at}": _vector(at) for at in range(8)}, "mxcsr": 0xffbf,
        **{f"ymm{at}h": _vector(at + 16) for at in range(8)},
        "esp": 0x2222000 + 0x8000, "eip": 0x1111000 + 0x100000, "raw_sp": 0x7000, "raw_ip": 0x200000,
    }


def _differ(gdb, bits, plan):
    """Every register has a planned value, and another one now. Returns those of now."""
    same("registers without a value, and values without a register", sorted(set(bits) ^ set(plan)), [])
    before = {name: _read(gdb, name, bits[name]) for name in plan}
    same("registers that have their new value already", [name for name, value in plan.items() if before[name] == value], [])
    return before


def _kept(machine, plan):
    """What of it the bed keeps: QEMU's XSAVE stores 0 for the x87's pointers."""
    return {**plan, **{name: 0 for name in _FPU_POINTERS}} if machine.hardware.bed == "qemu" else plan


def _check_all(gdb, bits, plan):
    gdb("maintenance flush register-cache")
    for name, value in plan.items():
        same(name, _read(gdb, name, bits[name]), value)


def _all(machine, gdb):
    elf = Elf(gdb.file)
    gdb.connect()
    scenarios = Scenarios(gdb, elf)
    gdb("break scenario_done")
    gdb(f"tbreak *{elf['registers_here']:#x}")
    scenarios.begin("kRegisters")
    same("pc", gdb.resume().pc, elf["registers_here"])
    bits, plan = _described(gdb), _plan(gdb, elf)
    _differ(gdb, bits, plan)
    far = elf["registers_marker"] + 0xffff800000000000 - 0xffffffff80200000
    check(gdb.value(f"*(unsigned long*){far:#x}") != _MARKER, "the two roots have the same memory")
    for name, value in plan.items():
        _write(gdb, name, bits[name], value)
        if name in _SELECTORS:
            same(f"the base that comes with {name}", gdb.value(f"${name}_base"), _BASE if value == 72 else 0)
    plan = _kept(machine, {**plan, "rsp": plan["raw_sp"], "rip": plan["raw_ip"]})
    _check_all(gdb, bits, plan)
    same("what the new root maps", gdb.value(f"*(unsigned long*){far:#x}"), _MARKER)
    scenarios.finish("kRegisters")
    seen = _seen(gdb, elf)
    if machine.hardware.bed == "qemu":  # whose FXSAVE leaves this out
        plan["fop"] = 0
    same("registers that the guest does not store", sorted(set(plan) - set(seen)), sorted(_NOT_SEEN))
    for name, value in seen.items():
        same(f"{name} as the guest has it", value, _as_seen(name, plan[name]))
    same("what the guest reads by the new root", gdb.value("*(unsigned long*)&registers_far"), _MARKER)
    for name in ("kHotLoop", "kUserMode"):
        scenarios.run(name)


def _narrow(machine, gdb):
    """In 32-bit code; afterwards all is put back, and the guest waits on as before."""
    elf = Elf(gdb.file)
    gdb.connect()
    gdb("monitor arch 32")
    gdb("unset tdesc filename")
    bits, plan = _described(gdb), _plan_narrow(gdb)
    before = _differ(gdb, bits, plan)
    for name, value in plan.items():
        _write(gdb, name, bits[name], value)
    linear = {"esp": plan["ss_base"] + plan["raw_sp"], "eip": plan["cs_base"] + plan["raw_ip"]}
    _check_all(gdb, bits, _kept(machine, {**plan, **linear}))
    for name in plan:
        _write(gdb, name, bits[name], before[name])
    _check_all(gdb, bits, before)
    gdb(f"tbreak *{elf['inner32'] + 3:#x}")
    same("the guest's loop", gdb.resume().pc, elf["inner32"] + 3)
    gdb("detach")


def _shown(machine, gdb):
    gdb.connect()
    Scenarios(gdb, elf := Elf(gdb.file)).to_main()
    contains("cr0", gdb("print $cr0"), "PG", "WP", "PE")
    contains("efer", gdb("print $efer"), "LMA", "LME", "SCE")
    same("cr3", gdb.value("$cr3"), elf["pml4"])
    same("cs", (gdb.value("$cs"), gdb.value("$ss")), (8, 16))
    text = gdb("info registers")
    contains("info registers", text, *("rip eflags cs fs_base gs_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer".split()))
    contains("info registers eflags", gdb("info registers eflags"), "eflags")
    check("unavailable" not in gdb("info registers rip rsp eflags cr0 mxcsr"), "a register is unavailable")


# What no processor would run on with, or what the guest itself could not load. CS: 48 is a TSS, 24 user code, 80 32-bit code, in which RIP
# would be too wide, 88 beyond the table. EFLAGS: VM, and bits that are none.
_REFUSED = {"ds": (0x18000, 0x10010), "es": (0xfff8,), "cs": (0, 24, 48, 80, 88), "ss": (8, 3), "ss_base": (1 << 32,), "cr3": (1 << 60,),
            "rip": (1 << 63,), "raw_ip": (1 << 47,), "cr0": (1 << 40, 0x80000000), "cr4": (0, 1 << 63), "cr8": (16,), "efer": (0, 1 << 63),
            "fs_base": (1 << 55,), "gs_base": (1 << 55,), "k_gs_base": (1 << 47,), "eflags": (0x20002, 0xa, 0x400002), "fctrl": (0x1037f,),
            "mxcsr": (0x10000,)}


def _refused(machine, gdb):
    gdb.connect()
    bits = _described(gdb)
    for name, values in _REFUSED.items():
        before = gdb.value(f"${name}")
        for value in values:
            wrong = gdb.fails(f"set ${name} = {value:#x}" + ("ull" if bits[name] == 64 else ""), "Could not write register")
            check(wrong is None, f"{name}: {wrong}")
            gdb("maintenance flush register-cache")
            same(f"{name} after {value:#x}", gdb.value(f"${name}"), before)
    gdb("break scenario_done")
    Scenarios(gdb, Elf(gdb.file)).run("kHotLoop")


def _flags_behind_sti(machine, gdb):
    """Flags are written where STI still holds interrupts back: a processor does that only with IF set."""
    elf = Elf(gdb.file)
    gdb.connect()
    scenarios = Scenarios(gdb, elf)
    gdb("break scenario_done")
    gdb("set var rounds = 1")
    gdb(f"tbreak *{elf['pending_first']:#x}")
    scenarios.begin("kPending")
    same("behind STI", gdb.resume().pc, elf["pending_first"])
    flags = gdb.value("$eflags")
    same("IF", flags >> 9 & 1, 1)
    for other in (flags & ~0x200, flags):
        gdb(f"set $eflags = {other:#x}")
        pc = gdb.pc
        same("a step", gdb.resume("stepi").pc, pc + 1)
        same("flags", gdb.value("$eflags"), other)
    scenarios.finish("kPending")
    gdb("delete")
    gdb("detach")


def _case(name, guest, ready, *functions):
    return Case(name, config(partition("a", f"guest:{guest}", startup_mib=32, debug_wait=guest == _GUEST), debugger="com3"),
                [expect(ready, 60), *(debug(function, guest) for function in functions), ask("stop a off", r"all partitions ended", 60)],
                debugger=True, forbid=(r"FAIL",), timeout_s=300)


CASES = [
    _case("all", _GUEST, r"^ballast: partition a: started", _shown, _refused, _all, _flags_behind_sti),
    _case("narrow", _MODES, r"^\[a\] modes: 32-bit", _narrow),
]
