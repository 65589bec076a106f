# SPDX-License-Identifier: Apache-2.0
"""The loader's refusals: each names the file and what to do, and stops."""
from ballastlib.cases import Case, config, expect, stock

_ANY = config(stock())


def _refused(name, files, pattern, **machine):
    return Case(name, _ANY, [expect(pattern, 90)], ends="broken", files=files, **machine)


CASES = [
    _refused("missing-hypervisor", {"/ballast/hv.elf": None}, r"^ballast: loader: error: /ballast/hv\.elf: not found"),
    _refused("damaged-hypervisor", {"/ballast/hv.elf": b"\x7fELF" + bytes(200)}, r"^ballast: loader: error: /ballast/hv\.elf: damaged"),
    _refused("missing-configuration", {"/ballast/ballast.dtb": None}, r"^ballast: loader: error: /ballast/ballast\.dtb: not found"),
    _refused("damaged-configuration", {"/ballast/ballast.dtb": b"\xd0\x0d\xfe\xed" + bytes(100)},
             r"^ballast: loader: error: /ballast/ballast\.dtb: damaged"),
    _refused("no-virtualization", {}, r"^ballast: loader: error: this processor offers neither VMX nor SVM; use one that does", virtualization=False),
    _refused("too-little-memory", {}, r"^ballast: loader: error: this machine has 1\d\d MiB of usable memory .* at least 192 MiB; give it more",
             memory_mib=176),
]
