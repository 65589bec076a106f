# SPDX-License-Identifier: Apache-2.0
"""The stock kernel as an uncompressed ELF file ("stock:vmlinux"), cut out of its bzImage: what the PVH protocol boots."""
import threading

from . import bzimage, setup
from .paths import GUEST_KERNEL, preset_dir
from .say import Failure, step

_lock = threading.Lock()  # both beds' tests want it at the same time


def build(preset):
    """The file, made when the kernel is another."""
    version = setup.guest_kernel_version()
    if not version:
        raise Failure("the stock guest kernel is missing: run scripts/setup")
    source = GUEST_KERNEL / "boot" / f"vmlinuz-{version}"
    output = preset_dir(preset) / "guest-tools" / f"vmlinux-{version}"
    with _lock:
        if output.is_file() and output.stat().st_mtime >= source.stat().st_mtime:
            return output
        with step("unpacking the stock kernel"):
            unpacked = bzimage.unpack(source)
            output.parent.mkdir(parents=True, exist_ok=True)
            part = output.with_suffix(".part")
            part.write_bytes(unpacked)
            part.rename(output)
    return output
