# SPDX-License-Identifier: Apache-2.0
"""scripts/run as a user types it: what it shows, and the status that tells a script how the partitions ended."""
import re
import shutil
import subprocess

from ballastlib.cases import Command, config, partition
from ballastlib.paths import ROOT, preset_dir

_LIMIT_S = 150  # for a run that should have ended by itself


def _run(bed, folder, text, *words, typed=""):
    """(exit status, what is on stdout) of scripts/run, called from elsewhere with the configuration's relative path."""
    (folder / "case.dts").write_text(text)
    command = [ROOT / "scripts/run", "--bed", bed, "--config", "case.dts", *words]
    done = subprocess.run([str(word) for word in command], cwd=folder, input=typed, text=True, errors="replace", capture_output=True,
                          timeout=3 * _LIMIT_S)
    return done.returncode, done.stdout


def _missing(output, *patterns):
    return [pattern for pattern in patterns if not re.search(pattern, output, re.MULTILINE)]


def _statuses(bed, folder):
    """0: all off, 1: one crashed, 2: time is up, 3: nothing could run."""
    images = folder / "images"
    images.mkdir()
    for guest in ("halt", "modules", "steady", "triple-fault"):
        shutil.copy(preset_dir("gcc") / "tests/guests" / guest, images / guest)

    def guest(name, **properties):
        return partition(name, f"images/{name}", startup_mib=16, **properties)  # relative to the configuration

    runs = [
        (0, [guest("modules")], ["--timeout", _LIMIT_S], "", [r"^\[modules\] modules: done, ", r"^ballast: all partitions ended: off"]),
        (0, [guest("halt")], ["--timeout", _LIMIT_S], "stop halt off\n", [r"^\[halt\] halt: now", r"^ballast: partition halt: turned off"]),
        (1, [guest("triple-fault", command_line="i")], ["--timeout", _LIMIT_S], "", [r"^ballast: all partitions ended: crashed"]),
        (2, [guest("steady")], ["--timeout", 25], "", [r"^\[steady\] steady 1"]),
        (3, [guest("steady")], ["--timeout", _LIMIT_S, "--memory", 176], "", [r"^ballast: loader: error: this machine has"]),
    ]
    wrong = []
    for status, nodes, words, typed, patterns in runs:
        found, output = _run(bed, folder, config(*nodes), *words, typed=typed)
        if found != status:
            wrong.append(f"status {found} instead of {status}")
        wrong += [f"nothing on stdout matches {pattern}" for pattern in _missing(output, *patterns)]
    return "; ".join(wrong) or None


CASES = [Command("run-status", _statuses)]
