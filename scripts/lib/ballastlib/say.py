# SPDX-License-Identifier: Apache-2.0
"""Progress and errors for people: one line a step, times on the long ones."""
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager


class Failure(Exception):
    """Something a person has to act on; its text is the whole message."""


def note(text: str) -> None:
    print(f"-- {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str):
    """Announces a step and says how long it took when that was noticeable."""
    note(f"{text} ...")
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    if took >= 2:
        note(f"{text}: done in {took:.0f} s")


def run(command, *, cwd=None, env=None, quiet=True, what=None) -> str:
    """Runs a program to its end and returns its output; a failure shows the output's tail.

    quiet=False lets the program write to our stderr while it runs (long builds); the output is then not returned.
    """
    command = [str(part) for part in command]
    try:
        if quiet:
            done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, text=True, errors="replace",
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        else:
            done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except FileNotFoundError as error:
        if error.filename != command[0]:
            raise  # the folder to run in
        raise Failure(f"{command[0]}: no such program; run scripts/setup") from None
    output = done.stdout or ""
    if done.returncode != 0:
        tail = "\n".join(output.splitlines()[-30:])
        raise Failure(f"{what or ' '.join(command)}: failed with status {done.returncode}\n{tail}".rstrip())
    return output


class _Ended(KeyboardInterrupt):
    """A signal that ends a command; what is under way is cleared up as after Ctrl-C."""


def _end(number, _):
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # once is enough, and the clearing up is not to be cut short
    raise _Ended(number)


def main(entry) -> None:
    """Runs a command's entry point and turns what happened into an exit status (3: could not even try)."""
    # An emulator is in a session of its own: nobody but us ends it, also when a terminal is closed or a time limit strikes.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # else: nohup
            signal.signal(number, _end)
    try:
        status = entry(sys.argv[1:])
        if sys.stdout:
            sys.stdout.flush()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        status = 3
    except BrokenPipeError:  # "| head": who reads our output has enough; the interpreter would complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 128 + signal.SIGPIPE
    except OSError as error:  # the machine's trouble, not a mistake of ours: no room, no permission, no such file
        print("error: " + ": ".join(str(part) for part in (error.filename, error.strerror or error) if part), file=sys.stderr)
        status = 3
    except _Ended as ended:
        status = 128 + ended.args[0]
    except KeyboardInterrupt:
        status = 130
    sys.exit(status or 0)
