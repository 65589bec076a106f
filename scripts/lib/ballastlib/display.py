# SPDX-License-Identifier: Apache-2.0
"""A display for an emulator that draws into a window: an X server without a screen, whose picture is a file.

Bochs shows what a machine's display adapter is told by a window of X only in more than 256 colours, and firmware wants more.
"""
import os
import struct
import subprocess
from pathlib import Path

from .say import Failure

_HEADER = struct.Struct(">25I")  # XWDFile.h, XWDFileHeader: 32-bit words, the most significant byte first
_COLOUR_BYTES = 12


def cut_out(picture, left, top, width, height):
    """Reads a part of an X window dump (32 bits a pixel, blue first): three bytes a pixel, red first."""
    header = _HEADER.unpack_from(picture)
    header_bytes, version, whole_width, whole_height, lsb_first = header[0], header[1], header[4], header[5], header[7] == 0
    bits, row_bytes, colours, masks = header[11], header[12], header[19], header[14:17]
    if (version, bits, lsb_first, masks) != (7, 32, True, (0xff0000, 0xff00, 0xff)):
        raise Failure(f"an X window dump of a kind that is not known: {header}")
    if left + width > whole_width or top + height > whole_height:
        raise Failure(f"the X server's screen is {whole_width} x {whole_height} and too small")
    cut = bytearray(3 * width * height)
    for y in range(height):
        begin = header_bytes + colours * _COLOUR_BYTES + (top + y) * row_bytes + 4 * left
        row = picture[begin:begin + 4 * width]
        for place in range(3):
            cut[3 * width * y + place:3 * width * (y + 1):3] = row[2 - place::4]
    return bytes(cut)


class Display:
    """An X server of our own, until stop(). `name` is what DISPLAY has to be."""

    def __init__(self, folder: Path, width=1280, height=1024):
        self._picture = folder / "Xvfb_screen0"
        ready, tell = os.pipe()
        command = ["Xvfb", "-displayfd", str(tell), "-screen", "0", f"{width}x{height}x24", "-fbdir", folder, "-nolisten", "tcp"]
        try:
            with open(folder / "xvfb.log", "wb") as log:
                self._process = subprocess.Popen([str(word) for word in command], pass_fds=[tell], stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=subprocess.STDOUT, start_new_session=True)
        except FileNotFoundError:
            os.close(ready)
            raise Failure("Xvfb is missing: run scripts/setup") from None
        finally:
            os.close(tell)
        with open(ready) as number:
            self.name = ":" + number.readline().strip()
        if self.name == ":":
            self.stop()
            raise Failure(f"the X server did not start: {(folder / 'xvfb.log').read_text(errors='replace')[-400:].strip()}")

    def picture(self, left, top, width, height):
        """A part of what is shown: three bytes a pixel, row by row."""
        return cut_out(self._picture.read_bytes(), left, top, width, height)

    def stop(self):
        self._process.terminate()
        self._process.wait()
