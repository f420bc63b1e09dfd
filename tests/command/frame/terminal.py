"""Runs a command in a pseudo terminal, and tells what its screen shows at the end."""

import os
import pty
import re
import subprocess

from local.template import ROOT

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CONTROL = re.compile(r"(\x1b\[2K|\x1b\[1A|\x1b\[\?25[hl]|\r|\n)")  # what Rich writes aside from colours


def _screen_after(written: bytes) -> list[str]:
    """Return the lines of a screen. Rich always erases and writes whole lines."""
    lines, row = [""], 0
    for part in _CONTROL.split(_COLOUR.sub("", written.decode(errors="ignore"))):
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


def screen_of(command: list[str], until: str) -> list[str]:
    """Run a command until it has written `until`, end it, and return the lines of the screen, without colours."""
    here, there = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color", "COLORTERM": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there)
    os.close(there)
    with process, os.fdopen(here, "rb", buffering=0) as terminal:
        try:
            written = b""
            while until.encode() not in written:
                written += terminal.read(65536)
            return _screen_after(written)
        finally:
            process.terminate()
