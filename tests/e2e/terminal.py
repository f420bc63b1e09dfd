"""Runs a command in a pseudo terminal, and tells what its screen shows from moment to moment."""

import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import batched
from typing import NamedTuple

from tests.e2e.conftest import ROOT

COLUMNS = 80
GLIMPSE = 0.02  # seconds: what is seen more shortly is a screen that is still being written
_COLOUR = re.compile(r"\x1b\[([\d;]*)m")
_CONTROL = re.compile(r"(\x1b\[2K|\x1b\[1A|\x1b\[\?25[hl]|\r|\n)")  # what Rich writes aside from colours


class Moment(NamedTuple):
    """What the screen shows, for so many seconds. Lines have the control sequences of their colours."""

    seconds: float
    lines: list[str]


def plain(line: str) -> str:
    return _COLOUR.sub("", line)


def coloured(line: str) -> list[tuple[str, str]]:
    """Return each character, and the parameters of the control sequence that gave it its colour."""
    return [(each, colour) for colour, text in batched(["", *_COLOUR.split(line)], 2) for each in text]


def screen_after(written: bytes) -> list[str]:
    """Return the lines of a screen. Rich always erases and writes whole lines."""
    lines, row = [""], 0
    for part in _CONTROL.split(written.decode(errors="ignore")):
        match part:
            case "\x1b[2K":
                lines[row] = ""
            case "\x1b[1A":
                row -= 1
            case "\n":
                row += 1
                lines += [""] * (row == len(lines))
            case "\r" | "\x1b[?25h" | "\x1b[?25l":
                pass  # to the first column, and the cursor itself
            case _:
                lines[row] += part
    return lines


@contextmanager
def recorded(command: list[str], until: str, **environment: str) -> Iterator[list[Moment]]:
    """Run a command until it has written `until`, and give the moments up to then. It ends with the block."""
    here, there = pty.openpty()
    environment |= {"COLUMNS": str(COLUMNS), "LINES": "24", "TERM": "xterm-256color", "COLORTERM": ""}
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there
    )
    os.close(there)
    with process, os.fdopen(here, "rb", buffering=0) as terminal:
        try:
            moments, written, began = [], b"", time.monotonic()
            while until.encode() not in written:
                more = terminal.read(65536)
                if (seconds := time.monotonic() - began) > GLIMPSE:
                    moments.append(Moment(seconds, screen_after(written)))
                    began += seconds
                written += more
            yield [*moments, Moment(0.0, screen_after(written))]
        finally:
            process.terminate()
