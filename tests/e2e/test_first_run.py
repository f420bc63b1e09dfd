"""Runs the transcript in docs/first-run.md on a stack with its usual settings, just started."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.transcript import UPDATE, Transcript, compare
from tests.support.waiting import wait_until

DOCUMENT = ROOT / "docs" / "first-run.md"
MEMBERS = ROOT / "events" / "members.csv"
OF_THE_FILE = {"cust_2001", "cust_2002", "cust_2003", "cust_2004", "cust_2005", "cust_2008"}
START = "`python -m local`, until it is ready"
USUAL = ("--batch-window", "1", "--job-delay", "1")  # as `python -m local` has them; other tests take quicker ones
_TIMES = re.compile(r"(?m)^\| step \| seconds \|\n\| --- \| --- \|\n((?:\|.*\n)*)")

pytestmark = pytest.mark.transcript


class Started:
    """A stack, and how long it took to start."""

    def __init__(self, stack: LocalStack, seconds: float) -> None:
        self.stack = stack
        self.seconds = seconds


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    os.utime(MEMBERS)  # as a clone leaves it
    began = time.monotonic()
    with local_stack(*USUAL) as stack:
        yield Started(stack, time.monotonic() - began)


def test_the_first_run_shows_what_the_commands_print(started: Started, tmp_path: Path) -> None:
    run = Transcript(started.stack, tmp_path)
    actual = run.of(DOCUMENT.read_text(encoding="utf-8"))
    wait_until(started.stack.members, lambda members: members.keys() == OF_THE_FILE)
    steps = {START: started.seconds} | {
        f"`{command.split(' | ')[0]}`": seconds for command, seconds in run.seconds.items()
    }
    if UPDATE:
        rows = "".join(f"| {step} | {seconds:.1f} |\n" for step, seconds in steps.items())
        actual = _TIMES.sub(lambda table: table[0].removesuffix(table[1]) + rows, actual)
    compare(DOCUMENT, actual)
    assert _steps(actual) == list(steps)


def _steps(document: str) -> list[str]:
    """The steps of the table of times. Seconds differ from machine to machine, so they are not compared."""
    (table,) = _TIMES.findall(document)
    return re.findall(r"(?m)^\| (.+) \| \d+\.\d \|$", table)
