# SPDX-License-Identifier: Apache-2.0
"""Processors and nodes: a processor that lacks what is needed; two with a partition on each: kicks, the rendezvous and the clock across
them; memory on two NUMA nodes."""
import re

from ballastlib.cases import Case, ask, call, config, expect, partition, send

_CHECKED = r"^ballast: check: ok"
_FREE = re.compile(r"check: ok .* (\d+) free")


def _steady(name, **properties):
    return partition(name, "guest:steady", startup_mib=16, **properties)


def _show(machine, name, pattern):
    """What `show NAME` has for the group of the pattern."""
    return re.search(pattern, machine.command_lines(f"show {name}", pattern, 60)[-1]).group(1)


def _placed(*names):
    """Each partition has a processor of its own."""
    def look(machine):
        found = [int(_show(machine, name, r"processor (\d+),")) for name in names]
        return None if sorted(found) == list(range(len(names))) else f"placed on {found}"
    return call(look)


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


_NODE_MIB = 512
_NARROW_MIB, _WIDE_MIB = 300, 600  # what fits on one node once, and what fits on none but would fit beside it
_OWN_MIB = 4  # at most what the hypervisor takes for itself for such a partition


def _free_mib(machine):
    """Free memory in all, as `check` counts it frame by frame."""
    return int(_FREE.search(machine.command_lines("check", _CHECKED, 60)[-1]).group(1)) / 256


def _refused(machine):
    """Starts a partition that is too large for a node. Returns the emptiest node and what it is said to have free."""
    machine.send("start wide")
    found = machine.expect(rf"^ballast: error: partition wide: not started: {_WIDE_MIB} MiB do not fit on one NUMA node "
                           r"\(the emptiest, node (\d+), has (\d+) MiB\); allow numa-spanning or lower startup-mib$", 30)
    return int(found.group(1)), int(found.group(2))


def _started(machine, name):
    machine.send(f"start {name}")
    machine.expect(rf"^\[{name}\] steady 1$", 90)


def _stopped(machine, name, free_mib):
    """Turns a partition off; a text when not exactly so much is free then."""
    machine.send(f"stop {name} off")
    machine.expect(rf"^ballast: partition {name}: turned off", 30)
    found = _free_mib(machine)
    return None if found == free_mib else f"{found} MiB are free after {name}, {free_mib} before it"


def _stays_on_one(machine, near_node=None):
    """What the refusals say of the emptiest node, before and while a partition is there, gives what each node has: this partition's memory
    comes from the one and leaves the other alone. The one is near_node, the processor's, or the emptiest if the processor's has none."""
    free = _free_mib(machine)
    first, first_mib = _refused(machine)
    other_mib = free - first_mib
    if not other_mib - 2 <= first_mib <= _NODE_MIB:  # the refusal says whole MiB
        return f"node {first}, the emptiest of two of {_NODE_MIB} MiB, has {first_mib} of {free} MiB"
    _started(machine, "narrow")
    taken = free - _free_mib(machine)
    if not _NARROW_MIB <= taken <= _NARROW_MIB + _OWN_MIB:
        return f"{_NARROW_MIB} MiB took {taken}"
    second, second_mib = _refused(machine)
    if near_node not in (None, first):  # the emptiest is left alone for the processor's own
        if second != first or abs(second_mib - first_mib) > _OWN_MIB:
            return f"node {second} has {second_mib} MiB, node {first} had {first_mib}; {_NARROW_MIB} MiB should be on node {near_node}"
    elif second == first or abs(second_mib - other_mib) > _OWN_MIB:
        return f"node {second} has {second_mib} MiB beside {_NARROW_MIB} MiB on node {first}, {other_mib} before"
    # Beside a third there is less than it needs in all, and still it is not told to wait: nobody could ever give it that much of a node.
    between = _free_mib(machine)
    _started(machine, "other")
    left = _free_mib(machine)
    if left >= _WIDE_MIB:
        return f"{left} MiB are left"
    third, third_mib = _refused(machine)
    if abs(third_mib - max(first_mib, other_mib) + _NARROW_MIB) > 2 * _OWN_MIB:
        return f"node {third} has {third_mib} MiB beside {_NARROW_MIB} MiB on each node"
    why = _stopped(machine, "other", between) or _stopped(machine, "narrow", free)
    if why:
        return why
    again = _refused(machine)
    return None if again == (first, first_mib) else f"node {again[0]} is the emptiest, {again[1]} MiB, after node {first}, {first_mib} MiB"


def _lies_on_both(machine):
    """A partition that is larger than a node runs, and all of it comes back."""
    free = _free_mib(machine)
    _started(machine, "wide")
    taken = free - _free_mib(machine)
    if not _WIDE_MIB <= taken <= _WIDE_MIB + _OWN_MIB:
        return f"{_WIDE_MIB} MiB took {taken}"
    machine.expect(r"^\[wide\] steady 3$", 60, stop=r"CORRUPT|panic")
    return _stopped(machine, "wide", free)


def _on_two_nodes(name, step, *, nodes=2, first=(), host=None, **machine):
    """A machine with two nodes of 512 MiB each. nodes: how many the loader finds, with those that have no memory; first: steps before it."""
    return Case(name, config(_steady("one"), partition("narrow", "guest:steady", startup_mib=_NARROW_MIB, auto_start=False),
                             partition("other", "guest:steady", startup_mib=_NARROW_MIB, auto_start=False),
                             partition("wide", "guest:steady", startup_mib=_WIDE_MIB, auto_start=False), **(host or {})),
                [*first, expect(rf"^ballast: loader: processors: 1, NUMA nodes: {nodes}, ACPI: found$", 90),
                 expect(r"^ballast: memory: 10\d\d MiB on 2 node\(s\)", 60), expect(r"^\[one\] steady 1$", 90), call(step),
                 ask("stop one off", r"all partitions ended", 60)],
                forbid=(r"FAIL", r"CORRUPT"), memory_mib=2 * _NODE_MIB, **machine)


def _on_nodes_of_firmware(name, step, **how):
    """Bochs has no NUMA: tests/firmware describes the nodes, on both beds, and starts the loader. The processor is on a third."""
    files = {"/EFI/BOOT/BOOTX64.EFI": "tests/firmware/two-nodes.EFI", "/EFI/BOOT/BALLAST.EFI": "boot/efi/BOOTX64.EFI"}
    return _on_two_nodes(name, step, nodes=3, first=[expect(r"^test firmware: the SRAT has two nodes with memory$", 90)], files=files, **how)


def _lacks(bed, feature, backend):
    return Case(f"no-nested-paging-{bed}", config(_steady("one")),
                [expect(rf"^ballast: error: Ballast cannot run here: processor 0 lacks {feature}, which {backend} needs$", 120)],
                ends="broken", nested_paging=False, beds=(bed,))


# Two CPUs are not repeatable, and under QEMU guests' seconds are seconds of the wall.
CASES = [
    _lacks("svm", r"nested paging \(CPUID Fn8000_000A EDX\[NP\]\)", "SVM/NPT"),
    _lacks("vmx", "enable EPT", "VMX/EPT"),
    _on_nodes_of_firmware("one-node", _stays_on_one),
    _on_nodes_of_firmware("spanning", _lies_on_both, host={"numa_spanning": True}),
    _on_two_nodes("one-node-qemu", lambda machine: _stays_on_one(machine, near_node=0), numa_nodes=2, beds=("svm",)),
    Case("one-each", config(_steady("one"), _steady("two")),
         [expect(r"^\[two\] steady 1$", 180), _counting("one", "two", seconds=2), _placed("one", "two"), ask("check", _CHECKED, 60),
          ask("dump one", r"rip 0000000000[0-9a-f]{6} "), ask("dump two", r"rip 0000000000[0-9a-f]{6} "),
          # What is asked for on CPU 0 reaches the other in the middle of its guest's turn.
          send("restart two"), expect(r"^\[two\] steady 1$", 60), _counting("one", "two", seconds=1),
          send("stop two off"), expect(r"^ballast: partition two: turned off", 20), ask("check", _CHECKED, 60),
          send("start two"), expect(r"^\[two\] steady 1$", 60), _counting("one", "two", seconds=2), call(_kept_pace("one", "two")),
          send("stop one off"), expect(r"^ballast: partition one: turned off", 20), _counting("two", seconds=1),
          ask("check", _CHECKED, 60), call(_all_back),
          ask("stop two off", r"all partitions ended", 60)],
         forbid=(r"FAIL", r"CORRUPT"), cpus=2, timeout_s=400),
    Case("four", config(*(_steady(name) for name in ("one", "two", "three", "four"))),
         [expect(r"^ballast: processors: 4 of 4 run ", 120), _counting("one", "two", "three", "four", seconds=2),
          _placed("one", "two", "three", "four"), ask("check", _CHECKED, 60), call(_kept_pace("one", "two", "three", "four")),
          *(send(f"stop {name} off") for name in ("one", "two", "three")), expect(r"^ballast: partition three: turned off", 30),
          ask("stop four off", r"all partitions ended", 60)],
         forbid=(r"FAIL", r"CORRUPT"), cpus=4, timeout_s=400),
    # A kick may come at any place of an exit's way. Each `check` stops the other CPU by one.
    Case("kicks", config(_steady("one"), partition("two", "guest:exit-storm", startup_mib=16)),
         [expect(r"^\[one\] steady 1$", 180), *[ask("check", _CHECKED, 60)] * 8, _counting("one", "two", seconds=2), call(_kept_pace("one")),
          send("stop two off"), expect(r"^ballast: partition two: turned off", 20), ask("check", _CHECKED, 60),
          ask("stop one off", r"all partitions ended", 60)],
         forbid=(r"FAIL", r"CORRUPT"), cpus=2, timeout_s=400),
]
