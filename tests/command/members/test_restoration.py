"""Which rows of an older table come back, with which identities, and that nobody is active against a notice."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import StoredMember
from audience_sync.errors import MovedOn, TransientError, Unavailable
from audience_sync.members.member_state import LateJob, MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import EVERY_AUDIENCE, Identity, Member, MembershipChange, Version
from audience_sync_cli.members.restoration import WRITTEN, Outcomes, Restoration, RowDecision, RowOutcome, decide
from tests.support.builders import change

NOW = 10_000  # epoch seconds
LATER = NOW + 1


def identity(at: int, name: str = "") -> Identity:
    return Identity(at, {"email": name or f"hash-{at}"})


def entered(
    at: int, *identities: Identity, person: str = "m1", audience: str = "1", left: int = 0, erase_until: int = 0
) -> MemberState:
    newest = change(person, at=at, audience_id=audience)
    end = Version(left, True, f"id-{left}") if left else None
    return MemberState(newest, identities, end, erase_until, enter_sent=at, revision=3)


def gone(at: int, *identities: Identity, person: str = "m1", audience: str = "1", erase_until: int = 0) -> MemberState:
    newest = change(person, at=at, exits=True, audience_id=audience)
    return MemberState(newest, identities, newest.version, erase_until, removal_sent=at, revision=3)


def notice(at: int, person: str = "m1") -> MemberState:
    return gone(at, person=person, audience=EVERY_AUDIENCE, erase_until=at)


ID_1, ID_5 = identity(1), identity(5)
TIMING = Timing(900)


@pytest.mark.parametrize(
    ("source", "live", "notices", "expected"),
    [
        pytest.param(entered(1, ID_1), None, [], RowOutcome.COPIED, id="not there: copied"),
        pytest.param(entered(5, ID_5), entered(1, ID_1), [], RowOutcome.COPIED, id="older there: copied"),
        pytest.param(entered(1, ID_1), entered(1, ID_1), [], RowOutcome.ALREADY_THERE, id="the same there"),
        pytest.param(entered(1, ID_1, ID_5), entered(1, ID_1), [], RowOutcome.MERGED, id="the same, with less, there"),
        pytest.param(entered(1, ID_1), entered(5, ID_5, ID_1), [], RowOutcome.NEWER_HERE, id="newer there"),
        pytest.param(entered(1, ID_1), entered(5, ID_5), [], RowOutcome.MERGED, id="another address since"),
        pytest.param(entered(1, ID_1), entered(5, ID_5, left=4), [], RowOutcome.TO_REMOVE, id="back with a new one"),
        pytest.param(entered(1, ID_1), gone(5), [], RowOutcome.TO_REMOVE, id="has left since"),
        pytest.param(entered(1, ID_1), gone(5, ID_1), [], RowOutcome.NEWER_HERE, id="has left since, with everything"),
        pytest.param(gone(2, ID_1), gone(5), [], RowOutcome.MERGED, id="left before"),
        pytest.param(gone(5, ID_1), entered(5, ID_5), [], RowOutcome.TO_REMOVE, id="an exit outranks an enter"),
        pytest.param(entered(1, ID_1), None, [notice(5)], RowOutcome.TO_REMOVE, id="notice after the enter"),
        pytest.param(entered(5, ID_5), None, [notice(5)], RowOutcome.TO_REMOVE, id="notice at the time of the enter"),
        pytest.param(entered(5, ID_5), None, [notice(1), notice(9)], RowOutcome.TO_REMOVE, id="the newest notice"),
        pytest.param(entered(5, ID_1, ID_5), None, [notice(1)], RowOutcome.TO_REMOVE, id="back since the notice"),
        pytest.param(entered(5, ID_5, left=1, erase_until=1), None, [notice(1)], RowOutcome.COPIED, id="knew it"),
        pytest.param(gone(5, ID_5), None, [notice(9)], RowOutcome.TO_REMOVE, id="left, then notice"),
        pytest.param(gone(9, ID_5, erase_until=9), None, [], RowOutcome.TO_REMOVE, id="its erasure may not have ended"),
        pytest.param(gone(9, erase_until=9), None, [], RowOutcome.COPIED, id="its erasure has ended"),
        pytest.param(notice(9), None, [notice(9)], RowOutcome.COPIED, id="a deletion notice"),
        pytest.param(notice(5), notice(9), [notice(9)], RowOutcome.NEWER_HERE, id="a newer deletion notice there"),
    ],
)
def test_each_kind_of_row_has_its_outcome(
    source: MemberState, live: MemberState | None, notices: list[MemberState], expected: RowOutcome
) -> None:
    decision = decided(source, live, *notices)
    assert decision.outcome is expected
    assert (decision.state is not None) == (expected in WRITTEN)
    assert (decision.removal is not None) == (expected is RowOutcome.TO_REMOVE)


def decided(source: MemberState, live: MemberState | None = None, *notices: MemberState) -> RowDecision:
    return decide(StoredMember(source, LATER), live, notices, TIMING, is_listed=True, now=NOW)


def test_a_row_that_has_expired_or_is_of_an_unlisted_audience_is_not_copied() -> None:
    """Expired rows may be there for a while: DynamoDB deletes them later."""
    expired, row = (StoredMember(entered(1, ID_1), expires) for expires in (NOW, LATER))
    assert decide(expired, None, [], TIMING, is_listed=True, now=NOW) == RowDecision(RowOutcome.EXPIRED)
    assert decide(row, None, [], TIMING, is_listed=False, now=NOW) == RowDecision(RowOutcome.UNLISTED)


def copied(source: MemberState, live: MemberState | None = None, *notices: MemberState) -> MemberState:
    decision = decided(source, live, *notices)
    assert decision.state is not None
    return decision.state


def removal_of(source: MemberState, live: MemberState | None = None, *notices: MemberState) -> MembershipChange:
    decision = decided(source, live, *notices)
    assert decision.removal is not None
    return decision.removal


def test_a_missing_row_is_copied_unchanged_except_for_identities_before_a_notice_that_are_removed() -> None:
    source = entered(5, ID_5, ID_1, left=2, erase_until=0)
    assert copied(source) == replace(source, revision=0)
    back = copied(entered(5, ID_5, ID_1), None, notice(2))
    assert (back.active, back.to_remove) == ((ID_5,), (ID_1,))


def test_the_newest_exit_or_notice_is_queued_again_without_identities() -> None:
    source, live, notices = entered(1, ID_1), gone(5, erase_until=5), (notice(5), notice(3))
    assert copied(source, live).to_remove == (ID_1,)
    removal = removal_of(source, live)
    assert (removal.version, removal.erase, removal.identities) == (live.version, True, ())
    assert removal_of(source, None, *notices) == replace(notice(5).newest, erase=True)
    spreads = not copied(source, None, *notices).reflects(notice(5).version, is_dataset=False)
    assert spreads, "the worker must spread it"


def test_an_exit_from_a_dataset_gets_the_consent_of_the_restored_enter() -> None:
    source, live = (
        replace(each, newest=replace(each.newest, destination=ads_data_manager()))
        for each in (entered(1, ID_1), gone(5))
    )
    source.newest.consent = {"consent": "given", "geo": "an address"}
    assert removal_of(source, live).consent == {"consent": "given"}


def test_the_last_enter_before_the_loss_may_still_take_effect_after_an_exit() -> None:
    source = replace(entered(1, ID_1), enter_sent=NOW)
    assert copied(source, gone(5)).enters_effective_by == NOW + TIMING.effective_after
    assert copied(source, entered(5, ID_5)).enters_effective_by == 0


def test_merging_keeps_the_knowledge_of_both_rows_and_what_may_still_take_effect() -> None:
    source = replace(entered(5, ID_5, identity(2, "both")), removal_sent=1)
    live = replace(gone(3, ID_1, identity(3, "both"), erase_until=3), enter_sent=9, exit_recorded=7, revision=8)
    state = copied(source, replace(live, removal_owed=True))
    assert state.identities == (ID_5, identity(3, "both"), ID_1)
    assert (state.last_exit, state.erase_until) == (live.last_exit, 3)
    assert (state.enter_sent, state.removal_sent, state.exit_recorded) == (9, 3, 7)
    assert (state.removal_owed, state.active) == (True, (ID_5,))
    assert state.revision == 8, "written only if the row is still the one that was read"
    both, there, here = (LateJob(f"job-{number}", 500, at=1) for number in range(3))
    source = replace(entered(5, ID_5), enters_effective_by=700, removals_effective_by=200, late_jobs=(both, there))
    live = replace(entered(1), enters_effective_by=600, removals_effective_by=300, late_jobs=(here, both))
    again = replace(live, removal_owed=True, removal_retry_at=900)
    state = copied(replace(source, removal_retry_at=800), again)
    assert (state.enters_effective_by, state.removals_effective_by) == (700, 300)
    assert (state.removal_owed, state.removal_retry_at) == (True, 900)
    assert sorted(state.late_jobs) == [both, there, here]


def test_after_a_restore_an_exit_removes_the_restored_identities_and_a_late_enter_loses_against_a_notice() -> None:
    left = apply_changes(copied(entered(5, ID_5)), [change(at=9, exits=True, audience_id="1")], now=NOW, timing=TIMING)
    (removal,) = left.state.records(left.upload)
    assert removal.identities == (ID_5,)
    late = change(at=5, audience_id="1", identities=(ID_5,))
    after = apply_changes(copied(gone(9, erase_until=9)), [late], now=NOW, timing=TIMING)
    assert (after.outcome, after.upload, after.state.identities) == ("superseded", None, ())


times = st.integers(1, 6)
identities = st.lists(times, max_size=4, unique=True).map(lambda each: tuple(map(identity, sorted(each, reverse=True))))
# A notice that a row reflects is not newer than the member's last exit.
known_times = (times, identities, st.integers(0, 6))
enters = st.builds(
    lambda at, ids, left, erase: entered(at, *ids, left=min(left, at - 1), erase_until=min(erase, left, at - 1)),
    *(*known_times, st.integers(0, 6)),
)
exits = st.builds(lambda at, ids, erase: gone(at, *ids, erase_until=min(at, erase)), *known_times)
states = st.one_of(enters, exits)


@given(states, st.none() | states, st.lists(times.map(notice), max_size=2))
def test_nobody_is_active_after_a_notice_and_no_identity_is_lost(
    source: MemberState, live: MemberState | None, notices: list[MemberState]
) -> None:
    live = live and replace(live, enter_sent=live.enter_sent + 10)  # not the same row: it has been lost
    decision = decided(source, live, *notices)
    known = [source, *([live] if live else [])]
    until = max(state.erase_until for state in [*known, *notices])
    restored = decision.state or live
    assert restored is not None
    assert restored.version >= max(state.version for state in known)
    if decision.state is not None:
        assert all(each.at > until for each in restored.active)
        assert {each.key for each in restored.identities} == {each.key for state in known for each in state.identities}


@given(states, st.none() | states, st.lists(times.map(notice), max_size=2))
@example(entered(2, identity(2), ID_1), entered(2, left=1, erase_until=1), [notice(2)])
def test_restoring_twice_writes_nothing_more(
    source: MemberState, live: MemberState | None, notices: list[MemberState]
) -> None:
    first = decided(source, live, *notices)
    second = decided(source, first.state or live, *notices)
    assert (second.state, second.removal) == (None, None)


@dataclass
class Table:
    """Members by key, in pages of two. What is in `fails` cannot be written."""

    rows: dict[Member, MemberState] = field(default_factory=dict)
    fails: dict[Member, TransientError] = field(default_factory=dict)

    @classmethod
    def of(cls, *states: MemberState) -> "Table":
        return cls({state.member: state for state in states})

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        return {member: self.rows[member] for member in members if member in self.rows}

    def write(self, states: Sequence[MemberState]) -> list[MemberState | TransientError]:
        results = [self.fails.get(state.member) or state for state in states]
        self.rows |= {state.member: state for state in results if isinstance(state, MemberState)}
        return results

    def pages(self) -> Iterator[list[StoredMember]]:
        for is_notice in (True, False):
            members = [member for member in self.rows if (member[0] == EVERY_AUDIENCE) is is_notice]
            for some in batched(members, 2, strict=False):
                yield [StoredMember(self.rows[member], LATER) for member in some]


def restore(source: Table, target: Table, *, writes: bool = True, queue: list[str] | None = None) -> Outcomes:
    send = ([] if queue is None else queue).extend
    restoration = Restoration(source.read, target, ["1"], Timings(job=900, late=0), send)
    return restoration.run(source.pages(), NOW, writes=writes, on_rows=lambda _: None)


def test_rows_are_counted_by_audience_and_notices_apart_also_by_a_dry_run_which_writes_nothing() -> None:
    people = [entered(1, ID_1, person=f"m{number}") for number in range(5)]
    source, target = Table.of(*people, entered(1, ID_1, audience="2"), notice(5, "m1")), Table.of(people[0])
    dry = restore(source, target, writes=False)
    assert [*target.rows] == [people[0].member]
    assert dry == restore(source, target)
    assert dry == {
        "1": {RowOutcome.COPIED: 3, RowOutcome.ALREADY_THERE: 1, RowOutcome.TO_REMOVE: 1},
        "2": {RowOutcome.UNLISTED: 1},
        EVERY_AUDIENCE: {RowOutcome.COPIED: 1},
    }
    assert sum(dry.values(), Counter()).total() == 7


def test_a_notice_in_either_table_removes_the_person_and_counts_in_a_dry_run() -> None:
    source = Table.of(entered(1, ID_1, person="a"), entered(1, ID_1, person="b"), notice(5, "a"))
    target, queue = Table.of(notice(5, "b")), list[str]()
    for writes in (False, True):
        report = restore(source, target, writes=writes, queue=queue)
        assert report["1"] == {RowOutcome.TO_REMOVE: 2}
        assert [json.loads(body)["replay"] for body in queue] == [True] * writes, "nothing accepted caused it"
    assert [target.rows["1", person].active for person in "ab"] == [(), ()]


def test_a_removal_is_queued_before_its_row_is_written_and_a_second_run_completes_a_failed_one() -> None:
    source, queue = Table.of(*(entered(1, ID_1, person=f"m{number}") for number in range(5))), list[str]()
    target = Table.of(gone(5, person="m4"))
    target.fails = {("1", person): Unavailable("the membership table does not answer") for person in ("m2", "m4")}
    with pytest.raises(Unavailable):
        restore(source, target)
    target.fails.pop(("1", "m2"))
    with pytest.raises(Unavailable):
        restore(source, target, queue=queue)
    assert len(queue) == 1
    target.fails.clear()
    found = restore(source, target, queue=queue)["1"]
    assert found == {RowOutcome.ALREADY_THERE: 4, RowOutcome.TO_REMOVE: 1}
    assert len(queue) == 2


def test_a_row_that_changed_since_it_was_read_is_not_overwritten() -> None:
    target = Table(fails={("1", "m1"): MovedOn("the member has changed since it was read")})
    report = restore(Table.of(entered(1, ID_1), entered(1, ID_1, person="m2")), target)
    assert report["1"] == {RowOutcome.CHANGED: 1, RowOutcome.COPIED: 1}
    assert target.rows.keys() == {("1", "m2")}
