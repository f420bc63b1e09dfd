"""What is known of one member, and what has to be sent: lives, removals, erasure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_sync.member_state import KEEP_REMOVED, MemberState, Step, removed, step, touched
from audience_sync.membership import MembershipChange, Version, coalesce

AUDIENCE = "418273650912345678"
NOW, LONG = 1_800_000_000, 1e9  # seconds


def change(at: int, *names: str, exits: bool = False, erase: bool = False, id: str = "") -> MembershipChange:  # noqa: A002
    record: dict[str, Any] = {
        "externalUserId": "m1",
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": name} for name in names],
        "userConsent": {},
    }
    return MembershipChange(AUDIENCE, None, at, id or f"id-{at}", record, erase)


def enter(at: int, *names: str) -> MembershipChange:
    return change(at, *names)


def leave(at: int, *names: str) -> MembershipChange:
    return change(at, *names, exits=True)


def notice(at: int) -> MembershipChange:
    return change(at, exits=True, erase=True)


def take(
    state: MemberState | None,
    *changes: MembershipChange,
    now: int = NOW,
    attempted: bool = False,
    is_replay: bool = False,
) -> Step:
    return step(
        state, coalesce(changes), now=now, effective_after=1020, attempted_before=attempted, is_replay=is_replay
    )


def sent(each: Step) -> list[tuple[str, list[str]]]:
    """What goes to Amazon, request by request."""
    if not each.sends:
        return []
    return [
        (record.record["action"], sorted(identity["email"] for identity in record.record["hashedPII"]))
        for record in each.state.records(with_removal=each.with_removal)
    ]


def test_a_new_member_is_sent_as_it_is() -> None:
    assert sent(take(None, enter(1, "a"))) == [("CREATE", ["a"])]


def test_an_exit_removes_everything_that_the_member_entered_with() -> None:
    state = take(take(None, enter(1, "a")).state, enter(2, "b")).state
    assert sent(take(state, leave(3))) == [("DELETE", ["a", "b"])]


def test_an_identity_is_the_same_in_whatever_order_its_fields_are_written() -> None:
    digests = {"email": "a", "phone": "b"}
    first, again = enter(1), enter(2)
    first.record["hashedPII"], again.record["hashedPII"] = [digests], [dict(reversed(digests.items()))]
    state = take(take(None, first).state, again).state
    assert [(each.at, each.digests) for each in state.identities] == [(2, digests)]


def test_an_exit_of_a_stranger_without_identifiers_is_superseded_and_remembered() -> None:
    left = take(None, leave(2))
    assert (left.is_superseded, left.sends, left.writes) == (True, False, True)
    assert sent(take(left.state, enter(1, "a"))) == []


@pytest.mark.parametrize("end", [leave(2), notice(2)], ids=["exit", "deletion notice"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_nothing_that_was_known_before_an_exit_travels_with_a_newer_enter(
    end: MembershipChange, order: tuple[int, ...]
) -> None:
    changes = [enter(1, "old"), end, enter(3, "new")]
    state: MemberState | None = None
    at_amazon: set[str] = set()
    for index in order:
        each = take(state, changes[index])
        for action, names in sent(each):
            at_amazon = at_amazon | set(names) if action == "CREATE" else at_amazon - set(names)
        state = each.state
    assert at_amazon == {"new"}


def test_old_identities_of_one_batch_are_removed_before_the_new_ones_are_added() -> None:
    known = take(None, enter(1, "old")).state
    assert sent(take(known, notice(2), enter(3, "new"))) == [("DELETE", ["old"]), ("CREATE", ["new"])]


def test_an_identity_of_both_lives_is_not_removed() -> None:
    known = take(None, enter(1, "same")).state
    assert sent(take(known, leave(2), enter(3, "same"))) == [("CREATE", ["same"])]


def test_a_re_entry_after_a_delivered_exit_removes_nothing_again() -> None:
    left = take(take(None, enter(1, "a")).state, leave(2)).state
    assert sent(take(left, enter(3, "b"), now=NOW + 5000)) == [("CREATE", ["b"])]


def test_a_re_entry_before_the_exit_was_delivered_removes_first() -> None:
    left = take(take(None, enter(1, "a")).state, leave(2)).state
    entered = take(left, enter(3, "b"), now=NOW + 5).state
    assert sent(take(entered, leave(2), attempted=True)) == [("DELETE", ["a"]), ("CREATE", ["b"])]


def test_an_enter_that_was_tried_before_removes_what_an_undelivered_exit_was_to_remove() -> None:
    left = take(take(None, enter(1, "a")).state, leave(2)).state
    assert sent(take(left, enter(3, "b"), attempted=True)) == [("DELETE", ["a"]), ("CREATE", ["b"])]


def test_an_enter_is_sent_once_more_where_an_exit_before_it_comes_late() -> None:
    state = take(None, enter(2, "a")).state
    late = take(state, leave(1, "old"), enter(2, "a"))
    assert (late.is_superseded, late.repeats) == (False, True)


def test_more_than_a_hundred_identities_are_removed_in_several_records() -> None:
    state: MemberState | None = None
    for number in range(130):
        state = take(state, enter(number + 1, f"e{number:03}")).state
    left = take(state, leave(1000))
    records = sent(left)
    assert [len(names) for _, names in records] == [100, 30]
    assert [each.named_at for each in left.state.records(with_removal=True)] == [(), ()], "nobody asks of a part"
    assert len({name for _, names in records for name in names}) == 130


def test_an_enter_names_the_newest_hundred_identities_its_own_first() -> None:
    state: MemberState | None = None
    for number in range(130):
        state = take(state, enter(number + 1, f"e{number:03}")).state
    (((_, names)),) = sent(take(state, enter(1000, "own")))
    assert len(names) == 100
    assert {"own", "e129"} < set(names)
    assert "e000" not in names


def test_a_deletion_notice_does_not_stick_to_a_newer_enter() -> None:
    state = take(None, notice(1), enter(2, "a")).state
    assert not state.must_erase
    assert not take(state, leave(3)).state.must_erase


def test_a_late_deletion_notice_erases_what_was_known_before_it() -> None:
    state = take(take(None, enter(1, "old")).state, enter(3, "new")).state
    late = take(state, notice(2))
    assert late.writes
    assert late.state.must_erase
    assert sent(late) == [("DELETE", ["old"]), ("CREATE", ["new"])]


def test_a_superseded_change_is_neither_written_nor_sent() -> None:
    state = take(None, enter(5, "a")).state
    each = take(state, enter(4, "b"))
    assert (each.is_superseded, each.writes, each.sends) == (True, False, False)


def test_identities_of_the_same_moment_are_added_to_the_newest() -> None:
    state = take(None, change(5, "a", id="x")).state
    each = take(state, change(5, "b", id="w"))
    assert (each.is_superseded, sent(each)) == (False, [("CREATE", ["a", "b"])])


@pytest.mark.parametrize(("after", "repeats"), [(60, True), (1019, True), (1020, False)])
def test_the_opposite_of_what_was_sent_lately_is_sent_once_more(after: int, repeats: bool) -> None:
    state = take(None, enter(1, "a")).state
    assert take(state, leave(2), now=NOW + after).repeats is repeats


@pytest.mark.parametrize(("after", "repeats"), [(60, True), (1019, True), (1020, False)])
def test_an_enter_soon_after_the_exit_was_sent_is_sent_once_more(after: int, repeats: bool) -> None:
    entered = take(None, enter(1, "a")).state
    left = take(entered, leave(2), now=NOW + 5000).state
    assert take(left, enter(3, "b"), now=NOW + 5000 + after).repeats is repeats


@pytest.mark.parametrize(
    ("next_change", "repeats"),
    [pytest.param(leave(2), True, id="the opposite"), pytest.param(enter(2, "b"), False, id="another enter")],
)
def test_the_opposite_of_a_change_with_an_unknown_outcome_is_sent_once_more_however_long_ago_that_was(
    next_change: MembershipChange, repeats: bool
) -> None:
    unknown = replace(take(None, enter(1, "a")).state, outcome_unknown=True)
    each = take(unknown, next_change, now=NOW + 50_000)
    assert (each.repeats, each.state.outcome_unknown) == (repeats, False)


def test_a_deletion_notice_of_an_earlier_life_does_not_make_two_exits_of_this_one_erase() -> None:
    state = take(None, notice(1), enter(2, "a")).state
    left = take(take(state, leave(3)).state, leave(4)).state
    assert not left.must_erase


# What a record says beside its identities


def consenting(each: MembershipChange) -> MembershipChange:
    return replace(each, record=each.record | {"countryCode": "DE", "userConsent": {"consent": {"tcf": "C1"}}})


def records_of(each: Step) -> list[dict[str, Any]]:
    return [record.record for record in each.state.records(with_removal=each.with_removal)]


def test_an_enter_is_sent_with_its_own_consent_and_the_removal_before_it_without_one() -> None:
    known = take(None, consenting(enter(1, "old"))).state
    removal, entered = records_of(take(known, leave(2), consenting(enter(3, "new"))))
    assert removal == {
        "externalUserId": "m1",
        "countryCode": "DE",
        "action": "DELETE",
        "hashedPII": [{"email": "old"}],
        "userConsent": {},
    }
    assert entered == {
        "externalUserId": "m1",
        "countryCode": "DE",
        "action": "CREATE",
        "hashedPII": [{"email": "new"}],
        "userConsent": {"consent": {"tcf": "C1"}},
    }


@pytest.mark.parametrize(("end", "erases"), [(leave(2), False), (notice(2), True)], ids=["exit", "deletion notice"])
def test_the_removal_before_an_enter_is_the_exit_that_ended_the_life_before(
    end: MembershipChange, erases: bool
) -> None:
    state = take(take(None, enter(1, "old")).state, end, enter(3, "new")).state
    removal = state.removal()
    assert (removal.version, removal.erase, removal.named_at) == (end.version, erases, (1,))
    assert removal.identities == [(1, {"email": "old"})]


def test_the_times_of_what_is_removed_are_left_out_where_the_exit_itself_named_it() -> None:
    removal = take(None, leave(2, "a")).state.removal()
    assert (removal.named_at, removal.identities) == ((), [(2, {"email": "a"})])


def test_an_exit_is_sent_with_its_own_consent() -> None:
    known = take(None, consenting(enter(1, "a"))).state
    (removal,) = records_of(take(known, consenting(leave(2))))
    assert (removal["userConsent"], removal["countryCode"]) == ({"consent": {"tcf": "C1"}}, "DE")


def test_an_exit_whose_record_holds_no_consent_is_sent_with_an_empty_one() -> None:
    known = take(None, enter(1, "a")).state
    bare = leave(2)
    del bare.record["userConsent"]
    (removal,) = records_of(take(known, bare))
    assert removal["userConsent"] == {}


# Whatever the order, split and repetition in which changes arrive


@dataclass
class Member:
    """One member's row, what is at Amazon, and which identities an enter has named that counted."""

    state: MemberState | None = None
    at_amazon: set[str] = field(default_factory=set)
    waiting: list[list[MembershipChange]] = field(default_factory=list)  # what has to be sent once more
    counted: dict[str, int] = field(default_factory=dict)  # name: the latest time at which an enter named it
    left_at: int = -1  # of the newest exit that has arrived, effective or not
    now: int = NOW

    def receive(
        self, *changes: MembershipChange, repeated: Sequence[MembershipChange] = (), attempted: bool = False
    ) -> Step:
        """Bring one delivery's changes in, repetitions of what was sent before beside them, and apply what it sends."""
        if changes:
            self._count(coalesce(changes), coalesce([*changes, *repeated])[-1])
        each = take(self.state, *changes, *repeated, now=self.now, attempted=attempted, is_replay=not changes)
        for action, names in sent(each):
            self.at_amazon = self.at_amazon | set(names) if action == "CREATE" else self.at_amazon - set(names)
        if each.repeats and each.sends:
            self.waiting.append([*([each.state.removal()] if each.repeats_removal else []), each.state.change()])
        self.state = each.state
        return each

    def settle(self) -> None:
        """Send once more what has to be, long after, until nothing is left."""
        for _ in range(10):
            if not self.waiting:
                return
            self.now += 1021
            self.receive(repeated=self.waiting.pop())
        raise AssertionError("there is no end of repetitions")

    @property
    def active(self) -> set[str]:
        assert self.state
        return {each.digests["email"] for each in self.state.active}

    @property
    def expected(self) -> set[str]:
        """What enters have named after the newest exit."""
        return {name for name, at in self.counted.items() if at > self.left_at}

    def _count(self, changes: Sequence[MembershipChange], newest: MembershipChange) -> None:
        """Count what an enter names, where it is the newest, or of the same moment as the newest.

        `newest` of the delivery, repetitions included: what is merged into a repetition of the newest counts, too.
        """
        self.left_at = max([self.left_at, *(change.at for change in changes if change.exits)])
        if newest.exits or changes[-1].exits:
            return
        before = self.state.newest if self.state else None
        if before is None or newest.version > before.version:
            for at, identity in changes[-1].identities:
                self.counted[identity["email"]] = max(at, self.counted.get(identity["email"], at))
        elif newest.at == before.at and not before.exits:
            for at, identity in changes[-1].identities:
                if identity["email"] not in self.expected:  # an active identity keeps its time
                    self.counted[identity["email"]] = max(at, self.counted.get(identity["email"], at))


@st.composite
def any_change(draw: st.DrawFn) -> MembershipChange:
    at, exits = draw(st.integers(1, 6)), draw(st.booleans())
    names = draw(st.lists(st.sampled_from("abcd"), min_size=not exits, max_size=2, unique=True))
    return change(at, *names, exits=exits, erase=exits and draw(st.booleans()), id=draw(st.sampled_from("xy")))


DELIVERIES = st.lists(st.lists(any_change(), min_size=1, max_size=3), min_size=1, max_size=6)


@given(DELIVERIES)
def test_the_newest_change_wins_in_whatever_order_and_however_often_changes_arrive(
    deliveries: list[list[MembershipChange]],
) -> None:
    member = Member()
    for changes in deliveries:
        member.receive(*changes)
    assert member.state
    everything = [change for changes in deliveries for change in changes]
    assert member.state.version == max(change.version for change in everything)
    exits = {change.version for change in everything if change.exits}
    if member.state.newest.exits:
        assert member.state.left == max(exits)
        assert member.active == set()
    else:
        assert member.state.left is None or member.state.left in exits


@given(DELIVERIES)
def test_the_active_identities_are_those_that_an_enter_named_after_the_newest_exit(
    deliveries: list[list[MembershipChange]],
) -> None:
    member = Member()
    for changes in deliveries:
        member.receive(*changes)
        assert member.active == member.expected


@settings(max_examples=400)
@given(DELIVERIES, st.booleans(), st.randoms(use_true_random=False))
def test_amazon_ends_up_with_the_active_identities_and_nothing_else(
    deliveries: list[list[MembershipChange]], erases: bool, random: Any
) -> None:
    member = Member()
    for changes in deliveries:
        member.now += random.choice((0, 500, 5000))
        if member.waiting and random.random() < 0.3:
            member.receive(*changes, repeated=member.waiting.pop())
        else:
            member.receive(*changes, attempted=random.random() < 0.2)
        if erases and member.state and not member.waiting:
            member.state = removed(member.state, member.state.erase_until)
    member.settle()
    assert member.at_amazon == member.expected


@given(
    st.lists(any_change().filter(lambda each: not each.exits), max_size=5),
    st.lists(any_change().filter(lambda each: each.exits), max_size=3),
    st.randoms(use_true_random=False),
)
def test_where_enters_arrive_in_order_it_does_not_matter_when_exits_do_nor_how_all_are_split_and_repeated(
    enters: list[MembershipChange], exits: list[MembershipChange], random: Any
) -> None:
    member = Member()
    in_order = sorted({each.version: each for each in enters}.values(), key=lambda each: each.version)
    for each in exits:
        in_order.insert(random.randint(0, len(in_order)), each)
    left, seen = in_order, list[MembershipChange]()
    while left:
        size = random.randint(1, 3)
        member.receive(*left[:size], *(random.choices(seen, k=random.randint(0, 2)) if seen else []))
        seen, left = seen + left[:size], left[size:]
    member.settle()
    newest_exit = max((each.version for each in exits), default=Version(-1, True, ""))
    names = {
        identity["email"]
        for each in in_order
        if not each.exits and each.version > newest_exit
        for identity in each.record["hashedPII"]
    }
    assert member.at_amazon == names


def test_a_late_exit_is_remembered_although_nothing_was_known_before_it() -> None:
    member = Member()
    member.receive(enter(3, "new"))
    member.receive(leave(2))
    member.receive(enter(1, "old"), enter(4, "newer"))  # one delivery: they merge, each with its own time
    member.settle()
    assert member.at_amazon == {"new", "newer"}


def test_a_late_exit_removes_although_an_enter_of_the_same_moment_as_the_newest_comes_with_it() -> None:
    member = Member()
    member.receive(enter(1, "old"))
    member.receive(change(3, "new", id="y"))
    member.receive(leave(2), change(3, "new", id="x"))
    assert member.at_amazon == {"new"}


@pytest.mark.parametrize("end", [leave(1), notice(1)], ids=["exit", "deletion notice"])
def test_an_enter_whose_upload_failed_is_sent_although_a_late_exit_comes_with_it(end: MembershipChange) -> None:
    recorded = take(None, enter(2, "a")).state
    each = take(recorded, end, enter(2, "a"), attempted=True)
    assert (each.is_superseded, sent(each)) == (False, [("CREATE", ["a"])])


@pytest.mark.parametrize("end", [leave(1), notice(1)], ids=["exit", "deletion notice"])
def test_an_identity_of_the_same_moment_is_added_although_a_late_exit_comes_with_it(end: MembershipChange) -> None:
    state = take(None, enter(2, "a")).state
    assert sent(take(state, end, enter(2, "a", "b"))) == [("CREATE", ["a", "b"])]


def test_an_exit_that_comes_late_ends_the_life_of_identities_that_were_merged_with_newer_ones() -> None:
    state = take(take(None, enter(1, "old")).state, enter(5, "new")).state
    state = take(
        state, state.change(), enter(6, "newest")
    ).state  # a replay of the newest, in one delivery with another
    assert {each.digests["email"] for each in take(state, leave(3)).state.active} == {"new", "newest"}


@pytest.mark.parametrize("at", [-1, -86_400_000, 0])
def test_a_change_of_1970_or_before_is_sent_like_any_other(at: int) -> None:
    entered = take(None, enter(at, "a"))
    assert sent(entered) == [("CREATE", ["a"])]
    assert sent(take(entered.state, leave(at + 1))) == [("DELETE", ["a"])]


# Changes that are not newer


def back() -> MemberState:
    """A member who left at 2, with `old` to remove, and entered again at 3 with `new`."""
    state = take(take(None, enter(1, "old")).state, leave(2), now=NOW + 5000).state
    return take(state, enter(3, "new"), now=NOW + 10_000).state


LATER = NOW + 20_000  # when nothing of what was sent before can still be on its way


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        pytest.param(back(), [enter(3, "new")], [("CREATE", ["new"])], id="the newest again: without a removal"),
        pytest.param(back(), [enter(2, "x")], [], id="an older enter"),
        pytest.param(
            back(),
            [leave(2)],
            [("DELETE", ["old"]), ("CREATE", ["new"])],
            id="the exit of the life before again: its removal may have been lost",
        ),
        pytest.param(take(None, enter(5, "a")).state, [leave(3)], [], id="a late exit with nothing to remove"),
        pytest.param(take(None, leave(5, "a")).state, [leave(4)], [], id="an older exit"),
        pytest.param(
            take(None, leave(5, "a")).state, [notice(4)], [("DELETE", ["a"])], id="an older notice: what it erases"
        ),
    ],
)
def test_of_a_change_that_is_not_newer_only_what_may_be_missing_is_sent(
    state: MemberState, changes: list[MembershipChange], expected: list[tuple[str, list[str]]]
) -> None:
    each = step(state, changes, now=LATER, effective_after=1020)
    assert sent(each) == expected
    assert each.is_superseded is (changes != [enter(3, "new")])


def test_a_late_exit_with_nothing_to_remove_is_written_since_it_ends_a_life() -> None:
    state = take(None, enter(5, "a")).state
    late = take(state, leave(3))
    assert (late.writes, late.state.left) == (True, leave(3).version)


def test_the_newest_change_again_is_not_written_before_it_is_sent() -> None:
    state = back()
    again = take(state, enter(3, "new"), now=LATER)
    assert (again.writes, again.state) == (False, state)


@pytest.mark.parametrize(("after", "repeats"), [(60, True), (1019, True), (1020, False)])
def test_the_removal_before_an_enter_is_repeated_while_an_enter_of_the_life_before_may_be_on_its_way(
    after: int, repeats: bool
) -> None:
    known = take(None, enter(1, "old")).state
    each = take(known, leave(2), enter(3, "new"), now=NOW + after)
    assert (each.with_removal, each.repeats_removal, each.repeats) == (True, repeats, repeats)
    assert each.state.exited == NOW + after


@pytest.mark.parametrize(("phone", "repeats"), [("p", True), ("q", False)], ids=["shared", "of its own"])
def test_an_enter_is_repeated_where_the_removal_before_it_shares_a_digest_with_it(phone: str, repeats: bool) -> None:
    before, after = enter(1), enter(3)
    before.record["hashedPII"] = [{"email": "old", "phone": "p"}]
    after.record["hashedPII"] = [{"email": "new", "phone": phone}]
    known = take(None, before).state
    each = take(known, leave(2), after, now=LATER)
    assert (each.with_removal, each.repeats, each.repeats_removal) == (True, repeats, False)
    assert take(known, leave(2), now=LATER).repeats is False, "an exit has nothing to be repeated after"


def test_of_the_newest_change_the_state_keeps_neither_identities_nor_the_wish_to_be_erased() -> None:
    merged = coalesce([enter(1, "a"), enter(2, "b"), notice(3)])
    newest = take(None, *merged).state.newest
    assert (newest.record["hashedPII"], newest.named_at, newest.erase) == ([], (), False)


def test_a_removal_that_is_sent_again_is_repeated_with_the_enter_unless_it_is_a_repetition_itself() -> None:
    changes = [leave(2), enter(3, "new")]
    again = step(back(), changes, now=LATER, effective_after=1020)
    assert (again.with_removal, again.repeats_removal) == (True, True)
    repetition = step(back(), changes, now=LATER, effective_after=1020, is_replay=True)
    assert (repetition.with_removal, repetition.repeats_removal, repetition.repeats) == (True, False, False)


def test_another_attempt_at_an_enter_is_repeated_while_the_removal_before_it_may_be_on_its_way() -> None:
    again = take(back(), enter(3, "new"), now=NOW + 5060, attempted=True)
    assert (again.with_removal, again.repeats) == (True, True)


# What is erased


def test_what_a_job_has_removed_is_dropped_and_nothing_that_was_named_later() -> None:
    state = take(take(take(None, enter(1, "a")).state, notice(2)).state, enter(3, "b")).state
    left = take(state, notice(4)).state
    assert {each.digests["email"] for each in removed(left, 2).to_remove} == {"b"}
    assert {each.digests["email"] for each in removed(left, 4).identities} == set()


def test_what_is_active_is_never_erased() -> None:
    state = take(None, notice(2), enter(3, "a")).state
    assert removed(state, 10) == state


def test_a_late_deletion_notice_erases_what_an_exit_since_then_has_named() -> None:
    left = take(None, leave(5, "a")).state
    late = take(left, notice(3)).state
    assert (late.erase_until, late.must_erase) == (5, True)


def test_a_late_deletion_notice_does_not_erase_what_was_named_after_it_where_the_member_is_back() -> None:
    back = take(take(take(None, enter(4, "a")).state, leave(5)).state, enter(6, "b")).state
    late = take(back, notice(3)).state
    assert (late.erase_until, late.must_erase) == (3, False)


@given(DELIVERIES)
def test_nothing_stays_to_be_erased_once_all_removals_have_ended(deliveries: list[list[MembershipChange]]) -> None:
    member = Member()
    for changes in deliveries:
        member.receive(*changes)
    assert member.state
    erased = removed(member.state, member.state.erase_until)
    assert not erased.must_erase
    assert erased.active == member.state.active
    notices = [change.at for changes in deliveries for change in changes if change.erase]
    assert all(each.at > max(notices, default=-1) for each in erased.identities if each not in erased.to_remove)


@given(DELIVERIES)
def test_only_a_deletion_notice_has_identities_erased(deliveries: list[list[MembershipChange]]) -> None:
    member = Member()
    for changes in deliveries:
        member.receive(*(replace(change, erase=False) for change in changes))
    assert member.state
    assert member.state.erase_until == 0
    assert not member.state.must_erase


def test_a_removal_of_long_ago_is_certain_and_its_identities_are_dropped_with_the_next_enter() -> None:
    left = take(take(None, enter(1, "a")).state, leave(2)).state
    later = take(left, enter(3, "b"), now=NOW + KEEP_REMOVED).state
    assert {each.digests["email"] for each in later.to_remove} == {"a"}
    later = take(left, enter(3, "b"), now=NOW + KEEP_REMOVED + 1).state
    assert later.to_remove == ()


def test_a_removal_that_failed_is_never_certain() -> None:
    left = replace(take(take(None, enter(1, "a")).state, leave(2)).state, removal_failed=True)
    later = take(left, enter(3, "b"), now=NOW + KEEP_REMOVED + 1).state
    assert {each.digests["email"] for each in later.to_remove} == {"a"}


def test_another_exit_removes_once_more_also_long_after_the_first() -> None:
    left = take(take(None, enter(1, "a")).state, leave(2)).state
    later = take(left, leave(3), enter(4, "b"), now=NOW + KEEP_REMOVED + 1)
    assert sent(later) == [("DELETE", ["a"]), ("CREATE", ["b"])]


def test_a_removal_that_is_sent_again_has_not_failed_yet() -> None:
    failed = replace(take(take(None, enter(1, "a")).state, leave(2)).state, removal_failed=True)
    assert take(failed, leave(3)).state.removal_failed is False


def test_what_is_added_to_the_newest_change_is_dated_by_when_it_is_sent() -> None:
    state = take(take(None, enter(1, "old")).state, enter(5, "a")).state
    added = take(state, change(5, "b", id="other"), now=NOW + 9).state
    assert (added.entered, added.exited) == (NOW + 9, 0)
    removing = take(state, leave(3), now=NOW + 9).state
    assert (removing.entered, removing.exited) == (NOW + 9, NOW + 9)


def test_a_deletion_notice_erases_what_the_next_exit_names_too() -> None:
    left = take(take(None, notice(2)).state, leave(4, "a")).state
    assert (left.erase_until, left.must_erase) == (4, True)


def test_a_state_that_is_sent_again_is_dated_anew_and_otherwise_the_same() -> None:
    entered = take(None, enter(1, "a")).state
    again = touched(entered, NOW + 9, with_removal=False)
    assert again == replace(entered, entered=NOW + 9)
    both = touched(entered, NOW + 9, with_removal=True)
    assert both == replace(entered, entered=NOW + 9, exited=NOW + 9)
    left = take(entered, leave(2)).state
    assert touched(left, NOW + 9, with_removal=False) == replace(left, exited=NOW + 9)
    assert touched(left, NOW + 9, with_removal=True) == replace(left, exited=NOW + 9)


@pytest.mark.parametrize(
    ("before", "notice_at", "follows"),
    [
        pytest.param([enter(5, "a")], 6, False, id="the member is in"),
        pytest.param([enter(5, "a")], 4, False, id="the life began after it, and may have begun before it"),
        pytest.param([leave(5)], 6, False, id="an enter from between would count"),
        pytest.param([leave(5)], 4, True, id="left since, and nothing is kept"),
        pytest.param([leave(5, "a")], 4, False, id="left since, with an identity that must go, too"),
        pytest.param([enter(3, "a"), leave(5)], 4, False, id="left since, and the identity is kept"),
        pytest.param([enter(3, "a"), notice(4)], 4, True, id="spread already"),
        pytest.param([enter(3, "a"), notice(4), enter(6, "b")], 4, True, id="spread already, and back since"),
        pytest.param([enter(3, "a"), leave(5), enter(6, "b")], 4, False, id="back since, and an old identity is kept"),
        pytest.param([leave(5), enter(6, "b")], 4, True, id="back since, and no old identity is kept"),
        pytest.param([enter(4, "a"), leave(5), enter(6, "b")], 3, True, id="back since, the old one named after it"),
    ],
)
def test_a_row_follows_a_deletion_notice_where_that_changes_nothing_any_more(
    before: Sequence[MembershipChange], notice_at: int, follows: bool
) -> None:
    state = None
    for each in before:
        state = take(state, each).state
    assert state is not None
    assert state.follows(notice(notice_at).version) is follows


@given(st.lists(any_change(), min_size=1, max_size=6), st.integers(1, 6))
def test_once_a_deletion_notice_was_spread_the_row_follows_it(some: list[MembershipChange], at: int) -> None:
    state = None
    for each in [*some, notice(at)]:
        state = take(state, each).state
    assert state is not None
    assert state.follows(notice(at).version)
