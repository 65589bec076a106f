# SPDX-License-Identifier: Apache-2.0
"""For the tests of this folder: the commands' package on the path, and a machine without an emulator."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from ballastlib import beds, machine  # noqa: E402


def fake(scenario, **options):
    def command(hardware, disk, com1, folder):
        return [sys.executable, str(HERE / "fake_machine.py"), com1, scenario], None
    return machine.Machine(beds.Hardware(), None, command=command, **options)
