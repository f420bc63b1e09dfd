"""Runs the commands of a document against a local stack, and compares every line of output with the document.

After an intended change, `make docs` writes the new outputs into the document.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, LocalStack
from tests.support.waiting import wait_until

BROWSER = ROOT / "tests/support/browser.py"
API, AMAZON = "http://127.0.0.1:8080", "http://127.0.0.1:8081"  # as the documents have them
UPDATE = bool(os.environ.get("UPDATE_DOCS"))
_BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```")
_AFTER = {"answer": 0.1, "queue": 0.2, "table": 1.4, "upload": 1.5, "job": 2.8}  # seconds, for each place
_CHANGING: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (  # what differs from run to run
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "2026-03-04 09:15:22Z"),
    (re.compile(r"(state|code_challenge)=[\w-]+"), r"\1=..."),
    (re.compile(r"erase-[0-9a-f]{32}"), "erase-0123456789abcdef0123456789abcdef"),
    (re.compile(r"(?<= )[0-9a-f]{8}(?= )"), "1a2b3c4d"),  # fingerprints, and the first characters of message ids
    (re.compile(r"(?m)^[0-9a-f]{8}(?= )"), "1a2b3c4d"),
    (re.compile(r"audience-sync-[0-9a-f]{32}"), "audience-sync-0123456789abcdef0123456789abcdef"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "0138b94e-2f2f-4e35-b1a7-9c76cfd55235"),  # a job
    (
        re.compile(r"(?m)^(answer|queue|table|upload|job) +[\d.]+ s"),
        lambda line: f"{line[1]:<6} {_AFTER[line[1]]:>8} s",
    ),
    (re.compile(r"queue holds \d+ messages?"), "queue holds 1 message"),
    (re.compile(r"valid for \d+ minutes"), "valid for 60 minutes"),
    # Where five minutes of the clock end during the run, the audit has begun.
    (
        re.compile(r"completed up to (\S+ \S+), 0 unaccounted for"),
        r"nothing yet; the audit counts what is accepted from \1 on",
    ),
)

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript uses curl, which is not installed")


class Transcript:
    """Runs commands one after the other, in one environment. `folder` is for the command itself."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self._stack = stack
        command = folder / "audience-sync"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m audience_sync_cli "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "AUDIENCE_SYNC_LOCAL": stack.where["api"],
            "AMAZON": stack.where["amazon"],
            "EVENT_KEY": stack.where["eventKey"],
            "BROWSER": f"{sys.executable} {BROWSER} %s",
        }

    def of(self, text: str) -> str:
        """Run the commands of all blocks of a document, and return it with what they print."""
        return _BLOCK.sub(lambda block: f"```console\n{self.block(block[1])}```", text)

    def block(self, text: str) -> str:
        """Run the commands of one block and return the block with what they print."""
        commands = [line for line in text.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{self._run(line.removeprefix('$ '))}" for line in commands)

    def _run(self, command: str) -> str:
        if command.startswith("export "):
            return ""
        # A person types more slowly than this.
        wait_until(self._stack.state, lambda state: state["quiescent"])
        completed = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        printed = completed.stdout.replace(self._stack.where["api"], API).replace(self._stack.where["amazon"], AMAZON)
        lines = [line.rstrip() for line in as_documented(printed).splitlines()]
        return "".join(f"{line}\n" for line in lines)


def as_documented(printed: str) -> str:
    """Replace what differs from run to run."""
    for changing, fixed in _CHANGING:
        printed = changing.sub(fixed, printed)
    return printed


def compare(document: Path, actual: str) -> None:
    """Fail unless the document is what was printed; for `make docs`, write it first."""
    text = document.read_text(encoding="utf-8")
    if UPDATE:
        document.write_text(actual, encoding="utf-8")
        text = actual
    assert actual.splitlines() == text.splitlines(), f"{document.name} is out of date: run `make docs`"
