# SPDX-License-Identifier: Apache-2.0
"""scripts/setup: everything a build and a run need, fetched once. Each step looks first and is silent when done.

Zydis comes from its Debian source package (the binary package is a shared library, useless to a kernel), the guest's stock
kernel and Bochs 3.0 from packages that are unpacked under build/cache and not installed. The kernel's symbols are large and
only fetched when a debugger wants them: "scripts/setup symbols", or the test that steps through Linux. What the image itself knows
of its symbols is there without that.
"""
import shutil
import struct
import subprocess

from . import apt, bzimage, symbol_file
from .paths import BOCHS3, CACHE, GUEST_KERNEL, GUEST_KERNEL_SYMBOLS, preset_dir, show
from .say import Failure, note, run, step

PACKAGES = """
    gcc g++ clang libclang-rt-dev clang-format clang-tidy cmake ninja-build ccache nasm gnu-efi catch2 dpkg-dev
    libfdt-dev device-tree-compiler libzycore-dev libjsmn-dev
    mtools dosfstools gdisk cpio kmod busybox-static xz-utils lz4 zstd
    qemu-system-x86 ovmf bochs bochs-x bochsbios xvfb acpica-tools gdb git
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
        package = next((name for name in archive.depends("linux-image-cloud-amd64") if name.startswith("linux-image-")), None)
        if package is None:
            raise Failure("linux-image-cloud-amd64 depends on no kernel here: is this another Debian than 12?")
        file = archive.download(package, CACHE / "debs")
        shutil.rmtree(GUEST_KERNEL, ignore_errors=True)
        run(["dpkg-deb", "-x", file, GUEST_KERNEL])
        run(["/sbin/depmod", "-b", GUEST_KERNEL, guest_kernel_version()])
        note(f"stock guest kernel: {guest_kernel_version()}")


def guest_kernel_package_version():
    """The Debian version of the unpacked stock kernel, as the kernel itself tells it ("6.1.192-2"), or None."""
    release = guest_kernel_version()
    if not release:
        return None
    image = (GUEST_KERNEL / "boot" / f"vmlinuz-{release}").read_bytes()
    at = struct.unpack_from("<H", image, 0x20E)[0] + 0x200  # x86 boot protocol, kernel_version
    text = image[at:image.index(b"\0", at)].decode(errors="replace")
    words = text.split()
    return words[words.index("Debian") + 1] if "Debian" in words else None


def guest_kernel_symbols():
    """Debian's vmlinux of the stock kernel with debug information, or None when it is not fetched."""
    file = GUEST_KERNEL_SYMBOLS / f"vmlinux-{guest_kernel_version()}"
    return file if file.is_file() else None


def _unpack_one(deb, member, into):
    """One file of a package, without unpacking the rest (the debug package would take three times the room)."""
    into.parent.mkdir(parents=True, exist_ok=True)
    part = into.with_suffix(into.suffix + ".part")
    with open(part, "wb") as file, subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE,
                                                    stderr=subprocess.DEVNULL) as package:
        done = subprocess.run(["tar", "-x", "-O", "--occurrence=1", "-f", "-", member], stdin=package.stdout, stdout=file,
                              stderr=subprocess.PIPE, text=True)
        package.stdout.close()  # it need not write what nobody reads
    if done.returncode != 0 or part.stat().st_size == 0:
        part.unlink()
        raise Failure(f"{deb.name} holds no {member}: {done.stderr.strip()[-200:]}")
    part.rename(into)


_OUR_KERNEL = """\
A kernel of ours has symbols with lines and types; scripts/build makes it. In two terminals:
    ./scripts/run --config scripts/lib/debug.dts --gdb 1234        # then type there: start pvh
    gdb -ex 'target extended-remote :1234' -ex 'detach' -ex 'attach 2' {}"""


def fetch_symbols():
    """The stock kernel's vmlinux from Debian's debug package of exactly its version. A note says why when it is not to be had;
    then guest_kernel_symbols() stays None."""
    fetch_guest_kernel()
    release, version = guest_kernel_version(), guest_kernel_package_version()
    failed = GUEST_KERNEL_SYMBOLS / "failed"
    if guest_kernel_symbols() or (failed.exists() and failed.read_text().startswith(f"{release} {version}\n")):
        return
    GUEST_KERNEL_SYMBOLS.mkdir(parents=True, exist_ok=True)
    for old in GUEST_KERNEL_SYMBOLS.glob("vmlinux-*"):
        old.unlink()
    try:
        with step("fetching the stock guest kernel's symbols (280 MB to fetch, 590 MB kept)"):
            lines = [line.replace("deb-src ", "deb ", 1) for line in apt.source_lines()]
            archive = apt.PrivateApt(CACHE / "apt-binary", lines)
            archive.update()
            deb = archive.download(f"linux-image-{release}-dbg", GUEST_KERNEL_SYMBOLS, version)
            fresh = GUEST_KERNEL_SYMBOLS / f"new-{release}"
            _unpack_one(deb, f"./usr/lib/debug/boot/vmlinux-{release}", fresh)
            deb.unlink()
            run(["gdb-add-index", fresh])  # gdb reads it in a third of the time
            fresh.rename(GUEST_KERNEL_SYMBOLS / f"vmlinux-{release}")
    except Failure as failure:
        note(f"the stock kernel's symbols are not to be had: {failure}")
        failed.write_text(f"{release} {version}\n{failure}\n")


def image_symbols_file():
    """Where image_symbols() puts its file."""
    return GUEST_KERNEL_SYMBOLS / "from-image" / f"vmlinux-{guest_kernel_version()}"


def image_symbols():
    """A file for gdb made, anew, from the stock kernel's image: functions and variables, stacks, no lines and no types. Failure when the
    image knows no symbols.
    """
    fetch_guest_kernel()
    release, file = guest_kernel_version(), image_symbols_file()
    with step("reading the symbols in the stock guest kernel's image"):
        try:
            content = symbol_file.make(bzimage.unpack(GUEST_KERNEL / "boot" / f"vmlinuz-{release}"))
        except Failure as failure:
            raise Failure(f"vmlinuz-{release}: {failure}\n{_OUR_KERNEL.format(show(preset_dir('gcc') / 'tests/guests/debug/kernel64'))}") from None
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(content)
        part.rename(file)
    return file


def fetch_bochs3():
    """Debian 13's Bochs, unpacked with its libraries; without it the bed falls back to the installed Bochs 2.7."""
    if any(BOCHS3.glob("usr/lib/**/libbx_x_gui.so")) or (BOCHS3 / "failed").exists():
        return
    try:
        with step("fetching Bochs 3.0 (unpacked, not installed)"):
            archive = apt.PrivateApt(CACHE / "apt-trixie", apt.other_release_lines("trixie"), nothing_installed=True)
            archive.update()
            shutil.rmtree(CACHE / "bochs3.tmp", ignore_errors=True)
            for file in archive.download_closure(["bochs", "bochs-x", "bochsbios", "vgabios"]):
                run(["dpkg-deb", "-x", file, CACHE / "bochs3.tmp"])
            shutil.rmtree(BOCHS3, ignore_errors=True)  # one without what is needed now
            (CACHE / "bochs3.tmp").rename(BOCHS3)
            shutil.rmtree(CACHE / "apt-trixie")
    except Failure as failure:
        note(f"Bochs 3.0 is not to be had, Bochs 2.7 is used instead until scripts/setup is called again: {failure}")
        BOCHS3.mkdir(parents=True, exist_ok=True)
        (BOCHS3 / "failed").write_text(str(failure))


_STEPS = {"zydis": fetch_zydis, "kernel": fetch_guest_kernel, "bochs": fetch_bochs3}
_ON_DEMAND = {"symbols": fetch_symbols}


def setup(only=None):
    """Makes the machine ready; `only` names one step after the packages: "zydis", "kernel", "bochs", or "symbols", which is
    not among those that run without a name."""
    CACHE.mkdir(parents=True, exist_ok=True)
    install_packages()
    for name, action in _STEPS.items() if only is None else [(only, {**_STEPS, **_ON_DEMAND}[only])]:
        action()


def _symbols(from_image):
    """The command "symbols": prints which file gdb takes."""
    file = None
    if not from_image:
        (GUEST_KERNEL_SYMBOLS / "failed").unlink(missing_ok=True)  # a person asks: try again
        setup("symbols")
        file = guest_kernel_symbols()
    if file:
        note(f"symbols of the stock guest kernel: {show(file)}")
        return
    note("what the image carries is used: functions, variables and their addresses, but no source lines, no types, no arguments")
    note(f"symbols of the stock guest kernel: {show(image_symbols())}")


def entry(arguments):
    if "-h" in arguments or "--help" in arguments:
        print("usage: scripts/setup                          installs and fetches what a build and a run need (idempotent)\n"
              "       scripts/setup symbols [--from-image]   makes the stock guest kernel's vmlinux for gdb instead: Debian's with debug\n"
              "                                              information (280 MB); where that is not to be had, or with --from-image,\n"
              "                                              what the kernel's image carries, without lines and types")
        return 0
    symbols = ["symbols", "--from-image"]
    for at, word in enumerate(arguments):
        if symbols[at:at + 1] != [word]:
            raise Failure(f"unknown argument {word}; scripts/setup takes none, or symbols [--from-image]")
    if arguments:
        _symbols(from_image=len(arguments) == 2)
        return 0
    (BOCHS3 / "failed").unlink(missing_ok=True)  # a person asks: try again
    setup()
    note(f"set-up complete ({show(CACHE)})")
    return 0
