"""The row of one member: lives, what may still take effect at Amazon, what is due, and the records that are sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.members.member_state import (
    Action,
    Due,
    LateJob,
    MemberState,
    Timing,
    removed,
    with_known_consent,
)
from audience_sync.members.membership import MAX_IDENTITIES, Consent, Identity, MembershipChange, Version
from tests.support.member_changes import change, enter, leave, names, notice, recorded

TIMING = Timing(effective_after=1_000, longest_job=100_000)


def named(identities: Sequence[Identity]) -> list[str]:
    return [each.digests["email"] for each in identities]


def row(
    *identities: tuple[int, str], newest: MembershipChange, last_exit: int | None = None, **fields: Any
) -> MemberState:
    """Return a row with identities, each named at a millisecond."""
    end = None if last_exit is None else Version(last_exit, exits=True, message_id=f"id-{last_exit}")
    return MemberState(newest, tuple(Identity(at, {"email": name}) for at, name in identities), end, **fields)


# Lives


@pytest.mark.parametrize(
    ("left", "active", "to_remove"),
    [
        pytest.param(None, ["new", "old"], [], id="never left"),
        pytest.param(1, ["new"], ["old"], id="back since"),
        pytest.param(3, [], ["new", "old"], id="gone"),
    ],
)
def test_an_identity_belongs_to_the_life_that_named_it_last(
    left: int | None, active: list[str], to_remove: list[str]
) -> None:
    state = row((3, "new"), (1, "old"), newest=enter(3), last_exit=left)
    assert (named(state.active), named(state.to_remove)) == (active, to_remove)


@pytest.mark.parametrize(
    ("before", "notice_at", "reflects"),
    [
        pytest.param([enter(5, "a")], 6, False, id="the member is in"),
        pytest.param([enter(5, "a")], 4, False, id="the life began after it, and may have begun before it"),
        pytest.param([leave(5)], 6, False, id="an enter from between would count"),
        pytest.param([leave(5)], 4, False, id="left since: what the next exit names must go, too"),
        pytest.param([leave(5, "a")], 4, False, id="left since, with an identity that must go, too"),
        pytest.param([enter(3, "a"), leave(5)], 4, False, id="left since, and the identity is kept"),
        pytest.param([enter(3, "a"), notice(4)], 4, True, id="spread already"),
        pytest.param([enter(3, "a"), notice(4), enter(6, "b")], 4, True, id="spread already, and back since"),
        pytest.param([enter(3, "a"), leave(5), enter(6, "b")], 4, False, id="back since, and an old identity is kept"),
        pytest.param([enter(4, "a"), leave(5), enter(6, "b")], 4, False, id="back since, the old one named with it"),
        pytest.param([leave(5), enter(6, "b")], 4, True, id="back since, and no old identity is kept"),
        pytest.param([enter(4, "a"), leave(5), enter(6, "b")], 3, True, id="back since, the old one named after it"),
    ],
)
def test_a_row_reflects_a_deletion_notice_if_its_exit_would_change_nothing(
    before: Sequence[MembershipChange], notice_at: int, reflects: bool
) -> None:
    assert recorded(*before).reflects(notice(notice_at).version, is_dataset=False) is reflects


@given(
    st.lists(
        st.builds(
            lambda at, name, exits, erase: change(at, name, exits=exits, erase=exits and erase),
            *(st.integers(1, 6), st.sampled_from("abc"), st.booleans(), st.booleans()),
        ),
        max_size=6,
    ),
    st.integers(1, 6),
)
def test_every_row_reflects_a_deletion_notice_that_was_spread_to_it(some: list[MembershipChange], at: int) -> None:
    for is_dataset in (False, True):
        assert recorded(*some, notice(at)).reflects(notice(at).version, is_dataset=is_dataset)


@pytest.mark.parametrize(
    ("before", "ended"),
    [
        pytest.param([enter(3, "a")], False, id="in"),
        pytest.param([enter(3, "a"), leave(5)], False, id="an identity from before is kept"),
        pytest.param([enter(3, "a"), notice(4)], True, id="it must be erased"),
        pytest.param([leave(5), enter(6, "b")], True, id="back since, nothing is kept"),
        pytest.param([leave(5), enter(6, "b"), leave(7)], True, id="and left again"),
    ],
)
def test_the_life_before_a_notice_has_ended_if_no_identity_of_it_is_kept(
    before: Sequence[MembershipChange], ended: bool
) -> None:
    assert recorded(*before).has_ended(notice(4).version) is ended


@pytest.mark.parametrize(("erase_until", "must_erase"), [(0, False), (1, False), (2, True), (9, True)])
def test_a_deletion_notice_erases_only_inactive_identities_named_before_it(erase_until: int, must_erase: bool) -> None:
    state = row((9, "new"), (2, "old"), newest=enter(9), last_exit=5, erase_until=erase_until)
    assert state.must_erase is must_erase
    assert not row((2, "old"), newest=enter(2), erase_until=erase_until).must_erase, "it is active"


def test_removed_identities_are_dropped_but_active_ones_are_kept() -> None:
    state = row((9, "new"), (4, "b"), (2, "a"), newest=enter(9), last_exit=5)
    assert [named(removed(state, until).identities) for until in (1, 2, 9)] == [
        ["new", "b", "a"],
        ["new", "b"],
        ["new"],
    ]


def test_a_removal_covers_a_later_state_with_no_more_identities_to_remove() -> None:
    one = row((1, "a"), newest=leave(2), last_exit=2)
    more = row((3, "b"), (1, "a"), newest=leave(4), last_exit=4)
    back = row((3, "b"), (1, "a"), newest=enter(3), last_exit=2)
    assert [one.covers(each, Action.REMOVAL) for each in (one, back, more)] == [True, True, False]
    assert more.covers(one, Action.REMOVAL)


# What may still take effect


@pytest.mark.parametrize(
    ("left", "at", "sent_at", "carried"),
    [
        pytest.param(None, 1, 10, False, id="the member has never left"),
        pytest.param(5, 4, 90, True, id="of a life that has ended"),
        pytest.param(5, 5, 1050, True, id="of the moment of the exit"),
        pytest.param(5, 6, 1049, True, id="newer than the exit, sent before the exit was known"),
        pytest.param(5, 6, 1050, False, id="of this life: it has waited for the first removal"),
    ],
)
def test_an_enter_sent_before_the_exit_may_have_carried_its_identities(
    left: int | None, at: int, sent_at: int, carried: bool
) -> None:
    state = row(newest=enter(9), last_exit=left, exit_recorded=50, removal_sent=2_000)
    assert state.carried(LateJob("job-1", sent_at, at), TIMING) is carried


OF_BEFORE, OF_SINCE = LateJob("job-1", 100, at=1), LateJob("job-2", 2_000, at=9)
REMOVAL = LateJob("job-3", 300, at=5, removes=True)


@pytest.mark.parametrize(
    ("late_jobs", "enters", "removals"),
    [
        pytest.param((), 7, 8, id="by time"),
        pytest.param((OF_BEFORE,), 100_100, 8, id="a late enter of the life before"),
        pytest.param((OF_SINCE,), 7, 8, id="a late enter of this life: it brings nothing back"),
        pytest.param((REMOVAL,), 7, 100_300, id="a late removal"),
        pytest.param((OF_SINCE, OF_BEFORE, REMOVAL), 100_100, 100_300, id="all of them"),
    ],
)
def test_a_late_job_delays_when_an_upload_has_taken_effect(
    late_jobs: tuple[LateJob, ...], enters: float, removals: float
) -> None:
    state = row(
        newest=enter(9),
        last_exit=5,
        removal_sent=150,
        enters_effective_by=7,
        removals_effective_by=8,
        late_jobs=late_jobs,
    )
    assert (state.enters_ended(TIMING), state.removals_ended(TIMING)) == (enters, removals)


OUT: dict[str, Any] = {"newest": leave(5), "last_exit": 5}
BACK: dict[str, Any] = {"newest": enter(9), "last_exit": 5}
BOTH = row((9, "b"), (1, "a"), **BACK, enter_sent=79, enters_effective_by=70)
TO_ERASE = replace(BOTH, erase_until=5, removal_sent=75)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        pytest.param(row((1, "a"), newest=enter(1), enter_sent=50), None, id="never left"),
        pytest.param(
            row((1, "a"), **OUT, enters_effective_by=70, removal_sent=70), None, id="out, and removed after the enter"
        ),
        pytest.param(
            row((1, "a"), **OUT, enters_effective_by=70, removal_sent=69),
            Due(70, Action.REMOVAL),
            id="out, but for an enter",
        ),
        pytest.param(row(**OUT, enters_effective_by=70, removal_sent=69), None, id="out, with nothing to remove"),
        pytest.param(
            row((1, "a"), **OUT, removal_sent=150, late_jobs=(OF_BEFORE,)),
            Due(100_100, Action.REMOVAL),
            id="out, a late enter",
        ),
        pytest.param(
            row((9, "b"), **BACK, enter_sent=80, removals_effective_by=80), None, id="back, after the removal"
        ),
        pytest.param(
            row((9, "b"), **BACK, enter_sent=79, removals_effective_by=80),
            Due(80, Action.ENTER),
            id="back, but for a removal",
        ),
        pytest.param(
            row((9, "b"), **BACK, enter_sent=79, late_jobs=(REMOVAL,)),
            Due(100_300, Action.ENTER),
            id="back, a late removal",
        ),
        pytest.param(
            replace(BOTH, removal_sent=69, removals_effective_by=50),
            Due(70, Action.REMOVAL),
            id="back, both: the enter waits for the removal",
        ),
        pytest.param(
            replace(BOTH, removal_sent=150, removals_effective_by=80, late_jobs=(OF_BEFORE,)),
            Due(100_100, Action.REMOVAL),
            id="back, both, with a late enter",
        ),
        pytest.param(
            row((1, "a"), **OUT, erase_until=5, enters_effective_by=70, removal_sent=100_069),
            Due(100_070, Action.REMOVAL),
            id="to be erased: again when no job can be running",
        ),
        pytest.param(
            row((1, "a"), **OUT, erase_until=5, enters_effective_by=70, removal_sent=100_070),
            None,
            id="to be erased: that was done",
        ),
        pytest.param(
            row((1, "a"), **OUT, erase_until=5, removal_sent=90),
            None,
            id="to be erased: no enter was ever sent that named it",
        ),
        pytest.param(
            replace(TO_ERASE, removals_effective_by=80),
            Due(80, Action.ENTER),
            id="to be erased, and back: the enter first",
        ),
        pytest.param(
            replace(TO_ERASE, removals_effective_by=100_080),
            Due(100_070, Action.REMOVAL),
            id="to be erased, and back: the removal first, if the enter waits for longer",
        ),
        pytest.param(
            replace(TO_ERASE, enter_sent=80, removals_effective_by=80),
            Due(100_070, Action.REMOVAL),
            id="to be erased, and back: then the removal",
        ),
    ],
)
def test_an_upload_is_due_again_if_an_earlier_one_may_have_undone_it(state: MemberState, due: Due | None) -> None:
    assert state.due(TIMING) == due


@pytest.mark.parametrize(
    ("state", "until"),
    [
        pytest.param(row((1, "a"), newest=enter(1), enter_sent=50), 0, id="never left"),
        pytest.param(
            row((1, "a"), **OUT, removal_sent=70, enters_effective_by=70, removals_effective_by=80),
            80,
            id="for the removal",
        ),
        pytest.param(
            row((1, "a"), **OUT, removal_sent=69, enters_effective_by=70, removals_effective_by=80),
            1_070,
            id="for a removal that is owed",
        ),
        pytest.param(
            row(**OUT, removal_sent=69, enters_effective_by=70, removals_effective_by=80),
            80,
            id="with nothing to remove",
        ),
        pytest.param(row((1, "a"), **OUT, removal_sent=150, late_jobs=(OF_BEFORE,)), 101_100, id="for a late enter"),
    ],
)
def test_an_enter_waits_until_no_removal_can_undo_it(state: MemberState, until: float) -> None:
    assert state.enter_waits_until(TIMING) == until


# What is sent


def consenting(each: MembershipChange) -> MembershipChange:
    given = {"geo": {"ipAddress": "192.0.2.1"}, "consent": {"tcf": "C1"}}
    return replace(each, country="DE", consent=given)


def test_an_enter_and_the_removal_before_it_carry_the_enters_consent() -> None:
    state = row((3, "new"), (1, "old"), newest=consenting(enter(3)), last_exit=2)
    (removal,), (entered,) = state.records(Action.REMOVAL), state.records(Action.ENTER)
    left = change(2, exits=True, identities=(Identity(1, {"email": "old"}),), country="DE")
    assert removal == replace(left, consent={"consent": {"tcf": "C1"}}), "but no IP address"
    assert entered == consenting(enter(3, "new"))


@pytest.mark.parametrize("consent", [{"geo": {"ipAddress": "192.0.2.1"}}, None], ids=["its own", "none"])
def test_an_exit_is_sent_with_its_own_consent(consent: Consent | None) -> None:
    state = row((1, "a"), newest=change(2, exits=True, consent=consent), last_exit=2)
    assert state.removal().consent == (consent or {})
    assert state.change() == state.removal()


def test_an_exit_without_consent_carries_the_members_consent_but_no_geo() -> None:
    silent, known = change(2, exits=True, consent=None), change(1, consent=None)
    assert with_known_consent(leave(2), consenting(known)) == leave(2), "it states that there is none"
    assert with_known_consent(silent, consenting(known)) == replace(silent, consent={"consent": {"tcf": "C1"}})
    assert with_known_consent(silent, known) == replace(silent, consent={})


@pytest.mark.parametrize("erase_until", [0, 1, 2], ids=["exit", "an older notice", "deletion notice"])
def test_a_removal_has_the_version_of_the_exit_that_ended_the_life(erase_until: int) -> None:
    state = row((3, "new"), (1, "old"), newest=enter(3), last_exit=2, erase_until=erase_until)
    removal = state.removal()
    assert (removal.version, removal.erase) == (leave(2).version, erase_until == 2)
    assert removal.identities == (Identity(1, {"email": "old"}),)
    assert state.change() == state.enter()


def test_a_removal_and_an_enter_keep_the_time_at_which_each_identity_was_named() -> None:
    out, back = row((2, "a"), (1, "b"), newest=leave(2), last_exit=2), row((3, "a"), (1, "b"), newest=enter(3))
    assert (out.removal().identities, back.enter().identities) == (out.identities, back.identities)


MANY = [(at, f"e{at:03}") for at in range(MAX_IDENTITIES + 30, 0, -1)]


def test_more_than_a_hundred_identities_are_removed_in_several_records() -> None:
    records = row(*MANY, newest=leave(1_000), last_exit=1_000).records(Action.REMOVAL)
    assert [len(names(each)) for each in records] == [100, 30]
    assert {name for each in records for name in names(each)} == {name for _, name in MANY}
    assert [each.identities[0].at for each in records] == [130, 30], "a parked one keeps its times"


def test_an_enter_carries_the_hundred_newest_identities() -> None:
    (record,) = row(*MANY, newest=enter(130)).records(Action.ENTER)
    assert names(record) == sorted(name for _, name in MANY[:MAX_IDENTITIES])


def test_no_record_is_sent_if_there_is_nothing_to_remove() -> None:
    assert row((3, "a"), newest=enter(3)).records(Action.REMOVAL) == []


def test_a_repetition_contains_neither_identities_nor_consent() -> None:
    state = row((3, "a"), newest=consenting(enter(3)))
    assert state.bare() == replace(enter(3), country="DE")
