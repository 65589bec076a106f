# SPDX-License-Identifier: Apache-2.0
"""scripts/demo: a stock Debian guest whose memory follows its load, seen from Ballast's side and from the guest's."""
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import beds, build, console, image
from .arguments import Parser, seconds
from .machine import OFF, Expired, Machine
from .paths import RUNS, show
from .say import note

_CONFIG = Path(__file__).resolve().parents[1] / "demo.dts"
_PHASE = re.compile(r"^memload: (phase .*|waiting .*|done.*|CORRUPT.*)")
_TIMEOUT_S = {"qemu": 900, "kvm": 300, "bochs": 1200}


@dataclass
class Sample:
    """Both sides at one moment: Ballast's row and the guest's last state line."""
    at_s: float
    phase: str
    row: console.Row
    guest: console.GuestState | None


class Story:
    """What has happened so far, built from the console's lines."""

    def __init__(self):
        self.phase, self.guest, self.events = "boot", None, []
        self.samples, self.checks, self.corrupt = [], [], False
        self.rows = {}

    def take(self, line):
        """Notes one line; returns True when it was a guest's state line."""
        inside = console.guest_line(line.text)
        if inside:
            text = inside[1]
            state = console.guest_state(text)
            if state:
                self.guest = state
                return True
            match = _PHASE.match(text)
            if match:
                self.event(line, match.group(1))
                short = re.match(r"phase (\d+/\d+): (\d+ MiB) for", match.group(1))
                if short:
                    self.phase = f"load {short.group(2)}"
                self.corrupt |= match.group(1).startswith("CORRUPT")
            elif text.startswith("ballast-guest: up"):
                self.phase = "up"
                self.event(line, "the guest's user space is up")
            return False
        row = console.row(line.text)
        if row:
            self.rows[row.name] = row
            self.samples.append(Sample(line.at_s, self.phase, row, self.guest))
        match = re.match(console.CHECK, line.text)
        if match:
            self.checks.append(match.group(1) == "ok")
            self.event(line, line.text.removeprefix("ballast: "))
        return False

    def event(self, line, text):
        self.events.append((line.at_s, text))

    # -- the verdict -----------------------------------------------------------------------------------------------------
    def grew(self):
        """The first sample above startup that the guest has seen too, or None."""
        first = next((sample.guest for sample in self.samples if sample.guest), None)
        return next((s for s in self.samples if s.row.assigned > s.row.startup and s.guest and s.guest.total > first.total + 16), None)

    def fell(self):
        """The first sample after the growth that is below startup on both sides, or None."""
        grew = self.grew()
        first = next((sample.guest for sample in self.samples if sample.guest), None)
        return next((s for s in self.samples if grew and s.at_s > grew.at_s and s.row.assigned < s.row.startup
                     and s.guest and s.guest.total < first.total - 16), None)

    def findings(self, ended):
        """[(what was to be shown, whether it was, detail)]."""
        grew, fell = self.grew(), self.fell()
        most = max((s.row.assigned for s in self.samples), default=0)
        least = min((s.row.assigned for s in self.samples if grew and s.at_s > grew.at_s), default=0)
        over = [s for s in self.samples if s.row.assigned > s.row.maximum or s.row.assigned < s.row.minimum]
        return [
            ("growth past startup, seen by Ballast and the guest", grew is not None, f"most assigned {most} MiB"),
            ("a fall below startup, seen by Ballast and the guest", fell is not None, f"least assigned after it {least} MiB"),
            ("never outside minimum and maximum", not over and bool(self.samples), f"{len(self.samples)} samples"),
            ("memory invariants hold (check)", bool(self.checks) and all(self.checks), f"{sum(self.checks)} of {len(self.checks)} checks ok"),
            ("every page of the guest as written", not self.corrupt and any("every page as written" in text for _, text in self.events), ""),
            ("a clean power-off", ended == OFF, ended),
        ]


def _mib(value):
    return "-" if value is None else f"{value:.0f}"


_COLUMNS = "{:>8} {:>8}  {:<14} {:<9} {:>8} {:>7} {:>6} {:<13} {:>9} {:>9} {:>9} {:>7}"


def heading():
    return _COLUMNS.format("wall s", "guest s", "phase", "state", "assigned", "demand", "avail", "status", "MemTotal",
                           "MemAvail", "ballooned", "added")


def sample_line(sample):
    row, guest = sample.row, sample.guest
    return _COLUMNS.format(f"{sample.at_s:.1f}", _mib(guest.uptime) if guest else "-", sample.phase[:14], row.state[:9],
                           row.assigned, _mib(row.demand), "-" if row.available is None else f"{row.available}%", row.status[:13],
                           _mib(guest and guest.total), _mib(guest and guest.available), _mib(guest and guest.ballooned),
                           _mib(guest and guest.added))


def interesting(samples):
    """The samples at which something changed; the rest would only repeat them."""
    kept, last = [], None
    for sample in samples:
        key = (sample.phase, sample.row.state, sample.row.assigned, sample.row.status)
        if key != last:
            kept.append(sample)
        last = key
    return kept


def draw(story, machine, why, drawn):
    """Redraws the live view in place; returns how many lines it took. Made for 80 columns; no line may be longer than the terminal is
    wide, or what is drawn next would not lie over it."""
    columns, height = shutil.get_terminal_size((80, 24))
    lines = [f"Ballast on {why.partition(';')[0]}, {machine.elapsed_s():.0f} s, {story.phase}    (MiB; Ctrl-C ends)",
             "# demand, = assigned, . up to maximum", "",
             "{:<12} {:<9} {:>8} {:>7} {:>6} {:<13} {:>15}".format("partition", "state", "assigned", "demand", "avail", "status",
                                                                  "min/start/max")]
    for row in story.rows.values():
        lines.append("{:<12} {:<9} {:>8} {:>7} {:>6} {:<13} {:>15}".format(
            row.name, row.state, row.assigned, _mib(row.demand), "-" if row.available is None else f"{row.available}%", row.status,
            f"{row.minimum}/{row.startup}/{row.maximum}"))
        width = max(1, min(64, columns - 5))
        assigned = min(width, row.assigned * width // row.maximum)
        demand = min(width, (row.demand or 0) * width // row.maximum)
        bar = "".join("#" if at < demand else "=" if at < assigned else "." for at in range(width))
        lines.append(f"  [{bar}]")
    if story.guest:
        lines.append(f"guest: MemTotal {story.guest.total:.0f}, available {story.guest.available:.0f}, ballooned "
                     f"{_mib(story.guest.ballooned)}, hot-added {_mib(story.guest.added)}, up {story.guest.uptime:.0f} s")
    lines += ["", *(f"{at:7.1f} s  {text}" for at, text in story.events[-8:])]
    lines = [line[:columns - 1] for line in lines[:max(1, height - 1)]]
    sys.stdout.write((f"\x1b[{drawn}A" if drawn else "") + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
    sys.stdout.flush()
    return len(lines)


def follow(machine, story, *, live, why):
    """Reads the console to the end of the run, asking for the table as the guest's time goes on."""
    drawn, checked_grown, checked_fallen = 0, False, False
    asked_at = 0.0
    while machine.verdict() is None or not machine.all_read():
        try:
            line = machine.next_line(1.0)
        except Expired as expired:
            if "ended" in str(expired) or machine.elapsed_s() >= machine.timeout_s:
                break
            line = None
        is_state = story.take(line) if line else False
        # A table for each state line of the guest follows the guest's time, which an emulator may let run fast.
        if is_state or machine.elapsed_s() - asked_at > 5:
            asked_at = machine.elapsed_s()
            machine.send("list")
            if not checked_grown and story.grew():
                checked_grown = True
                machine.send("check")
            if not checked_fallen and story.fell():
                checked_fallen = True
                machine.send("check")
        if live:
            drawn = draw(story, machine, why, drawn)
        elif line and (story.events and story.events[-1][0] == line.at_s):
            note(f"{line.at_s:6.1f} s  {story.events[-1][1]}")


def entry(arguments):
    parser = Parser(prog="scripts/demo", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--once", action="store_true", help="run the sequence, print what happened, exit 0 when all of it did")
    parser.add_argument("--bed", default="auto", choices=("auto",) + beds.BEDS, help="the machine (kvm where it works, else qemu)")
    parser.add_argument("--config", type=Path, default=_CONFIG, metavar="FILE.dts", help="another configuration than the demonstration's")
    parser.add_argument("--real-time", action="store_true", help="qemu: let idle time pass instead of skipping it")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="wall-clock limit of the run")
    options = parser.parse_args(arguments)

    image.need_configuration(options.config)
    beds.choose_bed(options.bed)  # what cannot be had is refused before anything is fetched and built
    build.build("gcc", build.PRODUCT)
    bed, why = beds.choose_bed(options.bed)  # the set-up may have brought a better Bochs
    note(f"bed: {why}")
    RUNS.mkdir(parents=True, exist_ok=True)
    log = RUNS / f"demo-{bed}.log"
    live = not options.once and sys.stdout.isatty()
    story = Story()
    with tempfile.TemporaryDirectory(prefix="ballast-") as folder:
        disk = Path(folder) / "disk.img"
        image.build_disk(options.config, disk)
        note(f"starting; every byte of the console goes to {show(log)}")
        hardware = beds.Hardware(bed=bed, memory_mib=2048, real_time=options.real_time)
        with Machine(hardware, disk, timeout_s=options.timeout or _TIMEOUT_S[bed], log=log) as machine:
            begin = time.monotonic()
            follow(machine, story, live=live, why=why)
            ended = machine.wait_end()
            reason, took = machine.reason, time.monotonic() - begin
    print(f"\nBallast's table and the guest's own view, MiB ({why}, {took:.0f} s):")
    print(heading())
    for sample in interesting(story.samples):
        print(sample_line(sample))
    print(f"\nend of the run: {reason}")
    good = True
    for what, seen, detail in story.findings(ended):
        good &= seen
        print(f"{'yes' if seen else 'NO '}  {what}{' (' + detail + ')' if detail else ''}")
    if not good:
        print(f"not everything was shown; the console is in {show(log)}")
    return 0 if good else 1
