# SPDX-License-Identifier: Apache-2.0
"""Processors: one that lacks what is needed; two with a partition on each: kicks, the rendezvous and the clock across them."""
import re

from ballastlib.cases import Case, ask, call, config, expect, partition, send

_CHECKED = r"^ballast: check: ok"
_FREE = re.compile(r"check: ok .* (\d+) free")


def _steady(name, **properties):
    return partition(name, "guest:steady", startup_mib=16, **properties)


def _show(machine, name, pattern):
    """What `show NAME` has for the group of the pattern."""
    return re.search(pattern, machine.command_lines(f"show {name}", pattern, 60)[-1]).group(1)


def _placed(machine):
    """Each partition has a processor of its own."""
    found = [_show(machine, name, r"processor (\d+),") for name in ("one", "two")]
    return None if sorted(found) == ["0", "1"] else f"placed on {found}"


def _kept_pace(*names):
    """A guest counts seconds of the clock: when it is kept from running, it falls behind its uptime."""
    def look(machine):
        for name in names:
            up_s = int(_show(machine, name, r"up (\d+) s,"))
            matches = (re.match(rf"\[{name}\] steady (\d+)$", line.text) for line in machine.lines)
            counted = [int(match.group(1)) for match in matches if match]
            if counted[-1] < up_s * 0.8 - 2:
                return f"{name} counted {counted[-1]} s of {up_s}"
        return None
    return look


def _all_back(machine):
    """With one of the two partitions there are as many frames free as there were with the other alone."""
    free = [int(match.group(1)) for match in (_FREE.search(line.text) for line in machine.lines) if match]
    return None if free[-1] == free[-2] else f"free frames: {free}"


def _counting(*names, seconds=3, within_s=180):
    """Each of the guests says anew that it goes on, so many times, in whatever order."""
    def wait(machine):
        left = dict.fromkeys(names, seconds)
        machine.skip_read()
        while any(left.values()):
            name = machine.expect(rf"^\[({'|'.join(names)})\] (?:steady|storm) \d+$", within_s, stop=r"CORRUPT|panic").group(1)
            left[name] = max(0, left[name] - 1)
    return call(wait)


def _on_two_nodes(name, *steps, **host):
    """600 MiB on two nodes of 512 MiB each, which only QEMU can have."""
    return Case(name, config(_steady("one"), partition("wide", "guest:steady", startup_mib=600, auto_start=False), **host),
                [expect(r"^ballast: memory: \d+ MiB on 2 node\(s\)", 90), expect(r"^\[one\] steady 1$", 90), send("start wide"), *steps,
                 ask("check", _CHECKED, 60), ask("stop one off", r"partition one: turned off", 60)],
                ends=None, forbid=(r"FAIL", r"CORRUPT"), numa_nodes=2, beds=("svm",))


def _lacks(bed, feature, backend):
    return Case(f"no-nested-paging-{bed}", config(_steady("one")),
                [expect(rf"^ballast: error: Ballast cannot run here: processor 0 lacks {feature}, which {backend} needs$", 120)],
                ends="broken", nested_paging=False, beds=(bed,))


# Two CPUs are not repeatable, and under QEMU guests' seconds are seconds of the wall.
CASES = [
    _lacks("svm", r"nested paging \(CPUID Fn8000_000A EDX\[NP\]\)", "SVM/NPT"),
    _lacks("vmx", "enable EPT", "VMX/EPT"),
    _on_two_nodes("one-node", expect(r"^ballast: error: partition wide: not started: 600 MiB do not fit on one NUMA node .*allow numa-spanning", 30)),
    _on_two_nodes("spanning", expect(r"^\[wide\] steady 1$", 60), numa_spanning=True),
    Case("one-each", config(_steady("one"), _steady("two")),
         [expect(r"^\[two\] steady 1$", 180), _counting("one", "two", seconds=2), call(_placed), ask("check", _CHECKED, 60),
          ask("dump one", r"rip 0000000000[0-9a-f]{6} "), ask("dump two", r"rip 0000000000[0-9a-f]{6} "),
          # What is asked for on CPU 0 reaches the other in the middle of its guest's turn.
          send("restart two"), expect(r"^\[two\] steady 1$", 60), _counting("one", "two", seconds=1),
          send("stop two off"), expect(r"^ballast: partition two: turned off", 20), ask("check", _CHECKED, 60),
          send("start two"), expect(r"^\[two\] steady 1$", 60), _counting("one", "two", seconds=2), call(_kept_pace("one", "two")),
          send("stop one off"), expect(r"^ballast: partition one: turned off", 20), _counting("two", seconds=1),
          ask("check", _CHECKED, 60), call(_all_back),
          ask("stop two off", r"all partitions ended", 60)],
         forbid=(r"FAIL", r"CORRUPT"), cpus=2, timeout_s=400),
    # A kick may come at any place of an exit's way. Each `check` stops the other CPU by one.
    Case("kicks", config(_steady("one"), partition("two", "guest:exit-storm", startup_mib=16)),
         [expect(r"^\[one\] steady 1$", 180), *[ask("check", _CHECKED, 60)] * 8, _counting("one", "two", seconds=2), call(_kept_pace("one")),
          send("stop two off"), expect(r"^ballast: partition two: turned off", 20), ask("check", _CHECKED, 60),
          ask("stop one off", r"all partitions ended", 60)],
         forbid=(r"FAIL", r"CORRUPT"), cpus=2, timeout_s=400),
]
