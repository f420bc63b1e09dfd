"""Runs the transcript in docs/import.md against a local stack, and has a member who left stay out."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.example_audiences import EXAMPLE
from local.sample_profiles import Person, audience_event
from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.transcript import Transcript, compare, needs_curl
from tests.waiting import wait_until

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


def test_a_member_who_has_left_since_the_file_was_written_stays_out(stack: LocalStack, tmp_path: Path) -> None:
    left, stayed = Person(1), Person(2)
    file = tmp_path / "members.csv"
    file.write_text("userId,email\n" + "".join(f"{each.user_id},{each.email}\n" for each in (left, stayed)))
    an_hour_ago = time.time() - 3_600
    os.utime(file, (an_hour_ago, an_hour_ago))
    assert stack.post_change(left, enters=False).json()["accepted"] == 1
    stack.wait_until_quiescent()
    printed = Transcript(stack, tmp_path).block(f"$ audience-sync import {file} lapsed_premium_buyers --yes --wait\n")
    assert "Amazon has applied every change." in printed
    assert stayed.user_id in stack.members()
    state = stack.wait_until_quiescent()
    assert left.user_id not in stack.members()
    assert state["accepted"] == 3


def test_a_repair_makes_the_audience_equal_to_the_file(stack: LocalStack, tmp_path: Path) -> None:
    long_ago, kept, added, surplus = datetime(2026, 1, 1, tzinfo=UTC), Person(1), Person(2), Person(3)
    target = {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    events = [audience_event(each, enters=True, at=long_ago, **target) for each in (kept, surplus)]
    assert stack.post(json.dumps(events).encode()).json()["accepted"] == 2
    wait_until(stack.members, lambda members: len(members) == 2)
    file = tmp_path / "members.csv"
    file.write_text("userId,email\n" + "".join(f"{each.user_id},{each.email}\n" for each in (kept, added)))
    stack.wait_until_quiescent()
    command = f"$ audience-sync compare {file} lapsed_premium_buyers --repair missing,surplus --yes\n"
    assert "2 changes sent" in Transcript(stack, tmp_path).block(command)
    wait_until(stack.members, lambda members: members.keys() == {kept.user_id, added.user_id})
    assert "exactly the members of the file" in Transcript(stack, tmp_path).block(command)
    stack.wait_until_quiescent()
