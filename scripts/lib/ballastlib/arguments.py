# SPDX-License-Identifier: Apache-2.0
"""The commands' arguments, read so that what is wrong with them is said as any other error."""
import argparse
import sys

from .say import Failure


class Parser(argparse.ArgumentParser):
    """argparse's own exit status for a wrong argument, 2, means something else here: that time is up."""

    def error(self, message):
        self.print_usage(sys.stderr)
        raise Failure(f"{message}; {self.prog} --help explains")


def whole(least, most=None):
    """The type of an argument that is a whole number, from `least` to `most`."""
    def read(text):
        value = int(text)
        if value < least or most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is not allowed: " + (f"{least} or more" if most is None else f"{least} to {most}"))
        return value
    read.__name__ = "whole number"  # in argparse's message about text that is none
    return read


def seconds(text):
    """The type of an argument that is a time."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not allowed: more than 0")
    return value
