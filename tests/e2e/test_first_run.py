"""Runs the transcript in docs/first-run.md on a stack with its usual settings, just started."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.transcript import Transcript, compare
from tests.support.waiting import wait_until

DOCUMENT = ROOT / "docs" / "first-run.md"
MEMBERS = ROOT / "events" / "members.csv"
OF_THE_FILE = {"cust_2001", "cust_2002", "cust_2003", "cust_2004", "cust_2005", "cust_2008"}
USUAL = ("--batch-window", "1", "--job-delay", "1")  # as `python -m local` has them; other tests take quicker ones

pytestmark = pytest.mark.transcript


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    os.utime(MEMBERS)  # as a clone leaves it
    with local_stack(*USUAL) as stack:
        yield stack


def test_the_first_run_shows_what_the_commands_print(started: LocalStack, tmp_path: Path) -> None:
    actual = Transcript(started, tmp_path).of(DOCUMENT.read_text(encoding="utf-8"))
    wait_until(started.members, lambda members: members.keys() == OF_THE_FILE)
    compare(DOCUMENT, actual)
