# SPDX-License-Identifier: Apache-2.0
"""The loader's refusals: each names the file and what to do, and stops."""
from ballastlib.cases import Case, config, expect, stock

_ANY = config(stock())


def _refused(name, files, pattern):
    return Case(name, _ANY, [expect(pattern, 90)], ends="broken", files=files)


CASES = [
    _refused("missing-hypervisor", {"/ballast/hv.elf": None}, r"^ballast: loader: error: /ballast/hv\.elf: not found"),
    _refused("damaged-hypervisor", {"/ballast/hv.elf": b"\x7fELF" + bytes(200)}, r"^ballast: loader: error: /ballast/hv\.elf: damaged"),
    _refused("missing-configuration", {"/ballast/ballast.dtb": None}, r"^ballast: loader: error: /ballast/ballast\.dtb: not found"),
    _refused("damaged-configuration", {"/ballast/ballast.dtb": b"\xd0\x0d\xfe\xed" + bytes(100)},
             r"^ballast: loader: error: /ballast/ballast\.dtb: damaged"),
]
