# SPDX-License-Identifier: Apache-2.0
"""Guests that share a processor see nothing of each other's registers (tests/guests/extended-state.asm)."""
from ballastlib.cases import Case, ask, call, config, expect, partition, send


def _guest(name, letter, **properties):
    return partition(name, "guest:extended-state", startup_mib=16, command_line=letter, **properties)


def _goes_on(*names, seconds=3):
    """Each says so anew: its registers are as it left them."""
    def wait(machine):
        left = dict.fromkeys(names, seconds)
        machine.skip_read()
        while any(left.values()):
            name = machine.expect(rf"^\[({'|'.join(names)})\] extended-state \d+$", 60, stop=r"FAIL").group(1)
            left[name] = max(0, left[name] - 1)
    return call(wait)


CASES = [
    Case("time-shared", config(_guest("one", "a"), _guest("two", "b"), _guest("late", "c", auto_start=False)),
         [_goes_on("one", "two"), send("start late"), _goes_on("one", "two", "late"),
          # Again from the beginning, on a processor that the others have used; and a state that is given back and made anew.
          send("restart two"), expect(r"^\[two\] extended-state 1$", 60), ask("stop one off", r"partition one: turned off", 30),
          send("start one"), _goes_on("one", "two", "late"),
          *[ask(f"stop {name} off", rf"partition {name}: turned off", 30) for name in ("one", "two", "late")]],
         forbid=(r"FAIL",), timeout_s=300),
]
