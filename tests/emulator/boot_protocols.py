# SPDX-License-Identifier: Apache-2.0
"""What a kernel is handed at its entry, beyond what the other cases boot with."""
import re

from ballastlib.cases import Case, call, config, expect, partition

_MODULES = ("halt", "holes")


def _modules_are_the_files(machine):
    found = [re.search(r"^\[m\] modules: (\d+) bytes, sum (\d+) '(.*)'$", line.text) for line in machine.lines]
    told = [(int(match.group(1)), int(match.group(2)), match.group(3)) for match in found if match]
    files = [(machine.built / "tests/guests" / name).read_bytes() for name in _MODULES]
    wanted = [(len(data), sum(data), f"/images/{number}-{name}") for number, (name, data) in enumerate(zip(_MODULES, files), 1)]
    return None if told == wanted else f"modules {told} instead of {wanted}"


CASES = [
    Case("multiboot-modules", config(partition("m", "guest:modules", startup_mib=16, command_line="one two", modules=[f"guest:{name}" for name in _MODULES])),
         [expect(r"^\[m\] modules: command line 'one two'$", 120), expect(r"^\[m\] modules: done, 0 faults, 0 failures", 20),
          call(_modules_are_the_files)],
         forbid=(r"FAIL",), timeout_s=180),
]
