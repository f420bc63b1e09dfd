"""Which of several changes is the newest, and what is kept of each member."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.members.membership import (
    Consent,
    Identity,
    MembershipChange,
    Version,
    canonical_json,
    coalesce,
    since,
)
from tests.support import builders


def change(
    member: str = "m1", *, message_id: str = "a", emails: tuple[str, ...] = ("e",), **options: Any
) -> MembershipChange:
    return builders.change(member, *emails, message_id=message_id, audience_id="9007199254740993", **options)


def named(change: MembershipChange) -> list[tuple[int, str]]:
    """When each email address was named, in the order of the change."""
    return [(each.at, each.digests["email"]) for each in change.identities]


changes = st.builds(
    change,
    st.sampled_from(["m1", "m2"]),
    at=st.integers(0, 3),
    exits=st.booleans(),
    message_id=st.sampled_from("abc"),
    emails=st.lists(st.sampled_from("vwxyz"), max_size=3, unique=True).map(tuple),
    erase=st.booleans(),
).map(lambda each: replace(each, erase=each.erase and each.exits))


def canonical(some: list[MembershipChange]) -> dict[tuple[str, str], Any]:
    """What is kept of each member, the older life first, with the time at which each identity was named last.

    An identity of both lives counts in the newer one: it is not removed.
    """
    kept: dict[tuple[str, str], Any] = {}
    for each in reversed(some):
        lives = kept.setdefault(each.member, [])
        newer = {name for _, _, names in lives for name in names}
        lives.insert(0, (each.version, each.erase, {name: at for at, name in named(each) if name not in newer}))
    return kept


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(Version(1, True, "z"), Version(2, False, "a"), id="a later time wins"),
        pytest.param(Version(1, False, "z"), Version(1, True, "a"), id="an exit outranks an enter of the same moment"),
        pytest.param(Version(1, True, "a"), Version(1, True, "b"), id="the message id decides what is left"),
    ],
)
def test_an_exit_wins_over_an_enter_of_the_same_millisecond(older: Version, newer: Version) -> None:
    assert older < newer


VERSIONS = st.builds(  # from the year 1 to 9999; a message may carry any time, ingest takes none before 1970
    Version, st.integers(-62_135_596_800_000, 253_402_300_799_999), st.booleans(), st.text(max_size=3)
)


@given(VERSIONS, VERSIONS)
def test_versions_order_like_their_strings(one: Version, other: Version) -> None:
    assert (one < other) is (one.text < other.text)


@given(VERSIONS)
def test_a_version_survives_a_round_trip_through_its_string(version: Version) -> None:
    assert Version.from_text(version.text) == version


def test_the_string_of_a_version_does_not_change() -> None:
    assert Version(5, exits=True, message_id="a#b").text == "0000000000000005#1#a#b"
    assert Version.from_text("0000000000000005#0#a#b") == Version(5, exits=False, message_id="a#b")


@pytest.mark.parametrize("text", ["", "5", "5#1", "x#1#a", "5#2#a", "5##a", "5#true#a"])
def test_an_invalid_version_string_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Version.from_text(text)


def test_identities_of_one_member_merge_into_one_record() -> None:
    (merged,) = coalesce([change(emails=("work",)), change(message_id="b", emails=("home",))])
    assert named(merged) == [(1, "home"), (1, "work")]


def test_the_order_of_fields_does_not_matter_to_an_identity() -> None:
    digests = {"email": "e", "phone": "p"}
    turned = dict(reversed(digests.items()))
    one, other = change(identities=(Identity(1, digests),)), change(message_id="b", identities=(Identity(1, turned),))
    (merged,) = coalesce([one, other])
    assert merged.identities == (Identity(1, digests),)


def test_canonical_json_is_sorted_and_has_no_white_space() -> None:
    assert canonical_json({"b": 1, "a": ["é", None]}) == canonical_json({"a": ["é", None], "b": 1})
    assert canonical_json({"b": 1, "a": [2, 3]}) == '{"a":[2,3],"b":1}'


def test_a_later_exit_does_not_undo_a_deletion_notice() -> None:
    (merged,) = coalesce([change(at=1, exits=True, erase=True), change(at=2, exits=True)])
    assert (merged.version.at, merged.erase) == (2, True)


def test_an_erase_flag_on_an_enter_is_ignored() -> None:
    """Messages of the version before may hold such enters."""
    (left,) = coalesce([change(at=1, erase=True), change(at=2, exits=True)])
    assert left.erase is False


def test_the_exit_before_a_newer_enter_is_kept() -> None:
    three = [change(at=1, emails=("old",)), change(at=2, exits=True, emails=()), change(at=3, emails=("new",))]
    for order in permutations(three):
        left, entered = coalesce(order)
        assert (left.version.at, left.exits, named(left)) == (2, True, [(1, "old")])
        assert (entered.version.at, entered.exits, named(entered)) == (3, False, [(3, "new")])


@pytest.mark.parametrize("erase", [False, True], ids=["exit", "deletion notice"])
def test_a_newer_enter_inherits_neither_identities_nor_erase_across_an_exit(erase: bool) -> None:
    *_, entered = coalesce([change(at=1, emails=("old",)), change(at=2, exits=True, erase=erase), change(at=3)])
    assert (named(entered), entered.erase) == ([(3, "e")], False)


def test_identities_of_an_earlier_life_move_from_the_enter_to_the_exit() -> None:
    entered = change(at=3, identities=(Identity(1, {"email": "old"}), Identity(3, {"email": "new"})))
    left, entered = coalesce([entered, change(at=2, exits=True, emails=())])
    assert (named(left), named(entered)) == ([(1, "old")], [(3, "new")])


def test_an_enter_of_the_same_millisecond_belongs_to_the_life_the_exit_ended() -> None:
    (left,) = coalesce([change(at=2, emails=("same",)), change(at=2, exits=True, emails=())])
    assert named(left) == [(2, "same")]


def test_each_identity_keeps_the_latest_time_it_was_named() -> None:
    (merged,) = coalesce([change(at=1, emails=("x", "y")), change(at=2, emails=("y",)), change(at=3, emails=("z",))])
    assert sorted(named(merged)) == [(1, "x"), (2, "y"), (3, "z")]


@pytest.mark.parametrize(
    ("field", "kept", "other"),
    [("country", "FR", "DE"), ("country", None, "DE"), ("consent", None, {}), ("consent", None, {"consent": {}})],
)
def test_of_two_changes_with_one_version_the_same_is_kept_in_either_order(field: str, kept: Any, other: Any) -> None:
    two = [change(**{field: kept}), change(**{field: other})]
    assert coalesce(two) == coalesce(reversed(two)) == two[:1]


def test_an_enter_keeps_the_hundred_newest_identities() -> None:
    (merged,) = coalesce(change(at=at, emails=(f"e{at}",)) for at in range(130))
    assert named(merged) == [(at, f"e{at}") for at in range(129, 29, -1)]


def test_an_exit_keeps_every_identity() -> None:
    entered = [change(at=at, emails=(f"e{at}",)) for at in range(130)]
    (left,) = coalesce([*entered, change(at=200, exits=True, emails=())])
    assert len(left.identities) == 130


def test_ids_that_differ_in_case_are_different_members() -> None:
    assert len(coalesce([change("abc"), change("ABC")])) == 2


@given(st.lists(changes, max_size=12), st.randoms(use_true_random=False))
def test_coalescing_does_not_depend_on_the_order(some: list[MembershipChange], random: Any) -> None:
    shuffled = random.sample(some, len(some))
    assert canonical(coalesce(some)) == canonical(coalesce(shuffled))


@given(st.lists(changes, max_size=12), st.integers(0, 12))
def test_coalescing_does_not_depend_on_how_deliveries_were_split(some: list[MembershipChange], at: int) -> None:
    split = coalesce(coalesce(some[:at]) + coalesce(some[at:]))
    assert canonical(split) == canonical(coalesce(some))


@given(st.lists(changes, max_size=12))
def test_repeated_deliveries_change_nothing(some: list[MembershipChange]) -> None:
    assert canonical(coalesce(some + some)) == canonical(coalesce(some))


@given(st.lists(changes, max_size=12))
def test_coalescing_keeps_at_most_an_exit_and_a_newer_enter(some: list[MembershipChange]) -> None:
    kept = canonical(coalesce(some))
    assert kept.keys() == {each.member for each in some}
    for member, lives in kept.items():
        assert lives[-1][0] == max(each.version for each in some if each.member == member)
        assert [version.exits for version, _, _ in lives] in ([True], [False], [True, False])
        assert all(version.exits or not erase for version, erase, _ in lives)


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        pytest.param([change("m1", at=3)], [], id="an older enter"),
        pytest.param([change("m1", at=4, message_id="a")], [], id="an enter of the same moment"),
        pytest.param([change("m1", at=4, exits=True, message_id="notice")], [], id="the notice itself again"),
        pytest.param([change("m1", at=5)], [5], id="a later enter"),
        pytest.param([change("m1", at=3, exits=True)], [], id="an older exit"),
        pytest.param([change("m1", at=5, exits=True)], [5], id="a later exit"),
        pytest.param([change("m1", at=3, exits=True), change("m1", at=5)], [5], id="an older exit, a later enter"),
        pytest.param([change("m1", at=5, exits=True), change("m1", at=6)], [5, 6], id="a later exit and enter"),
    ],
)
def test_changes_not_newer_than_a_deletion_notice_are_dropped(
    some: list[MembershipChange], expected: list[int]
) -> None:
    assert [each.at for each in since(some, Version(4, True, "notice"))] == expected


def test_identities_not_newer_than_a_deletion_notice_are_dropped() -> None:
    some = [change("m1", at=at, emails=(email,)) for at, email in ((3, "old"), (4, "of its moment"), (5, "new"))]
    (left,) = since(coalesce(some), Version(4, True, "notice"))
    assert named(left) == [(5, "new")]


@pytest.mark.parametrize(
    ("consent", "denies"),
    [
        pytest.param({"consent": {"amzn": {"amznUserData": "DENIED"}}}, True, id="denied"),
        pytest.param({"consent": {"amzn": {"amznUserData": "GRANTED"}, "tcf": "DENIED"}}, False, id="granted"),
        pytest.param({"consent": {"amzn": ["DENIED"]}}, False, id="no object: rows promise nothing within the consent"),
        pytest.param({}, False, id="a deletion notice states none"),
        pytest.param(None, False, id="only the row knows it"),
    ],
)
def test_an_exit_denies_consent_only_if_it_says_so(consent: Consent | None, denies: bool) -> None:
    assert change(exits=True, erase=True, consent=consent).denies_consent is denies
