"""Runs the transcript in docs/import.md against a local stack, and has a member who left stay out.

After an intended change, UPDATE_DOCS=1 writes the new outputs into the document.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sample_profiles import Person
from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.test_cli import TranscriptRun
from tests.waiting import wait_until

DOCUMENT = ROOT / "docs" / "import.md"
MEMBERS = ROOT / "events" / "members.csv"
ENTERING = ["cust_2001", "cust_2002", "cust_2003", "cust_2004", "cust_2005", "cust_2008"]

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    """A stack of its own, because the transcript counts from the beginning."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    an_hour_ago = time.time() - 3_600
    os.utime(MEMBERS, (an_hour_ago, an_hour_ago))  # a checkout may be of any age
    with local_stack() as started:
        yield started


def test_the_documented_import_shows_what_the_command_prints(stack: LocalStack, tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    run = TranscriptRun(stack, tmp_path)
    actual = re.sub(r"(?ms)^```console\n(.*?)^```", lambda block: f"```console\n{run.block(block[1])}```", text)
    wait_until(stack.members, lambda members: sorted(members) == ENTERING)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(actual, encoding="utf-8")
    assert actual.splitlines() == text.splitlines()


def test_a_member_who_has_left_since_the_file_was_written_stays_out(stack: LocalStack, tmp_path: Path) -> None:
    left, stayed = Person(1), Person(2)
    file = tmp_path / "members.csv"
    file.write_text("userId,email\n" + "".join(f"{each.user_id},{each.email}\n" for each in (left, stayed)))
    an_hour_ago = time.time() - 3_600
    os.utime(file, (an_hour_ago, an_hour_ago))
    assert stack.post_change(left, enters=False).json()["accepted"] == 1
    stack.wait_until_quiescent()
    TranscriptRun(stack, tmp_path).block(f"$ audience-sync import {file} lapsed_premium_buyers --yes\n")
    wait_until(stack.members, lambda members: stayed.user_id in members)
    state = stack.wait_until_quiescent()
    assert left.user_id not in stack.members()
    assert state["accepted"] == 3
