# SPDX-License-Identifier: Apache-2.0
"""Checks without running anything: formatting, include rules, headers that compile alone, clang-tidy.

The slow ones remember what has passed (by the content of a file and of all it includes) under build/cache/checked.
"""
import hashlib
import json
import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

from . import includes
from .paths import CACHE, ROOT, preset_dir


def formatting():
    """Why clang-format would change something, or None."""
    files = includes.sources()
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=ROOT, text=True, capture_output=True)
    if done.returncode == 0:
        return None
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "error:" in line})
    return f"{len(wrong)} files: clang-format -i {' '.join(wrong)}"


def include_rules():
    found = includes.complaints()
    return "\n     ".join([f"{len(found)} includes", *found]) if found else None


def _digest(kind, file, extra=""):
    digest = hashlib.sha256(f"{kind}\0{extra}\0".encode())
    for name in sorted(includes.closure(file)):
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def _passed(digest):
    return (CACHE / "checked" / digest).exists()


def _remember(digest):
    folder = CACHE / "checked"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / digest).touch()


def _commands(preset):
    """How the build compiles each source for the machine (or hosted, for what is only hosted): {relative path: words}."""
    commands = {}
    for entry in json.loads((preset_dir(preset) / "compile_commands.json").read_text()):
        file = os.path.relpath(entry["file"], ROOT)
        words = shlex.split(entry["command"])
        if file not in commands or "hv_" in entry.get("output", entry["command"]):
            commands[file] = [word for word in words if not word.endswith("ccache")]
    return commands


def _bare(words):
    """A compile command without its output and source."""
    kept, skip = [], False
    for word in words[:-1]:
        if skip:
            skip = False
        elif word == "-o":
            skip = True
        elif word != "-c":
            kept.append(word)
    return tuple(kept)


def _flag_sets(commands, file):
    """The different flags of the sources in the header's folder, or in the nearest folder above that has any."""
    folder = os.path.dirname(file)
    while folder:
        same = [_bare(words) for name, words in sorted(commands.items()) if name.startswith(folder + "/") and name.endswith(".cpp")]
        if same:
            return list(dict.fromkeys(same))
        folder = os.path.dirname(folder)
    return []


def headers_alone(preset="gcc"):
    """Why a header does not compile by itself, or None."""
    commands = _commands(preset)
    fallback = _flag_sets(commands, "hv/base/none.hpp")

    def one(file):
        digest = _digest("alone", file)
        if _passed(digest):
            return None
        done = None
        for flags in _flag_sets(commands, file) or fallback:  # a folder may hold sources of two programs: one must do
            done = subprocess.run([*flags, "-fsyntax-only", "-x", "c++", "-"], cwd=ROOT, input=f'#include "{file}"\n', text=True,
                                  capture_output=True)
            if done.returncode == 0:
                _remember(digest)
                return None
        return f"{file}: {next((line for line in done.stderr.splitlines() if 'error' in line), 'failed')}"

    headers = [file for file in includes.sources() if file.endswith(".hpp")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [text for text in pool.map(one, headers) if text]
    return "\n     ".join([f"{len(wrong)} of {len(headers)} headers", *wrong]) if wrong else None


def tidy(preset="clang"):
    """(why clang-tidy is not content or None, note)."""
    commands = _commands(preset)
    settings = (ROOT / ".clang-tidy").read_text()
    files = [file for file in includes.sources() if file.endswith(".cpp") and file in commands and not file.startswith("tests/")]
    todo = [file for file in files if not _passed(_digest("tidy", file, settings))]

    def one(file):
        done = subprocess.run(["clang-tidy", "--quiet", "-p", preset_dir(preset), file], cwd=ROOT, text=True, capture_output=True)
        if done.returncode == 0:
            _remember(_digest("tidy", file, settings))
            return None
        lines = [line for line in done.stdout.splitlines() if "error: " in line or "warning: " in line]
        return "\n     ".join(line.replace(f"{ROOT}/", "") for line in lines) or f"{file}: {done.stderr.strip()[-300:]}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [text for text in pool.map(one, todo) if text]
    note = f"{len(todo)} of {len(files)} files looked at" + (", the others are as they were" if len(todo) < len(files) else "")
    return ("\n     ".join([f"{len(wrong)} files", *wrong]) if wrong else None), note
