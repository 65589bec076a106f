# SPDX-License-Identifier: Apache-2.0
"""Debian's packages, without naming a mirror: every address comes from the machine's own apt configuration.

`install` uses the system's apt. `PrivateApt` is a configuration, package lists and cache of our own, for what must not be
installed: source packages and packages of another release.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from .say import Failure, note, run


def as_root(command):
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", *command]
    raise Failure("packages are missing and this is neither root nor a user with sudo: " + " ".join(map(str, command)))


def missing(packages):
    """Those of the packages that are not installed."""
    if not shutil.which("dpkg-query"):
        raise Failure("this is no Debian: scripts/setup installs packages with apt, and there is none here")
    listed = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"])
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def update():
    run(as_root(["apt-get", "update", "-qq"]), what="apt-get update")


_STATUS = re.compile(r"(dl|pm)status:.*?:([\d.]+):")


class Progress:
    """Tells how far apt is, from the lines of its APT::Status-Fd: each tenth of the download, then of the installation."""

    def __init__(self, say=note):
        self._say, self._told = say, {"dl": 0, "pm": 0}

    def take(self, line):
        """@return whether the line was one of those."""
        match = _STATUS.match(line)
        if not match:
            return False
        kind, tenth = match.group(1), int(float(match.group(2)) // 10)
        if tenth > self._told[kind]:
            self._told[kind] = tenth
            self._say(f"   {'downloaded' if kind == 'dl' else 'installed'} {10 * tenth} %")
        return True


def install(packages):
    """Installs packages as root, telling how far it is."""
    # Standard output, for sudo passes no other file on.
    command = as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends",
                       "-o", "APT::Status-Fd=1", *packages])
    progress, rest = Progress(), []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as running:
        for line in running.stdout:
            if not progress.take(line):
                rest.append(line)
    if running.returncode != 0:
        raise Failure(f"apt-get install: failed with status {running.returncode}\n{''.join(rest[-30:])}".rstrip())


def archives():
    """The binary archives the machine uses: (uri, release, component), in their order."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"])
    found = []
    for line in listed.splitlines():
        entry = tuple(line.split("|"))
        if len(entry) == 3 and entry not in found:
            found.append(entry)
    if not found:
        raise Failure("apt knows no archive: /etc/apt/sources.list* is empty")
    return found


def source_lines():
    """deb-src lines for the archives the machine uses."""
    return [f"deb-src {uri} {release} {component}" for uri, release, component in archives()]


def other_release_lines(release):
    """deb lines for another Debian release on the mirror that serves the machine's own release."""
    codename = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        match = re.match(r'VERSION_CODENAME="?(\w+)', line)
        codename = match.group(1) if match else codename
    uris = [uri for uri, suite, component in archives() if component == "main" and suite in (codename, "stable")]
    if not uris:
        raise Failure("no archive of Debian's main component in apt's configuration")
    return [f"deb {uris[0]} {release} main"]


class PrivateApt:
    """apt with its own sources, lists, cache and (optionally empty) package status, in `folder`."""

    def __init__(self, folder: Path, lines, *, nothing_installed=False):
        self.folder = folder
        self._warnings = ""
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        listing = folder / "sources.list"
        listing.write_text("".join(f"{line}\n" for line in self._signed(lines)))
        self.options = [
            "-o", f"Dir::Etc::sourcelist={listing}", "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}",
            "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=root",
            "-o", "Debug::NoLocking=1",
        ]
        if nothing_installed:
            (folder / "status").write_text("")
            self.options += ["-o", f"Dir::State::status={folder / 'status'}"]

    @staticmethod
    def _signed(lines):
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        if not keyring.exists():
            return lines
        return [line.replace(" ", f" [signed-by={keyring}] ", 1) for line in lines]

    def update(self):
        """Fetches the lists. apt only warns of those that it cannot have: others may do, or what it had before."""
        self._warnings = run(["apt-get", *self.options, "update", "-qq"], what=f"apt-get update in {self.folder}").strip()

    def _run(self, command, **options):
        """run(); what fails behind an update that warned fails for its reason, such as a network that is not there."""
        try:
            return run(command, **options)
        except Failure as failure:
            raise Failure(f"{failure}\n{self._warnings}".rstrip()) from None

    def source(self, package, into: Path):
        """Downloads and unpacks a source package; returns its directory."""
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        self._run(["apt-get", *self.options, "source", "-qq", package], cwd=into, what=f"apt-get source {package}")
        folders = [entry for entry in into.iterdir() if entry.is_dir()]
        if len(folders) != 1:
            raise Failure(f"apt-get source {package} left {len(folders)} directories in {into}")
        return folders[0]

    def download(self, package, into: Path, version=None):
        """Downloads one binary package, of this very version if told, into a folder and returns the file."""
        into.mkdir(parents=True, exist_ok=True)
        for old in into.glob(f"{package}_*.deb"):
            old.unlink()
        exact = f"{package}={version}" if version else package
        self._run(["apt-get", *self.options, "download", "-qq", exact], cwd=into, what=f"apt-get download {exact}")
        return next(into.glob(f"{package}_*.deb"))

    def download_closure(self, packages):
        """Downloads packages with everything they depend on; returns the files."""
        self._run(["apt-get", *self.options, "install", "-qq", "-y", "--download-only", *packages],
                  what="apt-get install --download-only " + " ".join(packages))
        return sorted((self.folder / "cache/archives").glob("*.deb"))

    def depends(self, package):
        """The packages one package depends on directly."""
        listed = self._run(["apt-cache", *self.options, "depends", "--important", package], what=f"apt-cache depends {package}")
        return [line.split()[-1] for line in listed.splitlines() if line.strip().startswith("Depends:")]
