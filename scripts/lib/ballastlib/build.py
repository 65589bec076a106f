# SPDX-License-Identifier: Apache-2.0
"""scripts/build: set-up when needed, then CMake's preset and Ninja. Incremental; compile_commands.json at the top."""
import os
import shutil

from . import setup
from .paths import ROOT, preset_dir, show
from .say import Failure, run, step

PRESETS = ("gcc", "clang")
# What a boot needs, without the unit tests.
PRODUCT = ("product",)


def configure(preset):
    folder = preset_dir(preset)
    if (folder / "build.ninja").exists():
        return  # Ninja itself runs CMake again when a CMake file changed
    launcher = []
    if shutil.which("ccache"):
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    with step(f"configuring {show(folder)}"):
        run(["cmake", "--preset", preset, *launcher], cwd=ROOT)


def build(preset="gcc", targets=()):
    """Builds a preset (everything, or the named targets) and returns its directory."""
    setup.setup()
    configure(preset)
    folder = preset_dir(preset)
    with step(f"building {show(folder)}{' (' + ' '.join(targets) + ')' if targets else ''}"):
        run(["ninja", "-C", folder, *targets], quiet=False, what=f"build with {preset}")
    link = ROOT / "compile_commands.json"
    if preset == "gcc" and not link.exists():
        link.unlink(missing_ok=True)
        os.symlink(os.path.relpath(folder / "compile_commands.json", ROOT), link)
    return folder


def entry(arguments):
    if "-h" in arguments or "--help" in arguments:
        print("usage: scripts/build [gcc|clang] [TARGET...]     builds into build/<preset>; gcc is the default")
        return 0
    preset = arguments.pop(0) if arguments and arguments[0] in PRESETS else "gcc"
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise Failure(f"unknown option {options[0]}; usage: scripts/build [gcc|clang] [TARGET...]")
    build(preset, arguments)
    return 0
