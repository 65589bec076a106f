# SPDX-License-Identifier: Apache-2.0
"""The interrupt controllers as a guest sees them (tests/guests/apics.asm)."""
from ballastlib.cases import Case, config, expect, partition

CASES = [
    Case("both-modes", config(partition("a", "guest:apics", startup_mib=16)),
         [expect(r"^\[a\] apics: xAPIC$", 120), expect(r"^\[a\] apics: x2APIC$", 60), expect(r"^\[a\] apics: xAPIC again$", 60),
          expect(r"^\[a\] apics: done, \d+ faults, 0 failures", 20)],
         forbid=(r"FAIL",), timeout_s=180),
]
