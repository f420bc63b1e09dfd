"""Runs the transcript in docs/import.md against a local stack."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.transcript import Transcript, compare, needs_curl
from tests.support.waiting import wait_until

DOCUMENT = ROOT / "docs" / "import.md"
MEMBERS = ROOT / "events" / "members.csv"
ENTERING = {"cust_2001", "cust_2002", "cust_2003", "cust_2004", "cust_2005", "cust_2008"}

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    """A stack of its own, because the transcript counts from the beginning."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    an_hour_ago = time.time() - 3_600
    os.utime(MEMBERS, (an_hour_ago, an_hour_ago))  # a checkout may be of any age
    with local_stack() as started:
        yield started


@needs_curl
@pytest.mark.transcript
def test_the_documented_import_shows_what_the_command_prints(stack: LocalStack, tmp_path: Path) -> None:
    actual = Transcript(stack, tmp_path).of(DOCUMENT.read_text(encoding="utf-8"))
    wait_until(stack.members, lambda members: members.keys() >= ENTERING)
    compare(DOCUMENT, actual)
