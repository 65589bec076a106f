# SPDX-License-Identifier: Apache-2.0
"""What a partition's memory is mapped with: 1 GiB where whole, else 2 MiB; 4 KiB where the configuration wants it so."""
import re
import time

from ballastlib import console
from ballastlib.cases import Case, call, config, expect, partition

_LEAVES = re.compile(r"^ballast: check: ok .*; leaves 1G (\d+) 2M (\d+) 4K (\d+),")
_SHARE = re.compile(r"^ballast:   memory: .*, (\d+)% in large pages$")


def _leaves(machine):
    return map(int, _LEAVES.search(machine.command_lines("check", r"^ballast: check: ", 60)[-1]).groups())


def _share(machine):
    return int(_SHARE.search(machine.command_lines("show g", _SHARE.pattern, 60)[-1]).group(1))


def _faults(machine, least):
    """How many nested faults there were; what is shown is up to a second old."""
    for _ in range(20):
        faults = console.counters(machine, "g").get("nested fault", 0)
        if faults >= least:
            break
        time.sleep(0.2)
    return faults


def _one_gigabyte(machine):
    """It was touched 4 KiB at a time, upwards: a fault for each 2 MiB, and the last of them makes one page of them all."""
    huge, large, _ = _leaves(machine)
    faults = _faults(machine, 512)
    if huge != 1 or large > 8:
        return f"{huge} leaves of 1 GiB and {large} of 2 MiB"
    if not 512 <= faults <= 540:
        return f"{faults} nested faults for 512 pages of 2 MiB"
    return None if _share(machine) == 99 else f"{_share(machine)}% in large pages"


def _all_small(machine):
    huge, large, small = _leaves(machine)
    faults = _faults(machine, 1 << 18)
    if huge or large or small < 1 << 18 or faults < 1 << 18:
        return f"{huge} leaves of 1 GiB, {large} of 2 MiB and {small} of 4 KiB after {faults} nested faults"
    return None if _share(machine) == 0 else f"{_share(machine)}% in large pages"


def _gigabyte(name, look, **properties):
    return Case(name, config(partition("g", "guest:gigabyte", startup_mib=2056, **properties)),
                [expect(r"^\[g\] gigabyte: written", 180), call(look), expect(r"^\[g\] gigabyte: done, 0 faults, 0 failures", 60)],
                forbid=(r"FAIL",), timeout_s=300, memory_mib=3584)


CASES = [_gigabyte("whole", _one_gigabyte), _gigabyte("small", _all_small, small_pages=True)]
