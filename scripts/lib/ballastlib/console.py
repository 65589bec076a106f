# SPDX-License-Identifier: Apache-2.0
"""What COM1 says, as values: rows of the console's `list`, a guest's state lines, the load's phases."""
import re
from dataclasses import dataclass

_GUEST = re.compile(r"^\[([^\]]+)\] (.*)$")
_ROW = re.compile(r"ballast: \|(.*)\|\s*$")
_STATE = re.compile(r"^ballast-guest: (MemTotal=.*)$")
_COUNTER = re.compile(r"^ballast:   (\S.*?)\s+(\d+)$")
_PAIR = re.compile(r"(\w+)=(-?[\d.]+|\S+)")
LIST_END = r"^ballast: (host: |error: )"
CHECK = r"^ballast: check: (ok|FAILED)\b.*"


@dataclass
class Row:
    """One partition in the answer to `list`: MiB and percent; None where the partition does not report."""
    name: str
    state: str
    assigned: int
    demand: int | None
    available: int | None
    status: str
    minimum: int
    startup: int
    maximum: int


def _number(text):
    match = re.fullmatch(r"(-?\d+)\s*%?", text)
    return int(match.group(1)) if match else None


def row(text: str):
    """A Row when the line is one, else None (the heading included)."""
    match = _ROW.search(text)
    if not match:
        return None
    cells = [cell.strip() for cell in match.group(1).split("|")]
    if len(cells) != 7 or _number(cells[2]) is None:
        return None
    sizes = [_number(part.strip()) for part in cells[6].split("/")]
    if len(sizes) != 3 or None in sizes:
        return None
    return Row(cells[0], cells[1], _number(cells[2]), _number(cells[3]), _number(cells[4]), cells[5], *sizes)


def guest_line(text: str):
    """(partition, text) for a line of a guest's console, else None."""
    match = _GUEST.match(text)
    return (match.group(1), match.group(2)) if match else None


def counters(machine, name):
    """The counters of `show NAME`: {name: number}. The answer to a word that is no command comes behind them."""
    machine.skip_read()
    machine.send(f"show {name}")
    machine.send("nosuch")
    found = {}
    while "'nosuch' is no command" not in (text := machine.next_line(60).text):
        if match := _COUNTER.match(text):
            found[match.group(1)] = int(match.group(2))
    return found


@dataclass
class GuestState:
    """A guest's own view: MiB, seconds since its boot."""
    total: float
    available: float
    ballooned: float | None
    added: float | None
    uptime: float
    clock: int | None            # seconds since 1970


def guest_state(text: str):
    """A GuestState from the initramfs's state line (without the partition's prefix), else None."""
    match = _STATE.match(text)
    if not match:
        return None
    values = {key: value for key, value in _PAIR.findall(match.group(1))}

    def pages_mib(key):
        value = values.get(key, "")
        return int(value) * 4096 / (1 << 20) if value.isdigit() else None

    try:
        return GuestState(int(values["MemTotal"]) / 1024, int(values["MemAvailable"]) / 1024, pages_mib("ballooned"),
                          pages_mib("added"), float(values["uptime"]), int(values["clock"]) if "clock" in values else None)
    except (KeyError, ValueError):
        return None  # a torn line
