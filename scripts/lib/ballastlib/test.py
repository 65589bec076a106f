# SPDX-License-Identifier: Apache-2.0
"""scripts/test: builds and runs everything CI runs, or a part. The last line is "N passed, N failed"."""
import collections
import re
import subprocess
import sys
import threading
import time

from . import build, cases, static_checks
from .arguments import Parser
from .paths import ROOT, preset_dir, show
from .say import Failure

KINDS = ("unit", "svm", "vmx")


class Report:
    """Counts and prints results; from several threads."""

    def __init__(self):
        self.passed = self.failed = 0
        self._lock = threading.Lock()

    def add(self, name, why, took_s, remark=""):
        with self._lock:
            if why is None:
                self.passed += 1
                print(f"ok {name} ({took_s:.1f} s)" + (f" {remark}" if remark else ""), flush=True)
            else:
                self.failed += 1
                print(f"FAIL {name} {why}", flush=True)

    def time(self, name, function):
        """Runs function() -> why or (why, remark) and adds its result."""
        began = time.monotonic()
        try:
            result = function()
        except Failure as failure:
            result = str(failure)
        except Exception as mistake:  # in the check itself: the others are run all the same
            result = f"{type(mistake).__name__}: {mistake}"
        why, remark = result if isinstance(result, tuple) else (result, "")
        self.add(name, why, time.monotonic() - began, remark)
        return why is None


def _build(preset):
    def action():
        build.build(preset)
    return action


def _ctest(preset, wanted, report):
    """Runs the unit tests of a build and reports each."""
    command = ["ctest", "--test-dir", preset_dir(preset), "--output-on-failure", "--timeout", "300", "-j2"]
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True)
    found = re.findall(r"Test\s+#\d+: (\S+) \.*\s*(\S.*?)\s+([\d.]+) sec", done.stdout)
    logs = preset_dir(preset) / "Testing/Temporary/LastTest.log"
    for name, verdict, seconds in found:
        full = f"{name}.{preset}"
        if wanted(full):
            why = " ".join(verdict.replace("***", " ").split()).rstrip(":")  # "Subprocess aborted***Exception:"
            report.add(full, None if verdict == "Passed" else f"{why}, see {show(logs)}", float(seconds))
    # A test whose result is not read must not pass for want of a line.
    counted = re.search(r"tests failed out of (\d+)", done.stdout)
    failed = sum(verdict != "Passed" for _, verdict, _ in found)
    if not counted or int(counted.group(1)) != len(found) or done.returncode != 0 and failed == 0:
        report.add(f"unit.ctest.{preset}", f"{len(found)} results, {failed} failures, but CTest ended with status {done.returncode}: "
                                           f"{done.stdout[-200:]} {done.stderr[-200:]}", 0)


def unit(report, wanted):
    """Builds everything with both compilers and runs what needs no emulator. Returns the presets that were built."""
    # Whatever was asked for: everything below needs the builds.
    built = {preset for preset in build.PRESETS if report.time(f"build.{preset}", _build(preset))}
    checks = {"check.commands": _commands_test, "check.format": static_checks.formatting, "check.includes": static_checks.include_rules}
    if built == set(build.PRESETS):
        for preset in build.PRESETS:
            _ctest(preset, wanted, report)
        checks.update({"check.headers": static_checks.headers_alone, "check.tidy": static_checks.tidy})
    for name, function in checks.items():
        if wanted(name):
            report.time(name, function)
    return built


def _commands_test():
    """The commands' own tests (scripts/check/test_*.py)."""
    done = subprocess.run([sys.executable, "-B", "-m", "unittest", "discover", "-s", ROOT / "scripts/check", "-p", "test_*.py"],
                          text=True, capture_output=True)
    return None if done.returncode == 0 else done.stderr.strip()[-1500:]


def products(presets, report):
    """Builds what a boot needs with each of the presets; a failure is a result. Returns the presets that were built."""
    built = set()
    for preset in sorted(presets):
        try:
            build.build(preset, build.PRODUCT)
            built.add(preset)
        except Failure as failure:
            report.add(f"build.{preset}", str(failure), 0)
    return built


def _emulate(kind, name, case, report):
    began, log, remark = time.monotonic(), None, None
    try:
        why, log = cases.run_case(kind, name, case)
        remark = case.remark() if case.remark and why is None else None
    except Exception as mistake:  # in the case itself: the others are run all the same
        why = f"{type(mistake).__name__}: {mistake}"
    report.add(f"{kind}.{name}", why if why is None or log is None else f"{why} (log {show(log)})", time.monotonic() - began, remark or "")


def emulate(chosen, report):
    """Runs {kind: [(name, Case)]}, two at a time: a bed each in its order, and who is done first takes what the other would come to last."""
    waiting = [collections.deque((kind, name, case) for name, case in found) for kind, found in chosen.items()]

    ended = threading.Event()

    def work(own):
        while not ended.is_set():
            try:
                job = own.popleft() if own else max(waiting, key=len).pop()
            except IndexError:  # nothing is left, or the other was quicker
                if not any(waiting):
                    return
                continue
            _emulate(*job, report)

    workers = [threading.Thread(target=work, args=(waiting[number % len(waiting)],), daemon=True) for number in range(2 if waiting else 0)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:  # raised here and nowhere else: the workers would go on to the last case
        ended.set()
        cases.give_up()
        for worker in workers:
            worker.join(30)  # a command under test is a process of its own, and may take its time
        raise


_CTEST = re.compile(r"^\s*(?:add_test\(NAME |ballast_(?=unit_test|fuzzer))([\w.(]+)", re.MULTILINE)


def _ctests():
    """The names of the tests that CTest runs, as the CMake files of tests/ have them."""
    found = set()
    for file in (ROOT / "tests").rglob("CMakeLists.txt"):
        found.update(name.replace("unit_test(", "unit.").replace("fuzzer(", "fuzz.") for name in _CTEST.findall(file.read_text()))
    return sorted(found - {"fuzz."})


def _part(name):
    kind = name.partition(".")[0]
    return kind if kind in ("svm", "vmx") else "unit"


def _listing():
    names = ["build.gcc", "build.clang", "check.commands", "check.format", "check.includes", "check.headers", "check.tidy"]
    names += [f"{name}.{preset}" for name in _ctests() for preset in build.PRESETS]
    for kind in ("svm", "vmx"):
        names += [f"{kind}.{name}" for name, case in cases.load() if kind in case.beds]
    return names


def entry(arguments):
    parser = Parser(prog="scripts/test", description="Builds and runs the tests; all of them without an argument.")
    parser.add_argument("part", nargs="?", choices=KINDS, help="unit: builds, unit tests, fuzzers, checks; svm, vmx: the emulator tests")
    parser.add_argument("pattern", nargs="?", help="only tests whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="only print the names")
    options = parser.parse_args(arguments)

    try:
        pattern = re.compile(options.pattern or "")
    except re.error as error:
        parser.error(f'argument pattern: "{options.pattern}" is no regular expression: {error}')

    def wanted(name):
        return pattern.search(name) is not None

    names = [name for name in _listing() if wanted(name) and options.part in (None, _part(name))]
    if not names:
        raise Failure(f'no test of "{options.part}" has a name that matches "{options.pattern}"; scripts/test --list shows them')
    if options.list:
        print("\n".join(names))
        return 0

    report = Report()
    chosen = {kind: [(name, case) for name, case in cases.load() if kind in case.beds and wanted(f"{kind}.{name}")]
              for kind in ("svm", "vmx") if options.part in (None, kind)}
    if options.part in (None, "unit"):
        built = unit(report, wanted)
    else:
        built = products({case.preset for found in chosen.values() for _, case in found}, report)
    emulate({kind: [(name, case) for name, case in found if case.preset in built] for kind, found in chosen.items()}, report)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0
