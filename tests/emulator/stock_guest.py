# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernel in a partition: boots, powers off, restarts, and breathes."""
import re
import time

from ballastlib import console
from ballastlib.beds import BOCHS_EPOCH_SECONDS
from ballastlib.cases import Case, ask, call, config, expect, partition, stock, with_both_compilers

_UP = r"^\[web\] ballast-guest: up"
_RUNNING = r"\| web +\| running"
_CHECKED = r"^ballast: check: ok"


def _rows(machine):
    return [row for row in (console.row(line.text) for line in machine.lines) if row and row.name == "web"]


def _above_startup(machine):
    most = max((row.assigned for row in _rows(machine)), default=0)
    return None if most > 512 else f"at most {most} MiB assigned, startup is 512"


def _within_limits(machine):
    rows = _rows(machine)
    bad = [row.assigned for row in rows if not row.minimum <= row.assigned <= row.maximum]
    return f"assigned {bad} outside minimum and maximum" if bad or not rows else None


def _reports(machine):
    """Waits until the guest's driver has told its pressure."""
    for _ in range(60):
        machine.command_lines("list", r"^ballast: host:", 30)
        if _rows(machine)[-1].status.lower() == "ok":
            return None
        time.sleep(1)
    return "the driver does not report"


def _heart_beats(machine):
    """The guest's driver answers, and still does a while later."""
    def health():
        return machine.command_lines("show web", r"heartbeat \w+$", 30)[-1].split()[-1]

    for _ in range(30):
        if health() == "OK":
            break
        _states(machine, 1)
    else:
        return "the guest's heart does not beat"
    _states(machine, 15)  # half a minute: a heart that is silent for less is lost
    return None if health() == "OK" else f"the guest's heart is {health()}"


def _gave_way(machine):
    last = _rows(machine)[-1]
    return None if last.minimum <= last.assigned < 500 else f"{last.assigned} MiB assigned while another partition needed memory"


_SHOW = re.compile(r"^ballast:   memory: assigned \d+ MiB \((\d+) pages\), ballooned (\d+) MiB, hot-added (\d+) MiB, (\d+)% in large pages$")
_CHECK = re.compile(r"^ballast: check: ok .*: (\d+) pages of RAM = (\d+) hypervisor \+ (\d+) assigned .* \+ (\d+) free")
_HOLE_PAGES = 32  # of the startup memory, 640 to 768 KiB is no RAM


def _states(machine, count):
    """The guest's next state lines."""
    machine.skip_read()
    return [console.guest_state(machine.expect(r"^\[web\] (ballast-guest: MemTotal=.*)$", 60).group(1)) for _ in range(count)]


def _pages(mib):
    return round(mib * 256)


def _both_sides_agree(where):
    """Ballast's table, its count of frames and the guest have the same pages, once nothing moves. where(pages assigned) tells whether that
    is the place to be at; what is wrong with it is a text."""
    def look(machine):
        for _ in range(60):
            before, = _states(machine, 1)
            shown = _SHOW.search(machine.command_lines("show web", _SHOW.pattern, 60)[-1])
            counted = _CHECK.search(machine.command_lines("check", r"^ballast: check: ", 60)[-1])
            after, = _states(machine, 1)
            if (before.ballooned, before.added) == (after.ballooned, after.added) and not (why := where(int(shown.group(1)))):
                break
        else:
            return why or "the guest's memory does not come to rest"
        assigned, ballooned, added, large = map(int, shown.groups())
        ram, hypervisor, owned, free = map(int, counted.groups())
        first = next(state for state in (console.guest_state(guest[1]) for guest in map(console.guest_line, [line.text for line in machine.lines]) if guest)
                     if state)
        wanted = _pages(512) - _HOLE_PAGES + _pages(after.added - after.ballooned)
        facts = {"pages that Ballast's table and the guest's driver count": (assigned, wanted),
                 "MiB ballooned": (ballooned, int(after.ballooned)), "MiB added": (added, int(after.added)),
                 "pages of MemTotal": (_pages(after.total), _pages(first.total + after.added - after.ballooned)),
                 "frames assigned": (owned, assigned), "frames in all": (ram, hypervisor + owned + free)}
        wrong = [f"{what}: {one} and {other}" for what, (one, other) in facts.items() if one != other]
        return "; ".join(wrong) or (None if large >= 90 else f"{large}% are in large pages")
    return call(look)


def _below_startup(pages):
    return None if pages < _pages(400) else f"does not fall below startup: {pages} pages"


def _at_maximum(mib):
    def look(pages):
        return None if pages == _pages(mib) - _HOLE_PAGES else f"{pages} pages, the maximum is {_pages(mib)}"
    return look


def _balloons_cheaply(machine):
    """The guest's kernel zeroes each page that it balloons, most of them for the first time: not a nested fault for each."""
    found = console.counters(machine, "web")
    ballooned, faults = found.get("pages ballooned", 0), found.get("nested fault", 0)
    return None if ballooned > 20000 and faults * 20 < ballooned else f"{faults} nested faults, {ballooned} pages ballooned"


def _back_before_more(machine):
    """By the guest's own driver: what was ballooned is all back before the first page is added."""
    lines = [console.guest_line(line.text) for line in machine.lines if "MemTotal=" in line.text]
    states = [state for state in (console.guest_state(line[1]) for line in lines if line) if state]
    most = max(state.ballooned for state in states)
    if most < 100:
        return f"only {most:.0f} MiB were ballooned"
    early = [f"{state.ballooned:.0f} MiB ballooned and {state.added:.0f} MiB added" for state in states if state.added and state.ballooned]
    return "; ".join(early) or (None if states[-1].added else "nothing was added")


# What a partition can exit for, as `show` calls it.
_EXITS = ("host event", "cpuid", "hypercall", "io", "msr read", "msr write", "nested fault", "halt", "interrupt window", "control register",
          "cache control", "exception")
_SECONDS = 60
_MOST_EXITS = 300  # a second, with a line of text every two; a clock that ticks on, at Debian's 250 Hz, would be 500 and more
_SHOWN = re.compile(r"^ballast: .*processor \d+, up (\d+) s,")


def _shown(machine):
    up = machine.command_lines("show web", _SHOWN.pattern, 60)[-1]
    return int(_SHOWN.search(up).group(1)), console.counters(machine, "web")


def _drifts(machine, clock, grain):
    """Whether a clock of the guest's, told to `grain` seconds, cannot have gone like the partition's uptime. An idle machine's time
    outruns ours, so nothing but the order on the console tells what was when: each uptime lies between two lines of the guest's."""
    earlier, waiting, least, most = None, [], float("-inf"), float("inf")  # by how much the uptime can be ahead
    for line in list(machine.lines):
        if match := _SHOWN.search(line.text):
            up = int(match.group(1))
            if earlier is not None:
                most = min(most, up + 1 - earlier)
                waiting.append(up)
        elif (guest := console.guest_line(line.text)) and (state := console.guest_state(guest[1])):
            earlier = getattr(state, clock)
            for up in waiting:
                least = max(least, up - (earlier + grain) - 0.5)  # a line takes its time
            waiting.clear()
    return f"{clock}: ahead by {least:.1f} s at least and by {most:.1f} s at most" if least > most else None


def _knows_the_time(machine):
    """The guest's clock shows the host's time, which the host has from the machine's RTC."""
    clock = _states(machine, 1)[0].clock
    up = _shown(machine)[0]
    switched_on = BOCHS_EPOCH_SECONDS if machine.hardware.bed == "bochs" else time.time() - machine.elapsed_s()
    if not -10 <= clock - up - switched_on <= 60:
        return f"the guest has {clock}, the machine was switched on at {switched_on:.0f} and it runs for {up} s"
    return None


def _keeps_time_and_rests(machine):
    """Over a minute of doing nothing: the guest's clocks go like the host's, and it sleeps."""
    began, before = _shown(machine)
    now, after = began, before
    while now < began + _SECONDS:
        machine.skip_read()
        machine.expect(r"^\[web\] ballast-guest: MemTotal=.* clock=\d+$", 60)
        now, after = _shown(machine)
    if why := _drifts(machine, "uptime", 0) or _drifts(machine, "clock", 1):
        return why
    if why := _knows_the_time(machine):
        return why
    exits = sum(after.get(name, 0) - before.get(name, 0) for name in _EXITS) / (now - began)
    return f"{exits:.0f} exits a second" if exits > _MOST_EXITS else None


CASES = [
    Case("gives-way", config(stock(words="ballast.job=idle ballast.phases=0:600 ballast.fast-reports", minimum_mib=200),
                             stock("other", words="ballast.job=idle ballast.phases=0:20", auto_start=False), idle_seconds=3600),
         [expect(_UP, 150), call(_reports), ask("start other", r"^ballast: partition other: waits for 512 MiB of startup memory", 60),
          expect(r"^\[other\] ballast-guest: up", 240), ask("list", _RUNNING), call(_gave_way), ask("check", _CHECKED, 60),
          ask("why web", r"balloon .*because others need what it has beyond its wanted amount"),
          ask("stop web off", r"^ballast: all partitions ended: off", 240)], timeout_s=500, memory_mib=1024),
    Case("powers-off", config(stock(words="ballast.job=poweroff")), [expect(_UP, 150)], timeout_s=240),
    # The same kernel by the other way in: an ELF file with a PVH note, entered in 32-bit mode with a start_info.
    Case("pvh-boot", config(stock(words="ballast.job=idle ballast.phases=0:5", kernel="stock:vmlinux")),
         [expect(r"^\[web\] ballast-guest: up after", 150), expect(r"^\[web\] ballast-guest: dmesg 0 lines")], timeout_s=240),
    # Nothing is said to the kernel but the two parameters that anybody would: the initramfs has an idle guest in mind then.
    Case("quiet-log", config(partition("web", "stock:vmlinuz", initrd="stock:initramfs", startup_mib=512,
                                       command_line="console=ttyS0 memhp_default_state=online")),
         [expect(_UP, 150), expect(r"^\[web\] ballast-guest: dmesg 0 lines")], timeout_s=240),
    Case("keeps-time", config(stock(words="ballast.job=idle ballast.phases=0:600 ballast.interval=2 ballast.fast-reports")),
         [expect(_UP, 150), call(_keeps_time_and_rests), ask("stop web off", r"^ballast: all partitions ended: off", 60)], timeout_s=400),
    # Its RTC is read once, by the kernel, and what that said is overwritten: the service alone can know better.
    Case("time-service", config(stock(words="ballast.job=idle ballast.phases=0:6000 ballast.wrong-clock")),
         [expect(r"^\[web\] ballast-guest: clock=978307\d{3} before the drivers$", 150), expect(_UP, 60), call(_knows_the_time),
          ask("stop web off", r"^ballast: all partitions ended: off", 60)], timeout_s=300),
    Case("console", config(stock(words="ballast.job=idle ballast.phases=0:6000")),
         [expect(_UP, 150), ask("list", _RUNNING), call(_heart_beats), ask("check", _CHECKED), ask("help", r"^ballast:   restart NAME +\w"),
          ask("why web", r"^ballast: \d+ s: .* because .*; assigned 511, demand \d+, wanted \d+"),
          ask("nonsense", r"^ballast: error: 'nonsense' is no command; 'help' lists them"),
          ask("show nobody", r"^ballast: error: no partition is called 'nobody'"), ask("show", r"^ballast: error: 'show' wants .* as in 'show NAME'"),
          ask("stop web sideways", r"^ballast: error: 'stop' wants NAME, or NAME off; got 'sideways'"),
          ask("check web", r"^ballast: error: 'check' wants no 'web'; usage: check"), ask("start web", r"^ballast: error: web: "),
          ask("restart web", _UP, 150), ask("show web", r"restarts 1,"), ask("stop web off", r"^ballast: all partitions ended: off")],
         timeout_s=400),
    Case("clean-shutdown", config(stock(words="ballast.job=idle ballast.phases=0:600 ballast.fast-reports")),
         [expect(_UP, 150), ask("stop web", r"^\[web\] .*reboot: Power down", 90)], timeout_s=300),
    Case("reboots-once", config(stock(words="ballast.job=reboot-once")),
         [expect(_UP, 150), expect(_UP, 150), expect(r"^\[web\] ballast-guest: second life"), ], timeout_s=360),
    Case("without-driver", config(stock(words="ballast.job=idle ballast.no-drivers ballast.phases=0:600", minimum_mib=256, maximum_mib=1024)),
         [expect(_UP, 150), ask("list", r"\| web +\| running +\| +51[12] .*not reported"), ask("show web", r"heartbeat none$"), ask("stop web off", r"ended: off")], timeout_s=300),
    # From below startup, where it has idled, to beyond it.
    Case("takes-back-first", config(stock(words="ballast.job=load ballast.phases=0:150,620:60 ballast.fast-reports", minimum_mib=256,
                                          maximum_mib=1024), idle_seconds=5),
         [expect(_UP, 150), _both_sides_agree(_below_startup), call(_balloons_cheaply), expect(r"^\[web\] memload: phase 2/2: reached", 300),
          _both_sides_agree(_at_maximum(1024)), expect(r"^\[web\] memload: done, every page as written", 300), call(_back_before_more),
          ask("check", _CHECKED, 60)],
         forbid=(r"memload: CORRUPT",), timeout_s=500, memory_mib=2048),
    # It wants more than it may have; what it may have is no whole number of the blocks that Linux adds memory in.
    Case("to-the-maximum", config(stock(words="ballast.job=load ballast.phases=830:60 ballast.fast-reports", minimum_mib=256, maximum_mib=1000)),
         [expect(_UP, 150), expect(r"^\[web\] memload: phase 1/1: reached", 300), _both_sides_agree(_at_maximum(1000)),
          ask("show web", r"dynamic memory: warning, demand 1\d\d\d MiB"), ask("list", _RUNNING), call(_within_limits),
          expect(r"^\[web\] memload: done, every page as written", 300)],
         forbid=(r"memload: CORRUPT",), timeout_s=500, memory_mib=2048),
    *with_both_compilers(Case(
         "breathes", config(stock(words="ballast.job=load ballast.phases=0:5,620:15,32:40 ballast.fast-reports", minimum_mib=256,
                                  maximum_mib=1024), idle_seconds=10),
         [expect(_UP, 150), expect(r"^\[web\] memload: phase 2/3: reached", 240), ask("list", _RUNNING), ask("check", _CHECKED, 60),
          call(_above_startup), expect(r"^\[web\] memload: done, every page as written", 240), ask("list", _RUNNING),
          ask("check", _CHECKED, 60), call(_within_limits)],
         forbid=(r"memload: CORRUPT",), timeout_s=600, memory_mib=2048)),
]
