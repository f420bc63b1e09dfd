"""An event that denies consent ends every membership of its person, whatever else it states."""

import hashlib
import json
from typing import Any

import pytest

from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync.ingest.record_rules import MAX_ENTER_AGE, Policy
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Destination, MembershipChange
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from tests.support.doubles.audiences import Listed
from tests.support.intake import outcomes

AT = 1_772_615_722_118  # epoch milliseconds of the event
LISTED = Audience("5", country="DE", computation_key="big_spenders")
DENIED: dict[str, Any] = {"amznUserData": "DENIED"}


def event(*, enters: bool = True, key: str = "big_spenders", **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Audience Entered" if enters else "Audience Exited",
        "messageId": "m-1",
        "userId": properties.pop("userId", "u1"),
        "timestamp": "2026-03-04T09:15:22.118Z",
        "properties": {key: enters, "email": "a@b.co", **properties},
        "context": {"personas": {"computation_class": "audience", "computation_key": key}},
    }


def read(*events: Any, mappings: list[Any] | None = None, policy: Policy | None = None, now: int = AT) -> IntakeResult:
    document = json.dumps(mappings) if mappings else None
    body = json.dumps(events).encode()
    return changes_from(body, mappings=compiled(document), audiences=Listed(LISTED), now=now, policy=policy)


def mapping(name: str, *, enabled: bool = True, trigger: str = 'type = "track"', **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "trigger": trigger,
        "fields": DEFAULT_MAPPING.fields | fields,
        "enabled": enabled,
    }


def leaving(member: str = "u1") -> MembershipChange:
    denied = {"consent": {"amzn": {"amznUserData": "DENIED"}}}
    return MembershipChange(EVERY_AUDIENCE, member, Destination(), AT, "m-1", True, consent=denied, erase=True)


@pytest.mark.parametrize("policy", [Policy("require"), Policy("pass")])
@pytest.mark.parametrize(
    "denying",
    [
        pytest.param(event(**DENIED), id="an addition"),
        pytest.param(event(enters=False, **DENIED), id="an exit: no second change"),
        pytest.param(event(amznAdStorage=False, amznUserData="GRANTED"), id="to ad storage only"),
        pytest.param(event(email="", **DENIED), id="without an identifier"),
        pytest.param(event(key="unlisted", **DENIED), id="about an unlisted audience"),
        pytest.param(event(tcf="not an IAB string", **DENIED), id="beside an unreadable signal"),
        pytest.param(event(amznAdStorage="perhaps", **DENIED), id="beside an unclear answer"),
    ],
)
def test_a_denial_is_accepted_as_an_exit_from_every_audience(denying: dict[str, Any], policy: Policy) -> None:
    result = read(denying, policy=policy)
    assert result.changes == [leaving()]
    assert (result.accepted, result.ignored, result.rejections) == (1, 0, [])
    (denial,) = result.denials
    assert (denial.index, denial.message_id, denial.reason) == (0, "m-1", "consent_denied")
    assert denial.detail.endswith(" denies consent: the person leaves every audience")


def test_a_denial_counts_whatever_its_age() -> None:
    policy = Policy(max_enter_age=MAX_ENTER_AGE)
    result = read(event(userId="u2"), event(**DENIED), policy=policy, now=AT + MAX_ENTER_AGE + 1)
    assert result.changes == [leaving()]
    assert [each.reason for each in result.rejections] == ["time_too_old"]


@pytest.mark.parametrize(
    ("signals", "enters", "outcome"),
    [
        pytest.param({"amznUserData": "yes"}, True, "consent_invalid", id="neither a yes nor a no"),
        pytest.param({"amznUserData": "yes"}, False, "DELETE u1", id="an exit needs no signal"),
        pytest.param({"amznUserData": "UNKNOWN", "tcf": "CPx"}, True, "CREATE u1", id="no answer"),
        pytest.param({"consent": "DENIED", "tcf": "CPx"}, True, "CREATE u1", id="a field that is not mapped"),
    ],
)
def test_only_a_mapped_signal_with_a_clear_no_is_a_denial(signals: dict[str, Any], enters: bool, outcome: str) -> None:
    result = read(event(enters=enters, **signals))
    assert result.denials == []
    assert outcomes(result) == [outcome]


@pytest.mark.parametrize("order", [1, -1])
def test_a_denial_found_by_one_mapping_wins_and_reaches_only_ids_of_mappings_that_apply(order: int) -> None:
    def reading(name: str, **options: Any) -> dict[str, Any]:
        deaf: dict[str, Any] = {"amzn_user_data": None, "amzn_ad_storage": None, "tcf": "CPx"}
        return mapping(name, external_user_id={"@path": f"$.properties.{name}"}, **options, **deaf)

    referred = reading("friend", trigger='event = "Friend Referred"')
    mappings = [mapping("denies"), reading("second"), reading("off", enabled=False), referred, reading("without an id")]
    denying = event(second="u2", off="u3", friend="u4", **DENIED)
    result = read(denying, mappings=mappings[::order])
    assert sorted(result.changes, key=lambda each: each.member) == [leaving("u1"), leaving("u2")]
    assert (result.accepted, len(result.denials), result.rejections) == (1, 1, [])


@pytest.mark.parametrize(
    ("member", "reason"), [("", "member_id_missing"), ("a@b.co", "member_id_invalid"), (None, "member_id_missing")]
)
def test_a_denial_without_a_valid_member_id_is_rejected(member: Any, reason: str) -> None:
    result = read(event(userId=member, **DENIED) | {"groupId": "g1"})
    assert [each.reason for each in result.rejections] == [reason]
    assert (result.accepted, result.changes, result.denials) == (0, [], [])


NOBODY = ["undefined", "NULL", "nAn", 0, "-", "none", "Unknown", "00000000-0000-0000-0000-000000000000"]
NOBODY += ["Anonymous", "anon", "guest", "void", "nil", "true", "FALSE", "-1", -1, "test", "abc123"]
DIGESTS_OF_NOBODY = [hashlib.sha256(each).hexdigest() for each in (b"undefined", b"anonymous", b"GUEST")]
DIGESTS_OF_NOBODY += [hashlib.new(name, b"").hexdigest() for name in ("md5", "sha1")]


@pytest.mark.parametrize("member", [*NOBODY, *DIGESTS_OF_NOBODY])
def test_a_placeholder_id_is_neither_added_nor_erased_by_denied_consent(member: Any) -> None:
    """Unrelated people share it: one of them would take out all, and also delete entries of other tools at Amazon."""
    added, denied = event(userId=member), event(userId=member, second="u2", **DENIED)
    assert [each.reason for each in read(added, denied).rejections] == ["member_id_placeholder"] * 2
    by_another = mapping("by another id", external_user_id={"@path": "$.properties.second"})
    assert read(denied, mappings=[mapping("by userId"), by_another]).changes == [leaving("u2")]
    exited, notice = event(userId=member, enters=False, **DENIED), {"type": "delete", "userId": member}
    (left,), (erased,) = read(exited).changes, read(notice).changes
    assert (left.member, left.erase, erased.member) == (("5", str(member)), False, (EVERY_AUDIENCE, str(member)))


def test_a_denial_does_not_affect_other_events_of_the_body() -> None:
    result = read(event(userId="u2", tcf="CPx"), event(**DENIED), event(userId="u3", tcf="CPx"), event(userId="u4"))
    assert [each.member for each in result.changes] == [("5", "u2"), (EVERY_AUDIENCE, "u1"), ("5", "u3")]
    assert [each.index for each in result.denials] == [1]
    assert [(each.index, each.reason) for each in result.rejections] == [(3, "consent_missing")]
