# SPDX-License-Identifier: Apache-2.0
"""The loader's refusals: each names the file or the processor's switch and what to do, and stops."""
import time

from ballastlib.cases import Case, ask, call, config, expect, partition, stock
from ballastlib.machine import Expired

_ANY = config(stock())
_TWO = config(partition("broken", "guest:halt", startup_mib=16), partition("good", "guest:steady", startup_mib=16))
_KERNEL = "/images/0-halt"
_LOADER_ONLY = r"^ballast: (?!loader: )"  # what the hypervisor would say


def _stops(running):
    """The loader ends the machine: on either bed, COM1 closes with the emulator."""
    try:
        return f'goes on with "{running.next_line(10).text}"'
    except Expired as expired:
        return None if "ended" in str(expired) else "does not stop"


def _refused(name, files, pattern, *, configuration=_ANY, first=(), forbid=(), **machine):
    return Case(name, configuration, [*first, expect(pattern, 90), call(_stops)], ends="broken", files=files, forbid=(_LOADER_ONLY, *forbid), **machine)


_CELL_WIDTH, _CELL_HEIGHT, _COLUMNS = 8, 19, 100  # EDK II's font; its console lies in the middle of the screen


def _pattern(things):
    """Which of them are the same: each as the place in the order of first appearance."""
    first = {}
    return [first.setdefault(thing, len(first)) for thing in things]


def _shows(picture, text):
    """Whether a picture has the text in it. The letters' shapes are not known beforehand: the same letter has to look the same each time,
    blanks empty, and no two letters alike."""
    width, height, pixels = picture
    left = (width - _COLUMNS * _CELL_WIDTH) // 2
    wanted = _pattern(text)
    blanks = [at for at, letter in enumerate(text) if letter == " "]
    empty = bytes(3 * _CELL_WIDTH * _CELL_HEIGHT)

    def cell(top, column):
        starts = (3 * (y * width + left + column * _CELL_WIDTH) for y in range(top, top + _CELL_HEIGHT))
        return b"".join(pixels[at:at + 3 * _CELL_WIDTH] for at in starts)

    for first_row in range(_CELL_HEIGHT):
        cells = [cell(top, column) for top in range(first_row, height - _CELL_HEIGHT + 1, _CELL_HEIGHT) for column in range(_COLUMNS)]
        for at in range(len(cells) - len(text) + 1):
            if all(cells[at + blank] == empty for blank in blanks) and _pattern(cells[at:at + len(text)]) == wanted:
                return True
    return False


def _on_screen(running):
    """The line with the error, as the firmware's console shows it."""
    line = next(line.text for line in running.lines if "loader: error" in line.text)
    deadline = time.monotonic() + 20  # the picture follows what the machine draws
    while not _shows(running.screen(), line):
        if time.monotonic() > deadline:
            return f'"{line}" is not on the screen'
        time.sleep(1)
    return None


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
    _refused("missing-image", {_KERNEL: None}, rf"^ballast: loader: error: {_KERNEL}: not found", configuration=_TWO),
    # What it needs is on another disk too, and bad there: only its own volume counts.
    Case("own-volume", config(partition("good", "guest:steady", startup_mib=16)),
         [expect(r"^\[good\] steady 1$", 120), ask("stop good off", r"^ballast: all partitions ended: off", 30)],
         first_disk={"/ballast/hv.elf": b"\x7fELF" + bytes(200), "/ballast/ballast.dtb": b"\xd0\x0d\xfe\xed" + bytes(100),
                     "/images/0-steady": bytes(100)}),
    # That one is looked into by the hypervisor: the others' partitions start.
    Case("damaged-image", _TWO,
         [expect(rf"^ballast: error: partition broken: kernel '{_KERNEL}' is no bzImage, PVH ELF or multiboot kernel", 90), expect(r"^\[good\] steady 2$", 60),
          ask("stop good off", r"^ballast: all partitions ended: crashed", 60)],
         files={_KERNEL: b"MZ" + bytes(9000)}, ends="crashed"),
    _refused("no-virtualization", {}, r"^ballast: loader: error: this processor offers neither VMX nor SVM; use one that does", virtualization=False),
    _locked_off("vmx", r"^test firmware: IA32_FEATURE_CONTROL is locked without VMX$",
                r"^ballast: loader: error: VMX is switched off and locked \(IA32_FEATURE_CONTROL\); "
                r"switch VT-x on in the firmware setup and power the machine off and on$"),
    _locked_off("svm", r"^test firmware: VM_CR is locked with SVMDIS$",
                r"^ballast: loader: error: SVM is switched off and locked \(VM_CR\.SVMDIS\); "
                r"switch SVM on in the firmware setup and power the machine off and on$"),
    _refused("too-little-memory", {}, r"^ballast: loader: error: this machine has 1\d\d MiB of usable memory .* at least 192 MiB; give it more",
             memory_mib=176),
    Case("screen", _ANY, [expect(r"^ballast: loader: error: this machine has .*; give it more memory$", 90), call(_on_screen)], ends=None,
         memory_mib=176, forbid=(_LOADER_ONLY,), screen=True),
]
