# SPDX-License-Identifier: Apache-2.0
"""The disk a machine boots: GPT, one EFI system partition with the loader, the hypervisor, the configuration and the images.

A configuration (.dts) names images as files of this machine, relative to itself; on the disk they become /images/N-NAME.
These names stand for files that the build makes or fetches: "stock:vmlinuz" (Debian's kernel), "stock:vmlinux" (the same,
unpacked, for PVH), "stock:initramfs" (ours for it) and "guest:NAME" (a payload of tests/guests). No root rights and no loop
devices: mtools writes into the partition.
"""
import os
import re
import tempfile
from pathlib import Path

from . import fdt, initramfs, setup, vmlinux
from .paths import GUEST_KERNEL, preset_dir, show
from .say import Failure, run

_IMAGE_PROPERTIES = ("kernel", "initrd", "modules")
_MIB = 1 << 20
_ESP_START = 1 * _MIB
_MIN_ESP_MIB = 280      # FAT32 with 4 KiB clusters needs 65525 of them; the file is sparse
_CYLINDER = 16 * 63 * 512  # Bochs cuts a disk to whole cylinders, and the GPT's second header is at its end


def resolve(name: str, folder: Path, preset: str) -> Path:
    """The file an image path of a configuration stands for."""
    kind, _, rest = name.partition(":")
    if kind == "stock" and rest == "vmlinuz":
        version = setup.guest_kernel_version()
        if not version:
            raise Failure("the stock guest kernel is missing: run scripts/setup")
        return GUEST_KERNEL / "boot" / f"vmlinuz-{version}"
    if kind == "stock" and rest == "initramfs":
        return initramfs.build(preset)
    if kind == "stock" and rest == "vmlinux":
        return vmlinux.build(preset)
    if kind == "stock":
        raise Failure(f'"{name}": only stock:vmlinuz, stock:vmlinux and stock:initramfs exist')
    path = preset_dir(preset) / "tests/guests" / rest if kind == "guest" else folder / name
    if not path.is_file():
        raise Failure(f'image "{name}": {show(path)} ' + ("is no file" if path.exists() else "does not exist"))
    return path


def need_configuration(dts: Path):
    """A Failure when it is not there: commands look before they build."""
    if not dts.is_file():
        raise Failure(f"configuration {dts} " + ("is no file" if dts.exists() else "does not exist"))


def compile_configuration(dts: Path) -> fdt.Node:
    """Runs dtc on a configuration; its messages (with line and column) are the error."""
    need_configuration(dts)
    with tempfile.TemporaryDirectory() as folder:
        blob = Path(folder) / "ballast.dtb"
        run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-i", dts.resolve().parent, "-o", blob, dts], what=f"dtc {dts}")
        return fdt.parse(blob.read_bytes())


def debugger_com(root: fdt.Node) -> int:
    """The number of the serial port that the configuration gives to the debugger; a Failure that names the key when it gives none."""
    host = root.child("host")
    named = host.strings("debugger") if host else []
    if not named or named[0] not in ("com2", "com3", "com4"):
        raise Failure('the configuration gives no serial port to a debugger: add  debugger = "com3";  to its host node')
    return int(named[0][3])


def place_images(root: fdt.Node, folder: Path, preset: str):
    """Rewrites the partitions' image paths to ESP paths; returns {ESP path: file}. A file named twice is placed once."""
    placed = {}
    partitions = root.child("partitions")
    for partition in partitions.children if partitions else []:
        for name in _IMAGE_PROPERTIES:
            if name not in partition.properties:
                continue
            paths = []
            where = f"partition {partition.name}, key {name}"
            texts = partition.strings(name)
            if not texts or not all(texts) or partition.properties[name][-1] != 0:
                raise Failure(f'{where}: wants a name in quotes, "file", "stock:NAME" or "guest:NAME"')
            for text in texts:
                try:
                    file = resolve(text, folder, preset).resolve()
                except Failure as failure:
                    raise Failure(f"{where}: {failure}") from None
                place = next((known for known, other in placed.items() if other == file), None)
                if place is None:
                    short = re.sub(r"[^A-Za-z0-9._-]", "_", file.name)[-48:]
                    place = f"/images/{len(placed)}-{short}"
                    placed[place] = file
                paths.append(place)
            partition.set_strings(name, paths)
    return placed


def make_disk(disk: Path, files):
    """Writes a GPT disk with one ESP holding `files`: {absolute ESP path: file or bytes}."""
    content = sum(len(source) if isinstance(source, bytes) else source.stat().st_size for source in files.values())
    esp_mib = max(_MIN_ESP_MIB, content * 21 // 20 // _MIB + 16)
    size = -(-(_ESP_START + (esp_mib + 1) * _MIB) // _CYLINDER) * _CYLINDER
    disk.parent.mkdir(parents=True, exist_ok=True)
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as file:
        file.truncate(size)
    run(["/sbin/sgdisk", "--clear", f"--new=1:{_ESP_START // 512}:+{esp_mib}M", "--typecode=1:ef00",
         "--change-name=1:ballast", disk])
    run(["/sbin/mkfs.fat", "-F", "32", "-s", "8", "-n", "BALLAST", "--offset", str(_ESP_START // 512), disk, str(esp_mib * 1024)])
    place = f"{disk}@@{_ESP_START}"
    environment = dict(os.environ, MTOOLS_SKIP_CHECK="1")
    made = set()
    with tempfile.TemporaryDirectory() as folder:
        for number, (path, source) in enumerate(files.items()):
            parents = [str(parent) for parent in reversed(Path(path).parents) if str(parent) != "/"]
            for parent in parents:
                if parent not in made:
                    run(["mmd", "-i", place, f"::{parent}"], env=environment)
                    made.add(parent)
            if isinstance(source, bytes):
                file = Path(folder) / str(number)
                file.write_bytes(source)
                source = file
            run(["mcopy", "-i", place, source, f"::{path}"], env=environment)


def build_disk(dts: Path, disk: Path, preset="gcc") -> fdt.Node:
    """Makes the disk for a configuration; returns the configuration as written on it."""
    root = compile_configuration(dts)
    images = place_images(root, dts.resolve().parent, preset)
    built = preset_dir(preset)
    files = {"/EFI/BOOT/BOOTX64.EFI": built / "boot/efi/BOOTX64.EFI", "/ballast/hv.elf": built / "hv/init/hv.elf"}
    for file in files.values():
        if not file.is_file():
            raise Failure(f"{show(file)} is missing: run scripts/build {preset}")
    # Symbols stay for the hypervisor's traces; debug data would only make the loader read six times as much.
    with tempfile.NamedTemporaryFile() as stripped:
        run(["objcopy", "--strip-debug", files["/ballast/hv.elf"], stripped.name])
        files["/ballast/hv.elf"] = Path(stripped.name).read_bytes()
    files["/ballast/ballast.dtb"] = fdt.serialise(root)
    files.update(images)
    make_disk(disk, files)
    return root
