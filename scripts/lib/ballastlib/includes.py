# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: parses #include lines and compares them with the table below (the build graph says the same by links).

Also the transitive project includes of a file, which decide when a check of it has to run again.
"""
import re
from functools import lru_cache

from .paths import ROOT

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Left to right: each may include those before it.
_SERVICES = ["debug", "platform", "hyperv", "vmbus", "dm", "paging", "partition", "mgmt", "gdb"]

# Folder: folders it may include besides its own. Longest match counts. Tests are free.
ALLOWED = {
    "boot/handoff": [],
    "hv/base": [],
    "hv/arch": ["hv/base"],
    "hv/mm": ["hv/base", "hv/arch"],
    "hv/core": ["hv/base", "hv/mm", "hv/arch"],
    "hv/vmx": ["hv/base", "hv/arch", "hv/mm", "hv/core"],
    "hv/svm": ["hv/base", "hv/arch", "hv/mm", "hv/core"],
    "hv/init": ["hv", "drivers", "boot/handoff"],
    "drivers": ["hv/base"],
    "boot/efi": ["boot/handoff"],
    "guest-tools": [],
}
for _index, _service in enumerate(_SERVICES):
    ALLOWED[f"hv/{_service}"] = ["hv/base", "hv/core", "hv/mm", "hv/arch", *(f"hv/{other}" for other in _SERVICES[:_index])]
# Interfaces that a module to the left implements: declarations only, no way around the order of the modules.
INTERFACES = {
    "hv/mm": ("hv/core/access.hpp", "hv/core/nested_map.hpp", "hv/core/virt_backend.hpp", "hv/core/guest_memory.hpp",
              "hv/core/guest_access.hpp"),
    "hv/partition": ("hv/mgmt/operator.hpp",),
}
# Wire layouts are shared with guest tools; the asm wrappers only with those that drive the hardware.
SHARED_SUFFIXES = ("_wire.hpp", "_abi.hpp")
OPS_USERS = ("hv/arch", "hv/vmx", "hv/svm", "hv/init")
FREESTANDING_ONLY = ("hv", "drivers")
HOSTED_HEADERS = {"string", "vector", "map", "unordered_map", "set", "deque", "list", "iostream", "sstream", "fstream", "ostream",
                  "istream", "memory", "functional", "mutex", "thread", "regex", "filesystem", "stdexcept"}


def sources():
    """The tree's own C++ files, relative to it."""
    found = []
    for top in ("boot", "hv", "drivers", "guest-tools", "tests"):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in (".hpp", ".cpp") and path.is_file():
                found.append(str(path.relative_to(ROOT)))
    return sorted(found)


@lru_cache(maxsize=None)
def direct(file):
    """[(is it "quoted", name)] of a file's includes."""
    return [(mark == '"', name) for mark, name in _INCLUDE.findall((ROOT / file).read_text(errors="replace"))]


@lru_cache(maxsize=None)
def closure(file):
    """The project files a file includes, itself among them."""
    seen, todo = set(), [file]
    while todo:
        current = todo.pop()
        if current in seen or not (ROOT / current).is_file():
            continue
        seen.add(current)
        todo += [name for quoted, name in direct(current) if quoted]
    return frozenset(seen)


def _module(file):
    return max((prefix for prefix in ALLOWED if file.startswith(prefix + "/")), key=len, default=None)


def complaints():
    """Every include that the table forbids, as lines for people."""
    found = []
    for file in sources():
        module = _module(file)
        if file.startswith("tests/") or module is None:
            continue
        hosted = file.endswith("_hosted.cpp")
        for quoted, name in direct(file):
            if not quoted:
                if name in HOSTED_HEADERS and not hosted and file.split("/")[0] in FREESTANDING_ONLY:
                    found.append(f"{file}: <{name}> is no freestanding header")
                continue
            if not (ROOT / name).is_file():
                found.append(f'{file}: "{name}" is not a path from the top of the tree')
                continue
            own = name.startswith(module + "/") or name in INTERFACES.get(module, ())
            if module == "guest-tools" and name.endswith(SHARED_SUFFIXES):
                continue
            if not own and not any(name.startswith(prefix + "/") for prefix in ALLOWED[module]):
                found.append(f'{file}: {module} may not include "{name}"')
            elif name.startswith("hv/arch/ops") and module not in OPS_USERS:
                found.append(f'{file}: {module} may not include "{name}": hv/arch/ops is for {", ".join(OPS_USERS)}')
    return found
