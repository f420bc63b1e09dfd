"""How a member of a file and a row of the audience differ, and that a comparison takes little memory."""

import tracemalloc
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest

from audience_sync.fields import IDENTIFIERS
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Identity, MembershipChange, coalesce
from audience_sync_cli.member_files.comparison import Comparison, Difference
from audience_sync_cli.member_files.erased import Erased
from audience_sync_cli.member_files.row_changes import LeftOut
from tests.support import builders

WRITTEN = 1_000_000  # epoch milliseconds, the time of the file
BEFORE, AFTER = WRITTEN - 1, WRITTEN + 1
AUDIENCE = "418273650912345678"


def change(*emails: str, at: int = WRITTEN, member: str = "m", **options: Any) -> MembershipChange:
    return builders.change(member, *map(builders.sha256, emails), at=at, audience_id=AUDIENCE, **options)


def state_of(*changes: MembershipChange) -> MemberState:
    state: MemberState | None = None
    for each in changes:
        state = apply_changes(state, coalesce([each]), now=1, timing=Timing(0)).state
    assert state is not None
    return state


def compared(
    in_file: Sequence[MembershipChange], states: Sequence[MemberState], erased: Erased = MappingProxyType({})
) -> dict[str, Difference]:
    comparison, found = Comparison(WRITTEN), dict[str, Difference]()
    for each in in_file:
        comparison.add(each)
    comparison.compare(states, erased, lambda member, difference, _: found.__setitem__(member, difference))
    assert sum(comparison.counts.values()) == len(found) + comparison.counts[Difference.SAME]
    return found


EARLIER_LIFE = [change("a", at=BEFORE - 2), change(exits=True, at=BEFORE - 1), change("b", at=BEFORE)]


@pytest.mark.parametrize(
    ("rows", "difference"),
    [
        pytest.param([change("a", at=BEFORE)], None, id="the same identifier"),
        pytest.param([change("a", at=AFTER)], None, id="the same identifier, entered again since"),
        pytest.param([change("a", at=BEFORE - 1), change("b", at=BEFORE)], None, id="one more than in the file"),
        pytest.param([change("b", at=BEFORE)], Difference.DIFFERENT, id="another identifier"),
        pytest.param([change("b", at=WRITTEN)], Difference.DIFFERENT, id="another, of the file's own time"),
        pytest.param([change("b", at=AFTER)], Difference.CHANGED_SINCE, id="another, of a later time"),
        pytest.param([change("a", exits=True, at=BEFORE)], Difference.LEFT, id="left before"),
        pytest.param([change("a", exits=True, at=WRITTEN)], Difference.LEFT_SINCE, id="left at the same time"),
        pytest.param([change("a", exits=True, at=AFTER)], Difference.LEFT_SINCE, id="left later"),
        pytest.param(EARLIER_LIFE, Difference.DIFFERENT, id="the identifier belongs to an earlier life"),
    ],
)
def test_a_listed_member_is_compared_with_the_row(rows: list[MembershipChange], difference: Difference | None) -> None:
    assert compared([change("a")], [state_of(*rows)]).get("m") == difference


@pytest.mark.parametrize(
    ("reasons", "row", "difference"),
    [
        pytest.param([], change("a", at=BEFORE), Difference.SURPLUS, id="not in the file, entered before"),
        pytest.param([], change("a", at=WRITTEN), Difference.SURPLUS, id="not in it, entered at the same time"),
        pytest.param([], change("a", at=AFTER), Difference.ENTERED_SINCE, id="not in it, entered later"),
        pytest.param([], change("a", exits=True, at=BEFORE), None, id="not in it, left"),
        pytest.param(["no_identifier"], change("a", at=WRITTEN), Difference.ROW_LEFT_OUT, id="left out"),
        pytest.param(["no_identifier"], change("a", at=AFTER), Difference.ENTERED_SINCE, id="entered later"),
        pytest.param(["no_identifier"], change("a", exits=True, at=BEFORE), None, id="left"),
        pytest.param(["consent_denied"], change("a", at=BEFORE), Difference.CONSENT_DENIED, id="denied"),
        pytest.param(["consent_denied"], change("a", at=AFTER), Difference.ENTERED_SINCE, id="denied before"),
        pytest.param(["consent_denied", "no_identifier"], change("a"), Difference.CONSENT_DENIED, id="denied first"),
        pytest.param(["no_identifier", "consent_denied"], change("a"), Difference.CONSENT_DENIED, id="denied last"),
    ],
)
def test_an_unlisted_member_is_surplus_unless_a_row_of_the_file_is_left_out_or_the_entry_is_newer(
    reasons: list[str], row: MembershipChange, difference: Difference | None
) -> None:
    comparison, found = Comparison(WRITTEN), list[Difference]()
    for reason in reasons:
        comparison.leave_out(LeftOut(1, reason, "m"))
    comparison.compare([state_of(row)], {}, lambda _member, each, _reason: found.append(each))
    assert found == ([difference] if difference else [])
    assert comparison.surplus == (["m"] if difference is Difference.SURPLUS else [])
    comparison.add(change("a"))
    comparison.compare([state_of(change("a"))], {}, lambda *_: pytest.fail("another row makes them the same"))


def test_a_member_without_a_row_is_missing_unless_a_deletion_notice_names_them() -> None:
    assert compared([change("a")], []) == {"m": Difference.MISSING}
    erased = {"m": BEFORE}
    assert compared([change("a")], [], erased) == {"m": Difference.ERASED}
    left = state_of(change("a", at=BEFORE - 1), change(exits=True, erase=True, at=BEFORE))
    assert compared([change("a")], [left], erased) == {"m": Difference.ERASED}
    row = state_of(change("b", at=BEFORE))
    assert compared([change("a")], [row], erased) == {"m": Difference.ERASED}, "its exit is due"
    assert compared([change("a")], [row], {"m": BEFORE - 1}) == {"m": Difference.DIFFERENT}, "entered since"


def test_the_identifiers_of_several_rows_of_a_member_are_merged() -> None:
    both = state_of(change("a", "b", at=BEFORE))
    assert compared([change("a"), change("b")], [both]) == {}
    assert compared([change("a"), change("c")], [both]) == {"m": Difference.DIFFERENT}


def test_a_member_takes_at_most_300_bytes_of_memory() -> None:
    count = 20_000
    names = [each.amazon_name for each in IDENTIFIERS]

    def changes(number: int) -> MembershipChange:
        identity = Identity(1, {name: builders.sha256(f"{name}{number}") for name in names})
        return change(at=1, member=f"cust_{number:08d}", message_id="id", identities=(identity,))

    comparison = Comparison(WRITTEN)
    tracemalloc.start()
    for number in range(count):
        comparison.add(changes(number))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert comparison.members == count
    assert size / count < 300
