"""Runs a command so that it prints the same each time."""

import os
import sys


def fix_hashes(module: str) -> None:
    """Start this process again as `python -m module`, unless its sets already have the same order in every run."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        arguments = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, arguments, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
