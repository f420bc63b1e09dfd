"""Runs a command in a pseudo terminal, and tells what its screen shows from moment to moment."""

import codecs
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.e2e.conftest import ROOT

COLUMNS = 80
GLIMPSE = 0.02  # seconds: what is seen more shortly is a screen that is still being written
_NEXT = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([^\x1b])", re.DOTALL)  # a control sequence, or a character
_BEGUN = re.compile(r"\x1b[^A-Za-z]*$")  # a sequence whose end has not arrived


class Cell(NamedTuple):
    """A character, and the parameters of the control sequence that gave it its colour."""

    character: str
    style: str = ""


Line = tuple[Cell, ...]


def text_of(line: Line) -> str:
    return "".join(cell.character for cell in line)


class Moment(NamedTuple):
    """What the screen shows, for so many seconds."""

    seconds: float
    lines: tuple[Line, ...]


class Screen:
    """Understands what Rich writes: colours, and how it goes back to a line and erases it."""

    def __init__(self) -> None:
        self._lines: list[list[Cell]] = [[]]
        self._row = self._column = 0
        self._style = self._begun = ""

    def write(self, text: str) -> None:
        text = self._begun + text
        begun = _BEGUN.search(text)
        self._begun = begun[0] if begun else ""
        for parameters, action, character in _NEXT.findall(text.removesuffix(self._begun)):
            self._put(character) if character else self._obey(action, parameters)

    def lines(self) -> tuple[Line, ...]:
        return tuple(map(tuple, self._lines))

    def _obey(self, action: str, parameters: str) -> None:
        match action, parameters:
            case "m", _:
                self._style = parameters.removeprefix("0")
            case "A", _:
                self._row -= int(parameters)
            case "K", "2":
                self._lines[self._row] = []
            case (("h" | "l"), _):
                pass  # shows or hides the cursor, which the picture leaves out
            case _:
                raise NotImplementedError(f"control sequence {parameters}{action}")

    def _put(self, character: str) -> None:
        match character:
            case "\r":
                self._column = 0
            case "\n":
                self._row += 1
                self._lines += [[]] * (self._row == len(self._lines))
            case _:
                line = self._lines[self._row]
                line[self._column : self._column + 1] = [Cell(character, self._style)]
                self._column += 1


@contextmanager
def recorded(command: list[str], until: str, **environment: str) -> Iterator[list[Moment]]:
    """Run a command until its screen shows `until`, and give the moments up to then. It ends with the block."""
    here, there = pty.openpty()
    fixed = {"COLUMNS": str(COLUMNS), "LINES": "24", "TERM": "xterm-256color", "COLORTERM": ""}
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | fixed | environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there
    ) as process:
        os.close(there)
        try:
            screen, decoder = Screen(), codecs.getincrementaldecoder("utf-8")()
            moments: list[Moment] = []
            began = time.monotonic()
            while not any(until in text_of(line) for line in screen.lines()):
                before = screen.lines()
                written = _read(here)
                assert written, "ended with: " + "\n".join(map(text_of, before))
                screen.write(decoder.decode(written))
                if (seconds := time.monotonic() - began) > GLIMPSE:
                    moments.append(Moment(seconds, before))
                    began += seconds
            yield [*moments, Moment(0, screen.lines())]
        finally:
            process.terminate()
            os.close(here)


def _read(terminal: int) -> bytes:
    """Return what has been written, or nothing at the end, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
