# SPDX-License-Identifier: Apache-2.0
"""A guest that debugs itself (tests/guests/debug-registers.asm): its breakpoints, single steps and DR6 are what the manuals say."""
from ballastlib.cases import Case, call, config, expect, partition

CASES = [
    Case("own", config(partition("self", "guest:debug-registers", startup_mib=16)),
         [call(lambda machine: machine.expect(r"^\[self\] debug-registers: done, \d+ faults, 0 failures", 120, stop=r"FAIL") and None),
          expect(r"^ballast: partition self: powered off", 20)],
         forbid=(r"FAIL",), timeout_s=180),
]
