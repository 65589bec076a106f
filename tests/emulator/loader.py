# SPDX-License-Identifier: Apache-2.0
"""The loader's refusals: each names the file or the processor's switch and what to do, and stops."""
from ballastlib.cases import Case, call, config, expect, stock
from ballastlib.machine import Expired

_ANY = config(stock())
_LOADER_ONLY = r"^ballast: (?!loader: )"  # what the hypervisor would say


def _stops(running):
    """The loader ends the machine: on either bed, COM1 closes with the emulator."""
    try:
        return f'goes on with "{running.next_line(10).text}"'
    except Expired as expired:
        return None if "ended" in str(expired) else "does not stop"


def _refused(name, files, pattern, *, first=(), forbid=(), **machine):
    return Case(name, _ANY, [*first, expect(pattern, 90), call(_stops)], ends="broken", files=files, forbid=(_LOADER_ONLY, *forbid), **machine)


def _locked_off(kind, said, pattern):
    """Firmware with virtualization off: tests/firmware starts the loader."""
    files = {"/EFI/BOOT/BOOTX64.EFI": "tests/firmware/locked-off.EFI", "/EFI/BOOT/BALLAST.EFI": "boot/efi/BOOTX64.EFI"}
    return _refused(f"{kind}-locked-off", files, pattern, first=[expect(said, 90), expect(r"^ballast: loader: Ballast$", 60)],
                    forbid=(r"^ballast: loader: processor:",), beds=(kind,))


CASES = [
    _refused("missing-hypervisor", {"/ballast/hv.elf": None}, r"^ballast: loader: error: /ballast/hv\.elf: not found"),
    _refused("damaged-hypervisor", {"/ballast/hv.elf": b"\x7fELF" + bytes(200)}, r"^ballast: loader: error: /ballast/hv\.elf: damaged"),
    _refused("missing-configuration", {"/ballast/ballast.dtb": None}, r"^ballast: loader: error: /ballast/ballast\.dtb: not found"),
    _refused("damaged-configuration", {"/ballast/ballast.dtb": b"\xd0\x0d\xfe\xed" + bytes(100)},
             r"^ballast: loader: error: /ballast/ballast\.dtb: damaged"),
    _refused("no-virtualization", {}, r"^ballast: loader: error: this processor offers neither VMX nor SVM; use one that does", virtualization=False),
    _locked_off("vmx", r"^test firmware: IA32_FEATURE_CONTROL is locked without VMX$",
                r"^ballast: loader: error: VMX is switched off and locked \(IA32_FEATURE_CONTROL\); "
                r"switch VT-x on in the firmware setup and power the machine off and on$"),
    _locked_off("svm", r"^test firmware: VM_CR is locked with SVMDIS$",
                r"^ballast: loader: error: SVM is switched off and locked \(VM_CR\.SVMDIS\); "
                r"switch SVM on in the firmware setup and power the machine off and on$"),
    _refused("too-little-memory", {}, r"^ballast: loader: error: this machine has 1\d\d MiB of usable memory .* at least 192 MiB; give it more",
             memory_mib=176),
]
