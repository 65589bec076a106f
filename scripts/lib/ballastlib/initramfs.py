# SPDX-License-Identifier: Apache-2.0
"""The stock kernel's initramfs ("stock:initramfs"): made by guest-tools/initramfs/make.sh when one of its inputs changed."""
import threading
from pathlib import Path

from . import setup
from .paths import GUEST_KERNEL, ROOT, preset_dir
from .say import Failure, run, step

_SOURCE = ROOT / "guest-tools/initramfs"
_lock = threading.Lock()  # both beds' tests want it at the same time


def build(preset) -> Path:
    folder = preset_dir(preset) / "guest-tools"
    programs = [folder / "measure" / name for name in ("memload", "portio")]
    for program in programs:
        if not program.is_file():
            raise Failure(f"{program} is missing: run scripts/build {preset}")
    version = setup.guest_kernel_version()
    if not version:
        raise Failure("the stock guest kernel is missing: run scripts/setup")
    output = folder / f"initramfs-{version}.cpio.gz"
    inputs = [_SOURCE / "make.sh", _SOURCE / "init", *programs, GUEST_KERNEL / "lib/modules" / version / "modules.dep"]
    with _lock:
        if output.exists() and all(file.stat().st_mtime <= output.stat().st_mtime for file in inputs):
            return output
        with step("making the initramfs for the stock kernel"):
            run([_SOURCE / "make.sh", GUEST_KERNEL, output, *programs])
    return output
