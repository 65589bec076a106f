# SPDX-License-Identifier: Apache-2.0
"""Where things lie in the tree. Everything made by a command is under build/."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build"
CACHE = BUILD / "cache"
RUNS = BUILD / "runs"

GUEST_KERNEL = CACHE / "guest-kernel"
GUEST_KERNEL_SYMBOLS = CACHE / "guest-kernel-symbols"
BOCHS3 = CACHE / "bochs3"


def preset_dir(preset: str) -> Path:
    """The build directory of a CMake preset ("gcc" or "clang")."""
    return BUILD / preset


def show(path: Path) -> str:
    """A path as a person wants to read it: relative to the tree when it is inside."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)
