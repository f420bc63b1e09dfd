"""The effect of changes on one member: what is written, what is sent now, and what waits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.aws.membership_rows import expires_at
from audience_sync.members.member_state import Action, Due, LateJob, MemberState, Timing
from audience_sync.members.member_step import (
    KEEP_REMOVED,
    MAX_KEPT,
    Attempt,
    Decision,
    after_attempt,
    apply_changes,
    apply_repetition,
    left_out,
    without_late_job,
    without_removal,
)
from audience_sync.members.membership import ChangeOutcome, Identity, MembershipChange, Version, coalesce
from tests.support.member_changes import NOW, TIMING, change, enter, leave, names, notice, recorded

SOON = int(TIMING.effective_after)  # seconds after which what was sent has taken effect
HOURS_LATER = NOW + 5_000
LATE = int(TIMING.late)  # seconds in which what was decided is written


def take(
    state: MemberState | None,
    *changes: MembershipChange,
    now: int = HOURS_LATER,
    timing: Timing = TIMING,
) -> Decision:
    return apply_changes(state, coalesce(changes), now=now, timing=timing)


def attempted(each: Decision, *, at: int, result: Attempt = Attempt.ACCEPTED, done: int = 0) -> MemberState:
    assert each.upload
    return after_attempt(each.state, each.state, each.upload, result, at=at, timing=TIMING, done=done)


def uploads(each: Decision) -> list[tuple[str, list[str]]]:
    """The records that go to Amazon: action and names."""
    records = each.state.records(each.upload) if each.upload else []
    return [("DELETE" if record.exits else "CREATE", names(record)) for record in records]


def kept(state: MemberState) -> list[str]:
    return [each.digests["email"] for each in state.identities]


# Enters and exits in their order


def test_the_enter_of_a_new_member_is_recorded_and_sent() -> None:
    each = take(None, enter(1, "a"))
    assert (uploads(each), each.state.enter_sent) == ([("CREATE", ["a"])], HOURS_LATER)


def test_an_enter_carries_the_identities_of_earlier_enters() -> None:
    assert uploads(take(recorded(enter(1, "a")), enter(2, "b"))) == [("CREATE", ["a", "b"])]


def test_an_exit_removes_every_identity_of_the_member() -> None:
    each = take(recorded(enter(1, "a"), enter(2, "b")), leave(3))
    assert (uploads(each), each.state.removal_sent) == ([("DELETE", ["a", "b"])], HOURS_LATER)
    assert each.waits_until is None


def test_an_exit_of_an_unknown_member_without_identifiers_is_recorded() -> None:
    left = take(None, leave(2))
    assert (left.outcome, left.upload) == ("superseded", None)
    assert left.state.removal_sent == HOURS_LATER, "the row expires by that"
    assert uploads(take(left.state, enter(1, "a"))) == []


def test_an_identity_is_kept_once_with_its_latest_time() -> None:
    digests = {"email": "a", "phone": "b"}
    first = change(1, identities=(Identity(1, digests),))
    again = change(2, identities=(Identity(2, dict(reversed(digests.items()))),))
    assert recorded(first, again).identities == (Identity(2, digests),)


@pytest.mark.parametrize("exits", [False, True])
def test_a_full_row_forgets_no_identity_for_a_new_one(exits: bool) -> None:
    many = tuple(Identity(2, {"email": f"e{number}"}) for number in range(MAX_KEPT - 1))
    state = replace(recorded(enter(1, "old")), identities=many)
    newest = (leave if exits else enter)(4, "new", "e5", "newer")
    after = take(state, newest).state
    assert {each.key for each in after.identities} > {each.key for each in many}
    assert (len(after.identities), left_out(after, newest), left_out(after, enter(3, "other"))) == (MAX_KEPT, 1, 0)
    assert left_out(replace(state, newest=newest), newest) == 0, "there is room"
    assert len(take(after, (leave if exits else enter)(5, "more")).state.identities) == MAX_KEPT
    assert after.identities[0] == Identity(4, {"email": "e5"}), "named last first"


def test_the_stored_newest_change_has_no_identities_and_no_erase_flag() -> None:
    newest = take(None, enter(1, "a"), enter(2, "b"), notice(3)).state.newest
    assert (newest.identities, newest.erase) == ((), False)


@pytest.mark.parametrize("at", [-1, -86_400_000, 0])
def test_changes_dated_1970_or_earlier_are_sent(at: int) -> None:
    entered = take(None, enter(at, "a"), now=NOW)
    assert uploads(entered) == [("CREATE", ["a"])]
    assert uploads(take(entered.state, leave(at + 1))) == [("DELETE", ["a"])]


# An enter waits for the removal before it


@pytest.mark.parametrize(("after", "waits"), [(0, True), (SOON - 1, True), (SOON, False)])
def test_an_enter_waits_until_the_removal_before_it_has_taken_effect(after: int, waits: bool) -> None:
    left = recorded(enter(1, "a"), leave(2))
    each = take(left, enter(3, "b"), now=NOW + after)
    assert each.waits_until == (NOW + SOON if waits else None)
    assert (each.state == left, uploads(each)) == (waits, [] if waits else [("CREATE", ["b"])])


def test_an_older_exit_before_an_enter_that_waits_is_superseded() -> None:
    each = take(recorded(enter(1, "a"), leave(3)), leave(2), enter(4, "b"), now=NOW)
    assert (uploads(each), each.waits_until, each.outcome) == ([], NOW + SOON, "superseded")


def test_an_enter_waits_for_a_repeated_removal() -> None:
    entered = take(None, enter(1, "a"), now=NOW).state
    left = take(entered, leave(2), now=NOW + 60).state
    assert take(left, enter(3, "b"), now=NOW + 120).waits_until == NOW + SOON + SOON


@pytest.mark.parametrize("now", [NOW + SOON, HOURS_LATER])
def test_an_enter_sends_a_due_removal_whose_repetition_was_lost(now: int) -> None:
    entered = take(None, enter(1, "a"), now=NOW).state
    left = take(entered, leave(2), now=NOW + 60).state
    each = take(left, enter(3, "b"), now=now)
    assert (uploads(each), each.repeats, each.waits_until) == ([("DELETE", ["a"])], True, now + SOON)
    assert each.state == left, "dated once it is accepted: if it fails, it is still due"


def test_of_an_exit_and_a_newer_enter_the_exit_is_sent_and_the_enter_waits() -> None:
    each = take(recorded(enter(1, "old")), notice(2), enter(3, "new"))
    assert uploads(each) == [("DELETE", ["old"])]
    assert (each.state.version, each.state.last_exit) == (notice(2).version, notice(2).version)
    assert (each.waits_until, each.outcome) == (HOURS_LATER + SOON, "delivered")


def test_of_a_late_exit_and_the_newest_enter_the_exit_is_superseded_though_its_removal_is_sent() -> None:
    each = take(recorded(enter(1, "old"), enter(5, "new")), leave(3), enter(6, "newer"))
    assert (uploads(each), each.outcome, each.repeats) == ([("DELETE", ["old"])], "superseded", False)


def test_an_enter_is_sent_at_once_if_the_exit_before_it_removes_nothing() -> None:
    each = take(None, leave(1), enter(2, "a"))
    assert (uploads(each), each.waits_until, each.state.last_exit) == ([("CREATE", ["a"])], None, leave(1).version)


def test_an_enter_waits_for_a_late_removal_at_most_36_hours() -> None:
    late = LateJob("job-1", NOW, at=2, removes=True)
    state = replace(recorded(enter(1, "a"), leave(2)), late_jobs=(late,))
    lapses = round(NOW + TIMING.longest_job)
    assert take(state, enter(3, "b"), now=lapses - 1).waits_until == lapses
    each = take(state, enter(3, "b"), now=lapses)
    assert (uploads(each), each.state.late_jobs) == ([("CREATE", ["b"])], ())


# A removal is owed while an enter before it may take effect


@pytest.mark.parametrize(("after", "owed"), [(60, True), (SOON - 1, True), (SOON, False)])
def test_a_removal_soon_after_its_enter_is_due_again(after: int, owed: bool) -> None:
    entered = take(None, enter(1, "a"), now=NOW).state
    state = take(entered, leave(2), now=NOW + after).state
    due = state.due(TIMING)
    assert (due.at if due else None) == (NOW + SOON if owed else None)


def test_a_second_exit_of_one_life_does_not_delay_the_repeated_removal() -> None:
    entered = take(None, enter(1, "a"), now=NOW).state
    left = take(entered, leave(2), now=NOW + 60).state
    again = take(left, leave(3), now=NOW + 120)
    assert (uploads(again), again.state.enters_effective_by) == ([("DELETE", ["a"])], NOW + SOON)


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        pytest.param(recorded(enter(1, "a")), [leave(2)], [NOW + SOON, 0, HOURS_LATER], id="an exit"),
        pytest.param(recorded(leave(1)), [leave(2, "a")], [0, 0, HOURS_LATER], id="an exit of a stranger"),
        pytest.param(recorded(enter(5, "a")), [leave(3)], [NOW + SOON, 0, HOURS_LATER], id="a late exit"),
        pytest.param(recorded(enter(1, "a"), leave(2)), [leave(1)], [NOW - 5_000 + SOON, 0, NOW], id="an older exit"),
    ],
)
def test_an_exit_records_when_it_was_recorded_and_by_when_the_enters_before_it_took_effect(
    state: MemberState, changes: Sequence[MembershipChange], expected: list[int]
) -> None:
    after = take(state, *changes).state
    assert [
        after.enters_effective_by,
        after.removals_effective_by - (after.removal_sent and after.removal_sent + SOON),
        after.exit_recorded,
    ] == expected


# Changes that are not newer

OWING = recorded(enter(1, "a"), leave(2))
BACK = recorded(enter(1, "old"), leave(2), enter(3, "new"))


@pytest.mark.parametrize(
    ("state", "changes", "expected", "superseded"),
    [
        pytest.param(BACK, [enter(3, "new")], [("CREATE", ["new"])], False, id="the newest again"),
        pytest.param(BACK, [enter(2, "x")], [], True, id="an enter of the life before"),
        pytest.param(
            recorded(enter(3, "a")), [enter(1, "b")], [("CREATE", ["a", "b"])], False, id="an older enter of this life"
        ),
        pytest.param(recorded(enter(3, "a")), [enter(1, "a")], [], True, id="which says nothing more"),
        pytest.param(
            recorded(enter(3, "a"), enter(1, "b")),
            [enter(1, "b")],
            [("CREATE", ["a", "b"])],
            False,
            id="which the row has, and Amazon may not",
        ),
        pytest.param(
            BACK, [leave(2)], [("DELETE", ["old"])], True, id="the exit before again: its removal may have been lost"
        ),
        pytest.param(BACK, [leave(1)], [], True, id="an older exit"),
        pytest.param(recorded(enter(1, "a"), notice(5)), [leave(4)], [], True, id="an older exit before a notice"),
        pytest.param(recorded(enter(5, "a")), [leave(3)], [], True, id="a late exit with nothing to remove"),
        pytest.param(recorded(leave(5, "a")), [leave(4)], [], True, id="an exit before the exit"),
        pytest.param(
            recorded(leave(5, "a")), [notice(4)], [("DELETE", ["a"])], True, id="a notice before it: what it erases"
        ),
        pytest.param(
            recorded(leave(5, "a"), enter(6, "b")), [notice(4)], [], True, id="a notice before all there is to remove"
        ),
        pytest.param(
            recorded(enter(2, "a")), [change(2, "b", id="b")], [("CREATE", ["a", "b"])], False, id="the same moment"
        ),
        pytest.param(
            recorded(enter(2, "a")),
            [leave(1), enter(2, "a", "b")],
            [("CREATE", ["a", "b"])],
            False,
            id="and a late exit",
        ),
    ],
)
def test_of_an_older_change_only_the_part_amazon_may_lack_is_sent(
    state: MemberState, changes: list[MembershipChange], expected: list[tuple[str, list[str]]], superseded: bool
) -> None:
    each = take(state, *changes)
    assert (uploads(each), each.outcome == "superseded") == (expected, superseded)


def test_a_superseded_change_is_not_written() -> None:
    gone = take(None, leave(5), now=NOW).state
    assert [take(BACK, enter(2, "x")).state, take(gone, leave(4)).state] == [BACK, gone]


def test_a_late_exit_is_recorded_and_removes_identities_of_the_earlier_life() -> None:
    late = take(recorded(enter(1, "old"), enter(5, "new")), leave(3))
    assert (late.state.last_exit, uploads(late)) == (leave(3).version, [("DELETE", ["old"])])
    assert [each.digests["email"] for each in late.state.active] == ["new"]
    assert take(recorded(enter(5, "a")), leave(3)).state.last_exit == leave(3).version, "also with nothing to remove"


def test_after_a_late_exit_the_newer_enter_is_due_again() -> None:
    state = take(recorded(enter(1, "old"), enter(5, "new")), leave(3)).state
    due = state.due(TIMING)
    assert due == (HOURS_LATER + SOON, Action.ENTER)


@pytest.mark.parametrize("again", [enter(3, "new"), leave(2)], ids=["the enter", "the exit before it"])
def test_a_change_that_comes_back_is_dated_before_it_is_sent_again(again: MembershipChange) -> None:
    """Whoever recorded it may have been stopped: nothing says that an attempt has failed."""
    after = take(BACK, again).state
    assert (after.removal_sent if again.exits else after.enter_sent) == HOURS_LATER


def test_a_row_written_while_its_enter_waits_does_not_expire_at_once() -> None:
    """A person whom a notice named before anything else was known, and who enters a dataset meanwhile."""
    stranger = take(None, notice(1), enter(2, "a"), now=NOW, timing=Timing.of_dataset(SOON, 0))
    assert stranger.waits_until is not None
    assert expires_at(stranger.state) > NOW


# Dates


IN, OUT = recorded(enter(1, "a")), recorded(enter(1, "a"), leave(2))


OWED = replace(recorded(enter(1, "a")), enter_owed=True)
UNDONE = replace(BACK, removals_effective_by=HOURS_LATER, enter_sent=HOURS_LATER - 1)  # by the removal
REFUSED = replace(OUT, removal_owed=True)


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        pytest.param(OWED, [enter(1, "a")], [("CREATE", ["a"])], id="an enter that has failed"),
        pytest.param(OWED, [enter(2, "b")], [("CREATE", ["a", "b"])], id="by another enter of the life"),
        pytest.param(UNDONE, [enter(3, "new")], [("CREATE", ["new"])], id="an enter that a removal may have undone"),
        pytest.param(UNDONE, [enter(4, "b")], [("CREATE", ["b", "new"])], id="by another enter"),
        pytest.param(REFUSED, [leave(2)], [("DELETE", ["a"])], id="a removal that has failed"),
        pytest.param(REFUSED, [leave(3, "b")], [("DELETE", ["a", "b"])], id="by another exit"),
        pytest.param(
            replace(OUT, removal_sent=NOW - 1, enters_effective_by=NOW),
            [leave(3)],
            [("DELETE", ["a"])],
            id="a removal that an enter may have undone, by an exit",
        ),
    ],
)
def test_an_owed_upload_is_dated_only_once_accepted(
    state: MemberState, changes: list[MembershipChange], expected: list[tuple[str, list[str]]]
) -> None:
    each = take(state, *changes)
    assert uploads(each) == expected
    assert (each.state.enter_sent, each.state.removal_sent) == (state.enter_sent, state.removal_sent)
    assert (each.state.enter_owed, each.state.removal_owed) == (state.enter_owed, state.removal_owed)
    accepted = attempted(each, at=HOURS_LATER)
    assert (accepted.removal_sent if each.upload is Action.REMOVAL else accepted.enter_sent) == HOURS_LATER
    assert (accepted.enter_owed, accepted.removal_owed) == (False, False)


def test_a_change_is_dated_although_a_repetition_is_due_later() -> None:
    later = NOW + SOON
    left = take(replace(OUT, enters_effective_by=later), leave(3), now=NOW + 1).state
    entered = take(replace(BACK, removals_effective_by=NOW, enter_sent=NOW - 1), leave(2), now=NOW - 1).state
    assert (left.removal_sent, entered.removal_sent) == (NOW + 1, NOW - 1)


@pytest.mark.parametrize(
    ("state", "entered"),
    [
        pytest.param(recorded(enter(1, "a")), NOW, id="the last one that was dated"),
        pytest.param(OWED, HOURS_LATER, id="one that has failed may be on its way"),
        pytest.param(UNDONE, HOURS_LATER, id="so may one that is due"),
        pytest.param(
            replace(UNDONE, removals_effective_by=HOURS_LATER + LATE),
            HOURS_LATER + LATE,
            id="one that gets due before the exit is written",
        ),
        pytest.param(replace(UNDONE, removals_effective_by=HOURS_LATER + LATE + 1), HOURS_LATER - 1, id="if not later"),
    ],
)
def test_an_owed_enter_counts_as_on_its_way_when_its_life_ends(state: MemberState, entered: int) -> None:
    for exits in (leave(9), change(state.version.at - 1, exits=True, id="z")):
        assert take(state, exits).state.enters_effective_by == max(entered + SOON, state.enters_effective_by)


@pytest.mark.parametrize(
    ("early", "waits"), [pytest.param(LATE, True, id="soon"), pytest.param(LATE + 1, False, id="later")]
)
def test_an_enter_waits_for_a_removal_that_gets_due_before_it_is_written(early: int, waits: bool) -> None:
    noticed = replace(take(recorded(enter(1, "a")), notice(2), now=NOW + 60).state, removal_sent=NOW + SOON)
    due = noticed.removal_due(TIMING)
    assert due
    each = take(noticed, enter(3, "a"), now=int(due.at) - early)
    assert (each.upload, each.waits_until) == ((None, due.at + SOON) if waits else (Action.ENTER, None))


def test_only_a_newer_exit_clears_the_mark_of_a_failed_enter() -> None:
    failed = replace(recorded(enter(1, "old"), enter(5, "new")), enter_owed=True)
    assert [take(failed, each).state.enter_owed for each in (leave(3), leave(6))] == [True, False]
    assert failed.due(TIMING) == Due(0, Action.ENTER)


FAILED_ONCE = replace(IN, enter_owed=True)
DATED_NOW = replace(IN, enter_sent=HOURS_LATER)
ENTERED_SINCE = replace(recorded(enter(1, "a"), enter(2, "b")), enter_sent=HOURS_LATER + 1)
MOVED = {"removals_effective_by": HOURS_LATER + SOON}
REMOVED = {"removal_sent": HOURS_LATER} | MOVED
LEFT_SINCE = take(FAILED_ONCE, leave(2), now=HOURS_LATER + 1).state


@pytest.mark.parametrize(
    ("row", "source", "upload", "result", "expected"),
    [
        pytest.param(IN, IN, Action.ENTER, Attempt.ACCEPTED, {"enter_sent": HOURS_LATER}, id="an enter"),
        pytest.param(
            FAILED_ONCE,
            FAILED_ONCE,
            Action.ENTER,
            Attempt.ACCEPTED,
            {"enter_sent": HOURS_LATER, "enter_owed": False},
            id="an enter that had failed",
        ),
        pytest.param(
            replace(ENTERED_SINCE, enter_owed=True),
            IN,
            Action.ENTER,
            Attempt.ACCEPTED,
            {},
            id="an enter without what another worker still owes",
        ),
        pytest.param(IN, IN, Action.ENTER, Attempt.NOT_ACCEPTED, {"enter_owed": True}, id="an enter fails"),
        pytest.param(
            DATED_NOW, DATED_NOW, Action.ENTER, Attempt.NOT_ACCEPTED, {"enter_owed": True}, id="at the first try"
        ),
        pytest.param(ENTERED_SINCE, IN, Action.ENTER, Attempt.NOT_ACCEPTED, {}, id="and another one was sent since"),
        pytest.param(DATED_NOW, IN, Action.ENTER, Attempt.NOT_ACCEPTED, {}, id="and it was sent again since"),
        pytest.param(
            FAILED_ONCE,
            FAILED_ONCE,
            Action.ENTER,
            Attempt.PARKED,
            {"enter_sent": HOURS_LATER, "enter_owed": False},
            id="an enter is parked",
        ),
        pytest.param(
            replace(recorded(enter(1, "a"), enter(2, "b")), enter_owed=True),
            IN,
            Action.ENTER,
            Attempt.PARKED,
            {},
            id="but not the newest",
        ),
        *(
            pytest.param(
                replace(LEFT_SINCE, enters_effective_by=0),
                FAILED_ONCE,
                Action.ENTER,
                result,
                {"enters_effective_by": HOURS_LATER + SOON},
                id=f"an enter whose life has ended since, {result.name}",
            )
            for result in Attempt
        ),
        pytest.param(OUT, OUT, Action.REMOVAL, Attempt.ACCEPTED, REMOVED, id="a removal"),
        pytest.param(
            REFUSED,
            replace(OUT, identities=()),
            Action.REMOVAL,
            Attempt.ACCEPTED,
            REMOVED,
            id="a removal without all that is left to remove",
        ),
        pytest.param(OUT, OUT, Action.REMOVAL, Attempt.NOT_ACCEPTED, {"removal_owed": True}, id="a removal fails"),
        pytest.param(
            OUT, OUT, Action.REMOVAL, Attempt.PARKED, REMOVED | {"removal_owed": True}, id="a removal is parked"
        ),
        pytest.param(
            BACK,
            OUT,
            Action.REMOVAL,
            Attempt.NOT_ACCEPTED,
            MOVED,
            id="a removal fails that may undo the enter since",
        ),
        pytest.param(
            BACK, BACK, Action.REMOVAL, Attempt.NOT_ACCEPTED, MOVED | {"removal_owed": True}, id="and is owed"
        ),
        pytest.param(
            replace(OUT, removal_sent=HOURS_LATER), OUT, Action.REMOVAL, Attempt.NOT_ACCEPTED, {}, id="one sent since"
        ),
    ],
)
def test_an_attempt_leaves_its_result_in_the_row(
    row: MemberState, source: MemberState, upload: Action, result: Attempt, expected: dict[str, Any]
) -> None:
    after = after_attempt(row, source, upload, result, at=HOURS_LATER, timing=TIMING)
    assert after == replace(row, **expected)
    older = after_attempt(after, source, upload, result, at=NOW - 9, timing=TIMING)
    assert older == after, "an older attempt moves no date"


IN_DATASET = Timing.of_dataset(SOON, 36 * 3_600)
KEPT_UNTIL = HOURS_LATER + round(IN_DATASET.keeps)


def test_a_datasets_row_is_kept_as_long_as_amazon_may_keep_the_member() -> None:
    entered = take(None, enter(1, "a"), timing=IN_DATASET).state
    assert (entered.keep_until, take(None, enter(1, "a")).state.keep_until) == (KEPT_UNTIL, 0)
    again = take(replace(entered, keep_until=KEPT_UNTIL + 9), enter(1, "a"), timing=IN_DATASET).state
    assert again.keep_until == KEPT_UNTIL + 9
    older = take(replace(entered, last_exit=Version(-9, True, "")), change(-5, exits=True), timing=IN_DATASET).state
    assert (take(entered, leave(2), timing=IN_DATASET).state.keep_until, older.keep_until) == (0, KEPT_UNTIL)


def test_only_a_notice_makes_dataset_enters_wait_for_the_persons_deletion() -> None:
    left, erased = (take(IN, each, timing=IN_DATASET).state for each in (leave(2), notice(2)))
    assert (left.removals_effective_by, erased.removals_effective_by) == (HOURS_LATER + SOON, HOURS_LATER + 2 * SOON)


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(take(IN, leave(2)), id="an exit"),
        pytest.param(take(IN, leave(2), enter(3, "b")), id="an exit, and an enter that waits"),
        pytest.param(Decision(OUT, upload=Action.REMOVAL, repeats=True), id="a repetition"),
    ],
)
def test_an_exit_that_amazon_ignores_is_recorded_without_identities(each: Decision) -> None:
    known = without_removal(each, HOURS_LATER)
    expected = replace(each.state, identities=(), removal_sent=HOURS_LATER)
    assert known == Decision(expected, settled=each.settled, waits_until=each.waits_until)
    assert known.outcome is ChangeOutcome.SUPERSEDED
    assert without_removal(each, HOURS_LATER - 9).state.removal_sent == max(each.state.removal_sent, HOURS_LATER - 9)


def test_an_enter_that_names_everything_to_remove_is_due_after_the_owed_removal_that_it_replaces() -> None:
    owed = replace(OUT, removal_owed=True)
    back = take(owed, enter(3, *kept(OUT)))
    assert (back.upload, back.state.removal_owed) == (Action.ENTER, False)
    assert back.state.due(TIMING) == Due(HOURS_LATER + SOON, Action.ENTER)
    other = take(owed, enter(3, "other")).state
    assert (other.removal_owed, other.due(TIMING)) == (True, None), "the exit comes back, and its removal gets a time"


def test_an_exit_that_amazon_ignores_keeps_identities_of_the_next_life() -> None:
    back = recorded(enter(1, "a"), leave(2), enter(3, "b"))
    assert kept(without_removal(Decision(back, upload=Action.REMOVAL), HOURS_LATER).state) == ["b"]


# What is erased


@pytest.mark.parametrize(
    ("before", "changes", "erase_until", "must_erase"),
    [
        pytest.param([enter(1, "a")], [notice(2)], 2, True, id="a notice"),
        pytest.param([enter(1, "a")], [leave(2)], 0, False, id="a plain exit"),
        pytest.param([enter(1, "a"), enter(3, "b")], [notice(2)], 2, True, id="a late notice: what was known before"),
        pytest.param([notice(1)], [enter(2, "a")], 1, False, id="an enter after a notice"),
        pytest.param([notice(1), enter(2, "a")], [leave(3)], 1, False, id="the exit of the life after it"),
        pytest.param([notice(1), enter(2, "a"), leave(3)], [leave(4, "b")], 1, False, id="two exits of that life"),
        pytest.param([notice(2)], [leave(4, "a")], 4, True, id="what an exit after a notice names"),
        pytest.param([leave(5)], [notice(3), leave(7, "a")], 7, True, id="an exit between two exits is a notice"),
        pytest.param([leave(5, "a")], [notice(3)], 5, True, id="a late notice: what an exit since then has named"),
        pytest.param(
            [enter(4, "a"), leave(5), enter(6, "b")], [notice(3)], 3, False, id="a late notice, and back since"
        ),
    ],
)
def test_a_deletion_notice_erases_identities_named_before_the_next_life(
    before: list[MembershipChange], changes: list[MembershipChange], erase_until: int, must_erase: bool
) -> None:
    state = recorded(*before, *changes)
    assert (state.erase_until, state.must_erase) == (erase_until, must_erase)


@pytest.mark.parametrize(
    ("after", "failed", "changes", "stays"),
    [
        pytest.param(KEEP_REMOVED, False, [enter(3, "b")], True, id="its job may be running"),
        pytest.param(KEEP_REMOVED + 1, False, [enter(3, "b")], False, id="it is certain"),
        pytest.param(KEEP_REMOVED + 1, True, [enter(3, "b")], True, id="it has failed"),
        pytest.param(KEEP_REMOVED + 1, False, [leave(3)], True, id="another exit removes it once more"),
    ],
)
def test_the_next_enter_drops_identities_removed_30_days_ago(
    after: int, failed: bool, changes: list[MembershipChange], stays: bool
) -> None:
    left = replace(OUT, removal_owed=failed)
    each = take(left, *changes, now=NOW + after)
    assert ("a" in kept(each.state)) is stays
    assert (each.upload is Action.REMOVAL, "a" in kept(each.state)) == (changes[0].exits, stays)


def test_the_next_enter_also_drops_identities_that_the_exit_named() -> None:
    left = replace(recorded(enter(1, "a"), leave(2, "b")), enters_effective_by=0, removal_sent=NOW)
    assert kept(take(left, enter(3, "c"), now=NOW + KEEP_REMOVED + 1).state) == ["c"]


@pytest.mark.parametrize("named", [1, 2])
def test_identities_to_erase_are_kept_until_a_removal_has_ended(named: int) -> None:
    """A row without these identities is the proof that they were removed."""
    erased = replace(recorded(enter(named, "a"), notice(2)), enters_effective_by=0)  # no removal is due
    assert kept(take(erased, enter(3, "b"), now=NOW + KEEP_REMOVED + 1).state) == ["b", "a"]


# Repetitions


OWES = take(take(None, enter(1, "a"), now=NOW).state, leave(2), now=NOW + 60).state
RETURNS = take(
    recorded(enter(1, "old"), enter(5, "new"), until=NOW - 5_000), leave(3), now=NOW
).state  # the enter is due


@pytest.mark.parametrize(
    ("state", "version"),
    [
        pytest.param(OWES, enter(1).version, id="a newer change has queued its own"),
        pytest.param(IN, enter(1).version, id="nothing is due"),
    ],
)
def test_a_repetition_with_nothing_due_does_nothing(state: MemberState, version: Version) -> None:
    assert apply_repetition(state, version, now=HOURS_LATER, timing=TIMING) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(OWES, [("DELETE", ["a"])], id="a removal"),
        pytest.param(RETURNS, [("CREATE", ["new"])], id="an enter"),
    ],
)
def test_a_repetition_waits_until_it_is_due_and_is_then_sent(
    state: MemberState, expected: list[tuple[str, list[str]]]
) -> None:
    early = apply_repetition(state, state.version, now=NOW + SOON - 1, timing=TIMING)
    assert early == Decision(state, waits_until=NOW + SOON)
    due = apply_repetition(state, state.version, now=NOW + SOON, timing=TIMING)
    assert due is not None
    assert (uploads(due), due.state) == (expected, state), "dated once it is accepted"


def test_once_a_repetition_is_dated_nothing_is_due() -> None:
    for state in (OWES, RETURNS):
        due = apply_repetition(state, state.version, now=NOW + SOON, timing=TIMING)
        assert due is not None
        assert attempted(due, at=NOW + SOON).due(TIMING) is None


# Late jobs


OF_ENTER, OF_REMOVAL = LateJob("job-1", NOW - 9_000, at=1), LateJob("job-2", NOW, at=2, removes=True)


@pytest.mark.parametrize(
    ("job", "ended"),
    [
        pytest.param(OF_ENTER, {"enters_effective_by": HOURS_LATER}, id="an enter of the life that has ended"),
        pytest.param(OF_REMOVAL, {"removals_effective_by": HOURS_LATER}, id="a removal"),
        pytest.param(LateJob("job-3", NOW + HOURS_LATER, at=3), {}, id="an enter that carried nothing of it"),
    ],
)
def test_the_end_of_a_late_job_makes_due_what_it_may_have_undone(job: LateJob, ended: dict[str, int]) -> None:
    other = LateJob("job-9", NOW, at=1)
    state = replace(OUT, late_jobs=(job, other))
    after = without_late_job(state, job, HOURS_LATER, TIMING)
    assert after == replace(OUT, late_jobs=(other,), **ended)  # type: ignore[arg-type]
    assert without_late_job(state, job, 5, TIMING) == replace(OUT, late_jobs=(other,)), "an earlier end changes nothing"


def test_a_lapsed_mark_counts_as_the_end_of_its_job() -> None:
    lapses = round(OF_ENTER.sent_at + TIMING.longest_job)
    state = replace(OUT, late_jobs=(OF_ENTER,))
    early = apply_repetition(state, state.version, now=lapses - 1, timing=TIMING)
    assert early == Decision(state, waits_until=lapses)
    due = apply_repetition(state, state.version, now=lapses, timing=TIMING)
    assert due == Decision(replace(OUT, enters_effective_by=lapses), upload=Action.REMOVAL, repeats=True)


# Removals in several uploads


ADDRESSES = [f"a{number:03}" for number in range(250)]
PARTS = leave(3, *ADDRESSES)


def test_a_removal_that_was_cut_off_goes_on_where_it_stopped() -> None:
    cut_off = attempted(take(None, PARTS), at=HOURS_LATER, result=Attempt.NOT_ACCEPTED, done=200)
    again = take(cut_off, PARTS, now=HOURS_LATER + 60)
    done = again.state.removed_so_far(HOURS_LATER + 60, TIMING)
    assert [names(part) for part in again.state.records(again.upload, 100, done)] == [ADDRESSES[200:]]
    ended = attempted(again, at=HOURS_LATER + 60, done=250)
    assert (ended.removal_owed, ended.removing, ended.removal_sent) == (False, None, HOURS_LATER)
    assert ended.removals_effective_by == HOURS_LATER + 60 + SOON, "the last part has its own time"


@pytest.mark.parametrize("later", [leave(4, "another"), leave(4, ADDRESSES[-1])], ids=["another", "in another order"])
def test_a_removal_begins_again_if_something_else_is_to_be_removed(later: MembershipChange) -> None:
    cut_off = attempted(take(None, PARTS), at=HOURS_LATER, result=Attempt.NOT_ACCEPTED, done=200)
    assert take(cut_off, later).state.removed_so_far(HOURS_LATER, TIMING) == 0


def test_a_removal_begins_again_once_an_enter_may_have_followed_its_first_part() -> None:
    entered = attempted(take(None, enter(1, "a")), at=HOURS_LATER - 60)
    cut_off = attempted(take(entered, PARTS), at=HOURS_LATER, result=Attempt.NOT_ACCEPTED, done=200)
    by = cut_off.enters_effective_by
    assert [cut_off.removed_so_far(at, TIMING) for at in (HOURS_LATER, by - 1, by)] == [200, 200, 0]


def test_a_row_knows_since_which_revision_it_has_all_that_is_to_be_removed() -> None:
    entered = replace(recorded(enter(1, "a")), revision=4)
    left = take(entered, leave(2)).state
    again = take(replace(left, revision=5), leave(3)).state
    more = take(replace(again, revision=6), leave(4, "b")).state
    assert (left.removal_grew, again.removal_grew, more.removal_grew) == (5, 5, 7)
