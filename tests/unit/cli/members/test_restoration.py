"""Which rows of an older table come back, with which identities, and that no forgotten person comes back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.aws.membership_rows import StoredMember
from audience_sync.errors import MovedOn, TransientError, Unavailable
from audience_sync.member_state import Identity, LateJob, MemberState, Timing
from audience_sync.member_step import step
from audience_sync.membership import EVERY_AUDIENCE, Member, MembershipChange, Version
from audience_sync_cli.members.restoration import Outcome, Restoration, RestorationReport, decide
from tests import builders

NOW = 10_000  # epoch seconds
LATER = NOW + 1


def identity(at: int, name: str = "") -> Identity:
    return Identity(at, {"email": name or f"hash-{at}"})


def entered(
    at: int, *identities: Identity, person: str = "m1", audience: str = "1", left: int = 0, erase_until: int = 0
) -> MemberState:
    newest = builders.change(person, at=at, audience_id=audience)
    end = Version(left, True, f"id-{left}") if left else None
    return MemberState(newest, identities, end, erase_until, entered=at, revision=3)


def gone(at: int, *identities: Identity, person: str = "m1", audience: str = "1", erase_until: int = 0) -> MemberState:
    newest = builders.change(person, at=at, exits=True, audience_id=audience)
    return MemberState(newest, identities, newest.version, erase_until, exited=at, revision=3)


def notice(at: int, person: str = "m1") -> MemberState:
    return gone(at, person=person, audience=EVERY_AUDIENCE, erase_until=at)


ID_1, ID_5 = identity(1), identity(5)


@pytest.mark.parametrize(
    ("source", "live", "notices", "expected"),
    [
        pytest.param(entered(1, ID_1), None, [], Outcome.COPIED, id="not there: copied"),
        pytest.param(entered(5, ID_5), entered(1, ID_1), [], Outcome.COPIED, id="older there: copied"),
        pytest.param(entered(1, ID_1), entered(1, ID_1), [], Outcome.ALREADY_THERE, id="the same there"),
        pytest.param(entered(1, ID_1), entered(5, ID_5), [], Outcome.NEWER_HERE, id="newer there"),
        pytest.param(entered(1, ID_1), gone(5), [], Outcome.NEWER_HERE, id="has left since"),
        pytest.param(gone(5, ID_1), entered(5, ID_5), [], Outcome.COPIED, id="an exit outranks an enter"),
        pytest.param(entered(1, ID_1), None, [notice(5)], Outcome.FORGOTTEN, id="notice after the enter"),
        pytest.param(entered(5, ID_5), None, [notice(5)], Outcome.FORGOTTEN, id="notice at the time of the enter"),
        pytest.param(entered(5, ID_5), None, [notice(1), notice(9)], Outcome.FORGOTTEN, id="the newest notice counts"),
        pytest.param(entered(5, ID_1, ID_5), None, [notice(1)], Outcome.COPIED, id="back since the notice"),
        pytest.param(entered(5, ID_1), None, [notice(1)], Outcome.FORGOTTEN, id="back with old identities only"),
        pytest.param(entered(5, ID_5), entered(1, erase_until=9), [], Outcome.FORGOTTEN, id="notice in the row here"),
        pytest.param(entered(5, ID_5, erase_until=9), None, [], Outcome.FORGOTTEN, id="notice in the row there"),
        pytest.param(gone(5, ID_5), None, [notice(9)], Outcome.FORGOTTEN, id="left, then notice"),
        pytest.param(gone(5, ID_5, erase_until=1), None, [notice(9)], Outcome.FORGOTTEN, id="notice, left, notice"),
        pytest.param(gone(9, ID_5, erase_until=9), None, [], Outcome.COPIED, id="the record of a notice itself"),
        pytest.param(notice(9), None, [notice(9)], Outcome.COPIED, id="a deletion notice"),
        pytest.param(notice(5), notice(9), [notice(9)], Outcome.NEWER_HERE, id="a newer deletion notice there"),
    ],
)
def test_what_happens_to_a_row(
    source: MemberState, live: MemberState | None, notices: list[MemberState], expected: Outcome
) -> None:
    decision = decide(StoredMember(source, LATER), live, notices, is_listed=True, now=NOW)
    assert decision.outcome is expected
    assert (decision.state is not None) == (expected is Outcome.COPIED)


def test_an_expired_row_stays_out_even_before_dynamodb_deletes_it() -> None:
    assert decide(StoredMember(entered(1, ID_1), NOW), None, [], is_listed=True, now=NOW).outcome is Outcome.EXPIRED


def test_a_row_of_an_audience_that_is_not_listed_stays_out() -> None:
    assert decide(StoredMember(entered(1, ID_1), LATER), None, [], is_listed=False, now=NOW) == (
        Outcome.UNLISTED,
        None,
        False,
    )


def copied(source: MemberState, live: MemberState | None = None, *notices: MemberState, now: int = NOW) -> MemberState:
    decision = decide(StoredMember(source, now + 1), live, notices, is_listed=True, now=now)
    assert decision.state is not None
    return decision.state


def test_a_row_that_is_not_there_is_copied_as_it_is() -> None:
    source = entered(5, ID_5, ID_1, left=2, erase_until=0)
    assert copied(source) == replace(source, revision=0)


def test_identities_older_than_a_notice_are_left_out_of_the_row_of_who_is_back() -> None:
    source = entered(5, ID_5, ID_1, left=2)
    decision = decide(StoredMember(source, LATER), None, [notice(2)], is_listed=True, now=NOW)
    assert decision.is_stripped
    assert decision.state == replace(source, identities=(ID_5,), erase_until=2, revision=0)


def test_the_record_of_a_notice_comes_back_without_identities() -> None:
    assert copied(gone(5, ID_1, erase_until=5)).identities == ()


def test_what_an_older_row_here_knows_is_kept() -> None:
    source = replace(entered(5, ID_5, identity(2, "both")), exited=1)
    live = replace(gone(3, ID_1, identity(3, "both")), revision=8)
    state = copied(source, live)
    assert state.identities == (ID_5, identity(3, "both"), ID_1)
    assert (state.left, state.entered, state.exited) == (live.left, 5, 3)
    assert state.revision == 8, "written only if the row is still the one that was read"
    assert state.active == (ID_5,)


def test_what_may_still_take_effect_is_known_after_the_copying() -> None:
    both, there, here = (LateJob(f"job-{number}", 500, at=1) for number in range(3))
    source = replace(entered(5, ID_5), enters_end=700, removals_end=200, late_jobs=(both, there))
    state = copied(source, replace(entered(1), enters_end=600, removals_end=300, late_jobs=(here, both)))
    assert (state.enters_end, state.removals_end) == (700, 300)
    assert sorted(state.late_jobs) == [both, there, here]


def change(at: int, **options: Any) -> MembershipChange:
    return builders.change(at=at, audience_id="1", **options)


def test_an_exit_after_the_copying_removes_what_the_member_had_entered_with() -> None:
    left = step(copied(entered(5, ID_5)), [change(9, exits=True)], now=NOW, timing=Timing(900))
    (removal,) = left.state.records(removes=left.removes)
    assert removal.record["hashedPII"] == [ID_5.digests]


def test_a_late_enter_still_loses_against_a_notice_that_was_copied() -> None:
    late = change(5, record={"hashedPII": [ID_5.digests]})
    after = step(copied(gone(9, erase_until=9)), [late], now=NOW, timing=Timing(900))
    assert (after.is_superseded, after.sends, after.state.identities) == (True, False, ())


times = st.integers(1, 6)
identities = st.lists(times, max_size=4, unique=True).map(lambda each: tuple(map(identity, each)))
enters = st.builds(
    lambda at, ids, left, erase: entered(at, *ids, left=left, erase_until=erase),
    times,
    identities,
    st.integers(0, 6),
    st.integers(0, 6),
)
exits = st.builds(lambda at, ids, erase: gone(at, *ids, erase_until=erase), times, identities, st.integers(0, 6))
states = st.one_of(enters, exits)


@given(states, st.none() | states, st.lists(times.map(notice), max_size=2))
def test_no_identity_is_written_that_a_known_notice_is_about(
    source: MemberState, live: MemberState | None, notices: list[MemberState]
) -> None:
    decision = decide(StoredMember(source, LATER), live, notices, is_listed=True, now=NOW)
    known = [source, *([live] if live else []), *notices]
    until = max(state.erase_until for state in known)
    if decision.state is not None:
        assert all(each.at > until for each in decision.state.identities)
        assert decision.state.newest.exits or decision.state.newest.at > until, "no forgotten person is active"
        assert live is None or decision.state.version > live.version


@given(states, st.none() | states, st.lists(times.map(notice), max_size=2))
def test_copying_a_second_time_writes_nothing(
    source: MemberState, live: MemberState | None, notices: list[MemberState]
) -> None:
    first = decide(StoredMember(source, LATER), live, notices, is_listed=True, now=NOW)
    second = decide(StoredMember(source, LATER), first.state or live, notices, is_listed=True, now=NOW)
    assert second.outcome is (Outcome.ALREADY_THERE if first.state else first.outcome)


@dataclass
class Table:
    """Members by key, in pages of two. What is in `fails` cannot be written."""

    rows: dict[Member, MemberState] = field(default_factory=dict)
    fails: dict[Member, TransientError] = field(default_factory=dict)
    expires_at: int = LATER

    @classmethod
    def of(cls, *states: MemberState) -> "Table":
        return cls({state.member: state for state in states})

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        return {member: self.rows[member] for member in members if member in self.rows}

    def write(self, states: Sequence[MemberState]) -> list[MemberState | TransientError]:
        results = [self.fails.get(state.member) or state for state in states]
        self.rows |= {state.member: state for state in results if isinstance(state, MemberState)}
        return results

    def deletion_notices(self) -> Iterator[list[StoredMember]]:
        yield from self._pages([member for member in self.rows if member[0] == EVERY_AUDIENCE])

    def members(self) -> Iterator[list[StoredMember]]:
        yield from self._pages([member for member in self.rows if member[0] != EVERY_AUDIENCE])

    def _pages(self, members: list[Member]) -> Iterator[list[StoredMember]]:
        for start in range(0, len(members), 2):
            yield [StoredMember(self.rows[member], self.expires_at) for member in members[start : start + 2]]


def restore(source: Table, target: Table, *, writes: bool = True) -> RestorationReport:
    return Restoration(source, source, target, ["1"]).run(NOW, writes=writes, on_rows=lambda _: None)


def test_rows_are_counted_by_audience_and_notices_for_themselves() -> None:
    people = [entered(1, ID_1, person=f"m{number}") for number in range(5)]
    other = entered(1, ID_1, audience="2")
    report = restore(Table.of(*people, other, notice(5, "m1")), Table.of(people[0]))
    assert report.outcomes == {
        "1": {Outcome.COPIED: 3, Outcome.ALREADY_THERE: 1, Outcome.FORGOTTEN: 1},
        "2": {Outcome.UNLISTED: 1},
        EVERY_AUDIENCE: {Outcome.COPIED: 1},
    }
    assert report.total.total() == 7


def test_a_notice_that_either_table_has_keeps_the_person_out_also_where_nothing_is_written() -> None:
    source = Table.of(entered(1, ID_1, person="a"), entered(1, ID_1, person="b"), notice(5, "a"))
    target = Table.of(notice(5, "b"))
    for writes in (False, True):
        report = restore(source, target, writes=writes)
        assert report.outcomes["1"] == {Outcome.FORGOTTEN: 2}
    assert target.rows.keys() == {(EVERY_AUDIENCE, "a"), (EVERY_AUDIENCE, "b")}


def test_counting_writes_nothing_and_counts_what_copying_would() -> None:
    source, target = Table.of(entered(1, ID_1), entered(1, ID_1, audience="2"), notice(1, "m9")), Table()
    counted = restore(source, target, writes=False)
    assert target.rows == {}
    assert restore(source, target) == counted


def test_a_row_that_changes_meanwhile_is_counted_and_left_alone() -> None:
    target = Table(fails={("1", "m1"): MovedOn("the member has changed meanwhile")})
    report = restore(Table.of(entered(1, ID_1), entered(1, ID_1, person="m2")), target)
    assert report.outcomes["1"] == {Outcome.CHANGED: 1, Outcome.COPIED: 1}
    assert target.rows.keys() == {("1", "m2")}


def test_a_table_that_fails_ends_the_copying_and_a_second_one_completes_it() -> None:
    source = Table.of(*(entered(1, ID_1, person=f"m{number}") for number in range(4)))
    target = Table(fails={("1", "m2"): Unavailable("the membership table does not answer")})
    with pytest.raises(Unavailable):
        restore(source, target)
    target.fails.clear()
    assert restore(source, target).outcomes["1"] == {Outcome.ALREADY_THERE: 3, Outcome.COPIED: 1}
