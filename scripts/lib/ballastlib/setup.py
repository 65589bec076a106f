# SPDX-License-Identifier: Apache-2.0
"""scripts/setup: everything a build and a run need, fetched once. Each step looks first and is silent when done.

Zydis comes from its Debian source package (the binary package is a shared library, useless to a kernel), the guest's stock
kernel and Bochs 3.0 from packages that are unpacked under build/cache and not installed.
"""
import shutil

from . import apt
from .paths import BOCHS3, CACHE, GUEST_KERNEL, show
from .say import Failure, note, run, step

PACKAGES = """
    gcc g++ clang clang-format clang-tidy cmake ninja-build ccache nasm gnu-efi catch2 dpkg-dev
    libfdt-dev device-tree-compiler libzycore-dev libjsmn-dev
    mtools dosfstools gdisk cpio kmod busybox-static xz-utils
    qemu-system-x86 ovmf bochs bochsbios acpica-tools gdb git
""".split()


def install_packages():
    wanted = apt.missing(PACKAGES)
    if not wanted:
        return
    with step(f"installing {len(wanted)} Debian packages ({' '.join(wanted)})"):
        try:
            apt.install(wanted)
        except Failure:
            apt.update()  # lists of an older day name files that are gone
            apt.install(wanted)


def zydis_folder():
    found = sorted(entry for entry in CACHE.glob("zydis-*") if (entry / "include/Zydis/Zydis.h").exists())
    return found[-1] if found else None


def fetch_zydis():
    if zydis_folder():
        return
    with step("fetching the source of zydis"):
        source = apt.PrivateApt(CACHE / "apt-source", apt.source_lines())
        source.update()
        folder = source.source("zydis", CACHE / "zydis.tmp")
        folder.rename(CACHE / folder.name)
        shutil.rmtree(CACHE / "zydis.tmp")


def guest_kernel_version():
    """The release of the unpacked stock kernel, or None."""
    images = sorted(GUEST_KERNEL.glob("boot/vmlinuz-*"))
    return images[-1].name.removeprefix("vmlinuz-") if images else None


def fetch_guest_kernel():
    version = guest_kernel_version()
    if version and (GUEST_KERNEL / "lib/modules" / version / "modules.dep").exists():
        return
    with step("fetching the stock guest kernel"):
        lines = [line.replace("deb-src ", "deb ", 1) for line in apt.source_lines()]
        archive = apt.PrivateApt(CACHE / "apt-binary", lines)
        archive.update()
        package = next(name for name in archive.depends("linux-image-cloud-amd64") if name.startswith("linux-image-"))
        file = archive.download(package, CACHE / "debs")
        shutil.rmtree(GUEST_KERNEL, ignore_errors=True)
        run(["dpkg-deb", "-x", file, GUEST_KERNEL])
        run(["/sbin/depmod", "-b", GUEST_KERNEL, guest_kernel_version()])
        note(f"stock guest kernel: {guest_kernel_version()}")


def fetch_bochs3():
    """Debian 13's Bochs, unpacked with its libraries; without it the bed falls back to the installed Bochs 2.7."""
    if (BOCHS3 / "usr/bin/bochs-bin").exists() or (BOCHS3 / "failed").exists():
        return
    try:
        with step("fetching Bochs 3.0 (unpacked, not installed)"):
            archive = apt.PrivateApt(CACHE / "apt-trixie", apt.other_release_lines("trixie"), nothing_installed=True)
            archive.update()
            shutil.rmtree(CACHE / "bochs3.tmp", ignore_errors=True)
            for file in archive.download_closure(["bochs", "bochsbios", "vgabios"]):
                run(["dpkg-deb", "-x", file, CACHE / "bochs3.tmp"])
            for plugin in (CACHE / "bochs3.tmp").glob("usr/lib/**/libbx_sdl2_gui.so"):
                plugin.unlink()  # it would pull in a display
            (CACHE / "bochs3.tmp").rename(BOCHS3)
            shutil.rmtree(CACHE / "apt-trixie")
    except Failure as failure:
        note(f"Bochs 3.0 is not to be had, Bochs 2.7 is used instead: {failure}")
        BOCHS3.mkdir(parents=True, exist_ok=True)
        (BOCHS3 / "failed").write_text(str(failure))


def setup(only=None):
    """Makes the machine ready; `only` names one step ("zydis", "kernel", "bochs") after the packages."""
    CACHE.mkdir(parents=True, exist_ok=True)
    steps = {"zydis": fetch_zydis, "kernel": fetch_guest_kernel, "bochs": fetch_bochs3}
    install_packages()
    for name, action in steps.items():
        if only in (None, name):
            action()


def entry(arguments):
    if arguments and arguments[0] in ("-h", "--help"):
        print("usage: scripts/setup        installs and fetches what a build and a run need (idempotent)")
        return 0
    if arguments:
        raise Failure(f"unknown argument {arguments[0]}; scripts/setup takes none")
    setup()
    note(f"set-up complete ({show(CACHE)})")
    return 0
