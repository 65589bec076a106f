# SPDX-License-Identifier: Apache-2.0
"""Hostile guests (tests/guests) beside a good neighbour on one processor.

In each case the hypervisor stays up, the neighbour goes on, the invariants hold, the counters tell what was done, and when the
hostile guest is gone every frame is back.
"""
import re
import time

from ballastlib import console
from ballastlib.cases import Case, ask, call, config, expect, partition, pause, send, stock, with_both_compilers

_STEADY = r"^\[good\] steady \d+"
_CHECKED = r"^ballast: check: ok"
_FREE = re.compile(r"check: ok .* (\d+) pages of RAM = (\d+) hypervisor .* (\d+) free")


def _good(**properties):
    return partition("good", "guest:steady", startup_mib=16, **properties)


def _evil(payload, **properties):
    return partition("evil", f"guest:{payload}", auto_start=False, **properties)


def _says(pattern, seconds):
    """The guest says so; a failure that it finds ends the waiting at once."""
    return call(lambda machine: machine.expect(pattern, seconds, stop=r"FAIL|CORRUPT") and None)


def _free_pages(machine):
    found = [_FREE.search(line.text) for line in machine.lines]
    return [int(match.group(3)) for match in found if match]


def _all_back(machine):
    """The first and the last `check` of a run saw the same number of free frames."""
    free = _free_pages(machine)
    if len(free) < 2:
        return "the frames were not counted twice"
    return None if free[0] == free[-1] else f"{free[0]} frames were free before, {free[-1]} are now"


def _told(pattern, times):
    """What a guest can bring about is told so many times and no more."""
    def count(machine):
        found = sum(bool(re.search(pattern, line.text)) for line in machine.lines)
        return None if found == times else f"'{pattern}' was told {found} times, not {times}"
    return count


def _kept_pace(machine):
    """The neighbour counts seconds of the clock: when it is kept from running, it falls behind its uptime."""
    lines = machine.command_lines("show good", r"up \d+ s,", 60)
    up_s = int(re.search(r"up (\d+) s,", lines[-1]).group(1))
    counted = [int(match.group(1)) for match in (re.match(r"\[good\] steady (\d+)$", line.text) for line in machine.lines) if match]
    return None if counted[-1] >= up_s * 0.8 - 2 else f"the neighbour counted {counted[-1]} s of {up_s}"


def _counted(least, name="evil"):
    """Every counter of `show NAME` is at least as high as told."""
    def look(machine):
        found = console.counters(machine, name)
        wrong = [f"{name}: counter '{counter}' is {found.get(counter, 0)}, not {count} or more"
                 for counter, count in least.items() if found.get(counter, 0) < count]
        return "; ".join(wrong) or None
    return call(look)


def _off(name, seconds=240):
    """Asks until the partition is off, whatever else is said meanwhile."""
    def wait(machine):
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if any(re.search(rf"\| {name} +\| off", text) for text in machine.command_lines("list", r"^ballast: host: ", 60)):
                return None
            time.sleep(2)
        return f"{name} is not off"
    return call(wait)


_BEFORE = [expect(_STEADY, 120), ask("check", _CHECKED, 60), send("start evil")]


def _after():
    return [ask("check", _CHECKED, 60), call(_all_back), expect(_STEADY, 60), call(_kept_pace),
            ask("stop good off", r"all partitions ended", 60)]


def _hostile(name, payload, steps, *, ends="off", words="", timeout_s=400, slack=1.5, memory=None, **host):
    return Case(name, config(_good(), _evil(payload, command_line=words or None, **(memory or {"startup_mib": 16})), **host),
                [*_BEFORE, *steps, *_after()], ends=ends, forbid=(r"FAIL", r"CORRUPT"), timeout_s=timeout_s, slack=slack)


def _runs_through(name, counters, *, case=None, says=(), seconds=240, **more):
    """A payload that does its worst, says that everything was as it must be, and powers off."""
    steps = [_says(pattern, seconds) for pattern in says]
    steps += [_says(rf"^\[evil\] {name}: done, \d+ faults, \d+ failures", seconds), expect(r"^ballast: partition evil: powered off", 20),
              _counted(counters)]
    return _hostile(case or name, name, steps, **more)


_BALLOON = {"startup_mib": 64, "minimum_mib": 16, "maximum_mib": 256}
_LIES = "abcdefghijklm"  # of balloon-evil


def _balloon(name, words, counters, **more):
    return _runs_through("balloon-evil", counters, case=f"balloon-{name}", words=words, idle_seconds=1,
                         memory=_BALLOON, **more)


def _lies(letter):
    """One lie, which costs the partition its channel for good: it is broken after the lie and after it was opened again."""
    name, told = f"lie-{letter}", "memory messages malformed" if letter in "kl" else "foreign balloon ranges"
    return [send(f"start {name}"), _says(rf"^\[{name}\] balloon-evil: lied", 120),
            _says(rf"^\[{name}\] balloon-evil: done, \d+ faults, \d+ failures", 60),
            expect(rf"^ballast: partition {name}: powered off", 20), _counted({told: 1, "vmbus channels broken": 2}, name)]


def _dies(name):
    """A triple fault: the guest is over and says why, the others are not."""
    return [send(f"start {name}"), expect(rf"^ballast: error: partition {name}: crashed: triple fault", 60),
            ask("list", rf"\| {name} +\| crashed", 30), ask("check", _CHECKED, 60), call(_all_back)]


def _spinning(name, guests, **more):
    """Each of the guests, {partition: (payload, word, counters)}, has the processor as long as it is let, and the neighbour has its share."""
    nodes, steps = [], []
    for evil, (payload, word, counters) in guests.items():
        nodes.append(partition(evil, f"guest:{payload}", startup_mib=16, auto_start=False, command_line=word))
        steps += [send(f"start {evil}"), expect(rf"^\[{evil}\] {payload}: now", 60), expect(_STEADY, 60), expect(_STEADY, 60),
                  ask("list", rf"\| {evil} +\| running", 30), call(_kept_pace), _counted(counters, evil), send(f"stop {evil} off"),
                  expect(rf"^ballast: partition {evil}: turned off", 30), ask("check", _CHECKED, 60), call(_all_back)]
    return Case(name, config(_good(), *nodes), [expect(_STEADY, 120), ask("check", _CHECKED, 60), *steps, *_after()],
                forbid=(r"FAIL", r"CORRUPT"), timeout_s=300, **more)


_DEATHS = {"no-handlers": "i", "no-stack": "s", "no-page-tables": "c"}


CASES = [
    _runs_through("cpuid-all", {"cpuid": 5000}, says=(r"cpuid-all: 7683 queries",)),
    _runs_through("msr-sweep", {"unknown MSRs": 20000, "synthetic MSR faults": 100}),
    _runs_through("port-sweep", {"absent ports": 100000, "io": 100000}, says=(r"port-sweep: all ports",)),
    _runs_through("hypercalls", {"hypercalls refused": 6000, "hypercall": 12000, "vmbus messages malformed": 10,
                                 "vmbus messages unexpected": 10}, says=(r"hypercalls: all codes",)),
    _runs_through("holes", {"holes touched": 500, "nested fault": 500}, says=(r"holes: 27 places", r"holes: I/O APIC")),
    *with_both_compilers(_runs_through("vmbus-evil", {"vmbus GPADLs refused": 15, "vmbus opens refused": 15, "vmbus channels broken": 11,
                                 "vmbus messages malformed": 5, "vmbus messages unexpected": 5}, says=(r"vmbus-evil: 10 bad rings",))),
    _balloon("honest", "h", {"pages ballooned": 4096, "ballooned pages touched": 10, "pages given back": 4096}),
    Case("balloon-lies",
         config(_good(), *(partition(f"lie-{letter}", "guest:balloon-evil", command_line=f"l{letter}", auto_start=False, **_BALLOON)
                           for letter in _LIES), idle_seconds=1),
         [expect(_STEADY, 120), ask("check", _CHECKED, 60), *(step for letter in _LIES for step in _lies(letter)), *_after()],
         forbid=(r"FAIL", r"CORRUPT"), timeout_s=400),
    _balloon("nonsense", "n", {"memory messages unexpected": 3}),
    _balloon("own-pages", "r", {"pages ballooned": 13, "ballooned pages touched": 2}),
    Case("triple-faults",
         config(_good(), *(partition(name, "guest:triple-fault", startup_mib=16, auto_start=False, command_line=word)
                           for name, word in _DEATHS.items())),
         [expect(_STEADY, 120), ask("check", _CHECKED, 60), *(step for name in _DEATHS for step in _dies(name)),
          ask("show no-stack", r"triple faults +1$", 30), *_after()], ends="crashed", forbid=(r"FAIL", r"CORRUPT"), timeout_s=300),
    _hostile("halt", "halt", [expect(r"^\[evil\] halt: now", 60), expect(_STEADY, 30), ask("list", r"\| evil +\| halted", 30),
                              send("stop evil off"), expect(r"^ballast: partition evil: turned off", 30), _counted({"halt": 1})]),
    # Only a clock that the guest cannot touch gets the processor back.
    _spinning("spins", {"jump": ("spin", "j", {}), "shadows": ("spin", "m", {}), "breakpoint": ("spin", "b", {"exception": 1000}),
                         "chatter": ("spin", "c", {"io": 1000})}),
    # Exceptions raised by their own delivery: between exit and entry nothing else comes. Software QEMU 7.2 dies of the first, a hypervisor or not
    # (a watchpoint met while an exception is delivered), and does not know the second.
    _spinning("exception-storms", {"watched-stack": ("spin", "d", {"exception": 1000}),
                                   "alignment": ("alignment-storm", None, {"host event": 1000})}, beds=("vmx",)),
    # An event that cannot be delivered, for lack of memory behind what it needs: tried again as it is, it would keep the processor too.
    Case("nowhere",
         config(_good(), *(partition(f"no-{what}", "guest:spin", startup_mib=16, auto_start=False, command_line=what[0])
                           for what in ("stack", "idt", "tss", "gdt"))),
         [expect(_STEADY, 120), ask("check", _CHECKED, 60), *(step for what in ("stack", "idt", "tss", "gdt") for step in _dies(f"no-{what}")),
          ask("show no-stack", r"holes touched +\d+$", 30), *_after()], ends="crashed", forbid=(r"FAIL", r"CORRUPT"), timeout_s=300),
    # Linux as the neighbour: its drivers' heartbeat goes on, and VMBus serves it as before.
    Case("beside-linux",
         config(stock("good", words="ballast.job=idle ballast.phases=0:900"), _evil("vmbus-evil", startup_mib=16),
                partition("sweep", "guest:msr-sweep", startup_mib=16, auto_start=False)),
         [expect(r"^\[good\] ballast-guest: up", 150), ask("check", _CHECKED, 60), send("start evil"), send("start sweep"),
          _says(r"^\[evil\] vmbus-evil: done, \d+ faults, 0 failures", 240), _off("sweep"),
          pause(3), ask("show good", r"heartbeat OK", 30), ask("check", _CHECKED, 60),
          ask("stop good", r"^ballast: all partitions ended: off", 120)],
         forbid=(r"FAIL", r"rcu.*stall", r"Call Trace"), timeout_s=480),
    _hostile("reset-loop", "reset-loop",
             [expect(r"^\[evil\] reset-loop: 20 resets", 120), expect(r"^ballast: partition evil: powered off", 30),
              ask("show evil", r"restarts 20", 30), call(_told(r"partition evil: restarted", 16))]),
]
