"""Faults planted into the operator's commands and the renewal are found."""

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from audience_sync.aws.membership_scan import Cursor, MembershipScan, Page
from audience_sync.members.membership import Identity
from audience_sync.operations import renewal
from audience_sync_cli.member_files.comparison import Comparison
from audience_sync_cli.member_files.import_state import ImportState, Progress
from tests.soak.__main__ import run


def finds(kinds: set[str], profile: str, seeds: Iterable[int], events: int) -> bool:
    """Run seeds until one finds one of these."""
    return any(kinds & {each.kind for each in run(seed, events, profile)[1]} for seed in seeds)


def test_interrupted_and_killed_commands_are_completed() -> None:
    simulation, _ = run(1, 150, "commands-only")
    assert simulation.operator
    ended = simulation.operator.ended
    assert {"import: done", "compare: done"} <= {*ended}
    assert {each.split(": ")[1] for each in ended} >= {"done", "killed", "interrupted"}


def test_the_soak_finds_an_import_that_resumes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ImportState.load

    def skip(self: ImportState) -> Progress | None:
        progress = load(self)
        return progress and progress._replace(row=progress.row + 4)

    monkeypatch.setattr(ImportState, "load", skip)
    assert finds({"lost", "stale"}, "commands-only", range(1, 12), 150)  # by one in three


def test_the_soak_finds_a_repair_that_adds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    compare = Comparison.compare

    def forget(self: Comparison, *arguments: object) -> None:
        compare(self, *arguments)  # type: ignore[arg-type]
        self.enters.clear()

    monkeypatch.setattr(Comparison, "compare", forget)
    assert finds({"lost"}, "commands-only", (1, 2, 3), 150)


def test_the_soak_finds_a_renewal_that_sends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MembershipScan, "last_sent_before", lambda *_: Page([], 0, None))
    assert finds({"dropped early"}, "renewal-months", [2], 40)


def test_the_soak_finds_a_renewal_that_brings_back_leavers(monkeypatch: pytest.MonkeyPatch) -> None:
    def everybody(self: MembershipScan, _moment: int, cursor: Cursor) -> Page:
        states = [state for page in self.states(cursor.audience_id) for state in page]
        now = round(time.time() * 1000)
        changes = [
            replace(state.newest, at=now, exits=False, identities=tuple(Identity(now, each.digests) for each in known))
            for state in states
            if (known := state.identities)
        ]
        return Page(changes, len(states), None)

    monkeypatch.setattr(MembershipScan, "last_sent_before", everybody)
    monkeypatch.setattr(renewal, "is_renewed", lambda audience: bool(audience.settings))
    assert finds({"stale", "resurrected"}, "renewal-months", (1, 2), 40)
