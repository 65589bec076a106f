# SPDX-License-Identifier: Apache-2.0
"""What COM1 says as values, and the demonstration that shows them."""
import io
import re
import shutil
import sys
import unittest
from unittest import mock

from fakes import fake  # first: it finds the package
from ballastlib import console, demo, machine


class ConsoleLines(unittest.TestCase):
    def test_rows(self):
        row = console.row("ballast: | web              | running  |      512 |    301 |   41% | OK           | 256/512/1024     |")
        self.assertEqual((row.name, row.assigned, row.demand, row.available, row.maximum), ("web", 512, 301, 41, 1024))
        self.assertIsNone(console.row("ballast: | a | running | 64 | - | - | Not reported | 64/64/64 |").demand)
        self.assertEqual(console.row("ballast: | a | running | 64 | 70 | -9% | Warning | 64/64/64 |").available, -9)
        self.assertIsNone(console.row("ballast: | partition | state | assigned | demand | avail | status | min/startup/max |"))

    def test_guest_state(self):
        state = console.guest_state("ballast-guest: MemTotal=480284 kB MemAvailable=1024 kB ballooned=256 added=0 onlined=0 uptime=2.50")
        self.assertEqual((state.available, state.ballooned, state.uptime), (1.0, 1.0, 2.5))
        without = console.guest_state("ballast-guest: MemTotal=480284 kB MemAvailable=1024 kB no-balloon-driver uptime=2.50")
        self.assertIsNone(without.ballooned)
        self.assertIsNone(console.guest_state("ballast-guest: MemTotal=480"))


class Demo(unittest.TestCase):
    def findings(self, scenario):
        story = demo.Story()
        with fake(scenario, timeout_s=30) as run:
            demo.follow(run, story, live=False, why="")
            return {what: seen for what, seen, _ in story.findings(run.wait_end())}

    def test_growth_and_fall_are_seen(self):
        self.assertEqual([what for what, seen in self.findings("demo").items() if not seen], [])

    def test_a_guest_that_stays_is_no_success(self):
        missing = [what for what, seen in self.findings("flat").items() if not seen]
        self.assertEqual(len([what for what in missing if what.startswith(("growth", "a fall", "memory"))]), 3)


class LiveView(unittest.TestCase):
    def draw(self, *size):
        """What is on a terminal of this size."""
        story = demo.Story()
        for text in ("[web] ballast-guest: up after 2 s", "[web] memload: phase 2/3: 620 MiB for 30 s",
                     f"ballast: check: ok {'with very much to say ' * 20}",
                     "[web] ballast-guest: MemTotal=1047284 kB MemAvailable=1001024 kB ballooned=256000 added=256000 uptime=100.50",
                     "ballast: | web              | running  |      512 |    256 |   41% | OK           | 256/512/1024     |"):
            story.take(machine.Line(text, 100.0))
        output = io.StringIO()
        with mock.patch.object(shutil, "get_terminal_size", return_value=size), mock.patch.object(sys, "stdout", output):
            drawn = demo.draw(story, mock.Mock(**{"elapsed_s.return_value": 100.0}), "software QEMU (SVM); no nested KVM: for a long reason", 0)
        *lines, end = re.sub(r"\x1b\[2K", "", output.getvalue()).split("\n")
        self.assertEqual((end, len(lines)), ("\x1b[J", drawn))
        self.assertLess(max(map(len, lines)), size[0])
        self.assertLess(len(lines), size[1])
        return lines

    def test_80_columns_hold_it(self):
        lines = self.draw(80, 24)
        self.assertIn("Ballast on software QEMU (SVM), 100 s, load 620 MiB    (MiB; Ctrl-C ends)", lines)
        self.assertIn(f"  [{'#' * 16}{'=' * 16}{'.' * 32}]", lines)
        self.assertIn("guest: MemTotal 1023, available 978, ballooned 1000, hot-added 1000, up 100 s", lines)

    def test_a_small_terminal_is_not_overrun(self):
        self.draw(30, 6)


if __name__ == "__main__":
    unittest.main()
