"""Which change of a member goes to the audience that the audience moves to, whatever arrives there during the move."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_sync.amazon_ads.destination import ads_data_manager, amc_connection
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Audience, MembershipChange, Version
from audience_sync_cli.moves.transfer import ENDED, Effect, LeftOut, Transfer, ending_exit, transfer
from tests.support.builders import AUDIENCE, change
from tests.support.worker_stack import GRANTED

NOW = 1_800_000_000  # epoch seconds
DATASET = Audience("dataset-1", destination=ads_data_manager())
OTHER = Audience("379909525712777677", destination=amc_connection("amc-1"), settings={"dsp": True})
REQUIRE = Policy()


def state_of(*changes: MembershipChange, audience_id: str = AUDIENCE) -> MemberState | None:
    """Return the row that changes lead to, one delivered after the other."""
    state = None
    for each in changes:
        state = apply_changes(state, [replace(each, audience_id=audience_id)], now=NOW, timing=Timing(0)).state
    return state


def enter(at: int, *emails: str, consented: bool = True, **options: object) -> MembershipChange:
    options |= {"country": "US", "consent": GRANTED if consented else {}}
    return change("m1", *(emails or (f"{at}@b.co",)), at=at, **options)  # type: ignore[arg-type]


def leave(at: int, **options: object) -> MembershipChange:
    return change("m1", at=at, exits=True, **options)  # type: ignore[arg-type]


def moved(
    source: list[MembershipChange],
    target: list[MembershipChange],
    into: Audience = DATASET,
    policy: Policy = REQUIRE,
    lapsed_by: float = 0.0,
) -> Transfer:
    row = state_of(*source)
    assert row is not None
    return transfer(row, state_of(*target, audience_id=into.audience_id), into, policy, lapsed_by=lapsed_by)


END = leave(9, message_id=ENDED)


@pytest.mark.parametrize(
    ("source", "target", "outcome", "sent"),
    [
        pytest.param([enter(1)], [], Effect.ENTERS, [(1, "enter")], id="a member"),
        pytest.param([enter(2)], [enter(1)], Effect.ENTERS, [(2, "enter")], id="in both, newer in the source"),
        pytest.param([enter(1), leave(2), enter(3)], [], Effect.ENTERS, [(2, "exit"), (3, "enter")], id="returned"),
        pytest.param([enter(1)], [leave(2)], Effect.THERE, [], id="left the target since"),
        pytest.param([enter(1)], [enter(1)], Effect.THERE, [], id="the same"),
        pytest.param([enter(1), enter(2)], [enter(2)], Effect.COMPLETED, [(2, "enter")], id="an identity is missing"),
        pytest.param([enter(1)], [enter(2)], Effect.COMPLETED, [(2, "enter")], id="newer there, an identity missing"),
        pytest.param([enter(1)], [leave(1), enter(2)], Effect.THERE, [], id="the identity is of an earlier life"),
        pytest.param([enter(1), leave(2)], [enter(1)], Effect.LEAVES, [(2, "exit")], id="left the source since"),
        pytest.param([enter(1), leave(2)], [], Effect.LEFT, [(2, "exit")], id="left: older events must not count"),
        pytest.param([enter(1), leave(2)], [leave(2)], Effect.FORGOTTEN, [], id="left both"),
        pytest.param([enter(1), leave(2)], [enter(3)], Effect.LEFT, [(2, "exit")], id="left, and entered the target"),
        pytest.param([enter(1), END], [enter(1)], Effect.FORGOTTEN, [], id="removed by the end: nobody has left"),
        pytest.param([enter(1)], [enter(1), END], Effect.LEFT_OUT, [], id="the target was ended"),
    ],
)
def test_a_change_is_sent_only_if_the_target_lacks_it(
    source: list[MembershipChange], target: list[MembershipChange], outcome: Effect, sent: list[tuple[int, str]]
) -> None:
    found = moved(source, target)
    assert found.outcome is outcome
    assert [(each.at, "exit" if each.exits else "enter") for each in found.changes] == sent
    again = moved(source, [*target, *found.changes])
    assert again.changes == (), "a repeated run sends nothing"


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        pytest.param([enter(1, consented=False)], {}, LeftOut.CONSENT_MISSING, id="no consent for a dataset"),
        pytest.param([enter(1, consented=False)], {"into": OTHER}, None, id="no consent for the audience API"),
        pytest.param([enter(1, consented=False)], {"policy": Policy("pass")}, None, id="consent is passed on"),
        pytest.param([enter(1)], {"lapsed_by": NOW}, LeftOut.LAPSED, id="the time to live has ended"),
        pytest.param([enter(1)], {"lapsed_by": NOW - 1}, None, id="within the time to live"),
        pytest.param([enter(5, "a"), leave(6), change("m1", at=7)], {"into": OTHER}, LeftOut.NO_IDENTIFIER, id="none"),
    ],
)
def test_members_without_consent_or_identifiers_are_left_out_with_a_reason(
    source: list[MembershipChange], options: dict[str, object], reason: LeftOut | None
) -> None:
    found = moved(source, [], **options)  # type: ignore[arg-type]
    assert found.left_out is reason
    assert any(not each.exits for each in found.changes) is (reason is None)


@pytest.mark.parametrize(("notice", "sent"), [(2, 0), (1, 1)], ids=["of that time", "older than the exit"])
def test_an_exit_older_than_the_deletion_notice_is_not_sent(notice: int, sent: int) -> None:
    """An exit after a notice counts as part of the erasure, but only the notice itself is known everywhere."""
    row = state_of(leave(1, erase=True), leave(2))
    assert row is not None
    assert row.erase_until == 2
    found = transfer(row, None, DATASET, REQUIRE, lapsed_by=0, notice=Version(notice, True, "id-2"))
    assert len(found.changes) == sent


def test_an_enter_keeps_version_consent_country_and_the_time_of_each_identity() -> None:
    (sent,) = moved([enter(1, "a"), enter(2, "b")], [], OTHER).changes
    assert (sent.version, sent.country, sent.consent) == (Version(2, False, "id-2"), "US", GRANTED)
    assert (sent.audience_id, sent.destination) == (OTHER.audience_id, amc_connection("amc-1", dsp=True))
    assert sent.identities == ((2, {"email": "b"}), (1, {"email": "a"}))


@pytest.mark.parametrize(("ended_at", "at"), [(9, 9), (2, 3)], ids=["now", "the row is newer"])
def test_the_exit_of_an_end_is_newer_than_the_row(ended_at: int, at: int) -> None:
    row = state_of(enter(3))
    assert row is not None
    plain, erasing = ending_exit(row, DATASET, ended_at), ending_exit(row, OTHER, ended_at)
    assert plain.version == Version(at, True, ENDED) > row.version
    assert (plain.erase, erasing.erase) == (False, True), "a dataset's would delete the person in every dataset"
    assert plain.consent is None, "the worker takes it from the row"


class _Event(NamedTuple):
    """One event, and when it is delivered to each audience; None to the target if it was accepted before the move."""

    at: int
    exits: bool
    email: str
    to_source: int
    to_target: int | None


_EVENTS = st.lists(
    st.builds(
        _Event,
        at=st.integers(1, 6),
        exits=st.booleans(),
        email=st.sampled_from("abc"),
        to_source=st.integers(0, 20),
        to_target=st.none() | st.integers(0, 20),
    ),
    max_size=8,
)


def _change_of(number: int, event: _Event) -> MembershipChange:
    """Return the change of an event. Segment's events of one moment have ids of their own."""
    if event.exits:
        return leave(event.at, message_id=f"id-{number}")
    return enter(event.at, event.email, message_id=f"id-{number}")


@settings(max_examples=600, derandomize=True, deadline=None)
@given(events=_EVENTS, reads=st.tuples(st.integers(0, 20), st.integers(0, 20)), sent=st.integers(0, 20))
def test_a_move_and_live_events_give_the_same_newest_change_in_any_order(
    events: list[_Event], reads: tuple[int, int], sent: int
) -> None:
    read_source, read_target = sorted(reads)
    sent += read_target
    changes = [(_change_of(number, event), event) for number, event in enumerate(events)]
    # Delivered to the source before the first row is read, if they were accepted before the move.
    to_source = [(min(e.to_source, read_source) if e.to_target is None else e.to_source, c) for c, e in changes]
    to_target = [(event.to_target, each) for each, event in changes if event.to_target is not None]

    def row(deliveries: list[tuple[int, MembershipChange]], until: float, audience_id: str) -> MemberState | None:
        due = sorted((each for each in deliveries if each[0] <= until), key=lambda each: each[0])
        return state_of(*(each for _, each in due), audience_id=audience_id)

    source, target = row(to_source, read_source, AUDIENCE), row(to_target, read_target, DATASET.audience_id)
    if source is not None:
        to_target += [(sent, each) for each in transfer(source, target, DATASET, REQUIRE, lapsed_by=0).changes]
    source, target = row(to_source, 99, AUDIENCE), row(to_target, 99, DATASET.audience_id)
    assert (source and source.version) == (target and target.version)
    assert (source and source.last_exit) == (target and target.last_exit)
    if source is None or target is None:
        return
    again = transfer(source, target, DATASET, REQUIRE, lapsed_by=0)
    assert again.outcome in (Effect.THERE, Effect.COMPLETED, Effect.FORGOTTEN)
    for each in again.changes:
        target = apply_changes(target, [each], now=NOW, timing=Timing(0)).state
    assert {each.key for each in source.active} <= {each.key for each in target.active}
