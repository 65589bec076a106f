# SPDX-License-Identifier: Apache-2.0
"""The hypervisor breaks its own rules on demand (hv/init/cpu/provoke.hpp): its page tables catch it, the trace names the place, and
the machine stops."""
from ballastlib.cases import Case, config, expect, partition, send

_GUEST = config(partition("good", "guest:steady", startup_mib=16))


def _caught(kind, said, place, error_code=None):
    """error_code: of the page fault, SDM vol 3A "Page-Fault Exceptions": 1 present, 2 write, 10h instruction fetch."""
    steps = [expect(r"^\[good\] steady 1$", 120), send(f"crash {kind}"), expect(rf"^ballast: PANIC: CPU 0: {said}", 30)]
    if error_code is not None:
        steps.append(expect(rf"^ballast:   rip .* err {error_code:x}$", 10))
    steps += [expect(rf"^ballast:   #0 [0-9a-f]+ hv::.*{place}\+", 10), expect(r"^ballast:   #\d+ [0-9a-f]+ hv::init::provoke\+", 10),
              expect(r"^ballast: PANIC: end of trace, the machine stops$", 10)]
    if place == "provoke":
        del steps[-2]
    return Case(kind, _GUEST, steps, ends="broken", panics=True, forbid=(r"the protection did not hold",), timeout_s=200)


CASES = [
    _caught("assert", r"hv/init/cpu/provoke\.cpp:\d+: assertion failed: kind", "provoke"),
    _caught("fault", "page fault", "provoke", 2),                # nothing is mapped at small addresses
    _caught("overflow", r"double fault \(stack overflow\)", "descend"),
    _caught("write-code", "page fault", "provoke", 3),           # code is not writable …
    _caught("write-code-alias", "page fault", "provoke", 3),     # … nor where all memory is mapped
    _caught("run-data", "page fault", "some_data", 0x11),        # data is not code
]
