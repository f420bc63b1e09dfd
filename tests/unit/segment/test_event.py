"""What single events say of membership, beyond the examples of test_intake.py."""

import hashlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import RejectedEvent
from audience_sync.reasons import Reason
from audience_sync.segment.event import AudienceCall, EventKind, read, safe_id, shown_id, why_ignored

NOW = 1_800_000_000_000  # epoch milliseconds
KEY = "lapsed_premium_buyers"


def event(**fields: Any) -> dict[str, Any]:
    personas = {"computation_class": "audience", "computation_key": KEY}
    made = {"type": "track", "messageId": "m1", "context": {"personas": personas}, "properties": {KEY: True}}
    return made | fields


@pytest.mark.parametrize("name", ["Audience Entered", "Audience Exited"])
def test_without_personas_only_a_track_event_states_membership_by_its_name(name: str) -> None:
    tracked = {"type": "track", "event": name, "properties": {"audience_key": KEY}}
    assert read(tracked, NOW).kind in (EventKind.ENTER, EventKind.EXIT)
    assert read(tracked | {"type": "identify"}, NOW) == AudienceCall(EventKind.UNSTATED, computation_key=KEY)


@pytest.mark.parametrize("time_field", ["timestamp", "originalTimestamp", "receivedAt"])
def test_an_event_up_to_5_minutes_ahead_counts_as_now_and_a_later_one_is_rejected(time_field: str) -> None:
    for written in ("2027-01-15T08:00:00.001Z", "2027-01-15T08:05:00.000Z"):
        assert read(event(**{time_field: written}), NOW).at == NOW
        assert read(event(**{time_field: written}, type="delete"), NOW).at == NOW
    assert reason_of(event(**{time_field: "2027-01-15T08:05:00.001Z"})) == "time_ahead"


@pytest.mark.parametrize(
    "change", [{}, {"properties": {KEY: False}}, {"type": "delete"}], ids=["enter", "exit", "erase"]
)
def test_a_time_before_1970_is_rejected(change: dict[str, Any]) -> None:
    assert reason_of(event(timestamp="1970-01-01T00:00:00Z", **change)) is None
    for written in ("1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"):
        assert reason_of(event(timestamp=written, **change)) == "time_too_old"


def reason_of(element: dict[str, Any]) -> str | None:
    try:
        rejection = read(element, NOW).rejection
    except RejectedEvent as error:
        return error.reason
    return rejection[0] if rejection else None


def test_an_event_is_read_with_kind_time_id_key_and_country() -> None:
    made = event(timestamp="2027-01-15T07:59:59Z", countryCode="CA")
    assert read(made, NOW) == AudienceCall(EventKind.ENTER, NOW - 1000, "m1", KEY, "CA")
    assert read(made | {"properties": {KEY: False}}, NOW) == AudienceCall(EventKind.EXIT, NOW - 1000, "m1", KEY, "CA")
    assert read(made | {"type": "delete"}, NOW) == AudienceCall(EventKind.ERASE, NOW - 1000, "m1")


def test_a_rejected_event_keeps_only_its_id_and_the_reason() -> None:
    call = read(event(timestamp="soon", countryCode="CA"), NOW)
    detail = "timestamp is not an ISO 8601 time; send Segment's own"
    assert call == AudienceCall(EventKind.ENTER, 0, "m1", rejection=(Reason.TIME_UNREADABLE, detail))


@pytest.mark.parametrize(
    ("time_field", "in_words"),
    [("timestamp", "timestamp"), ("originalTimestamp", "original_timestamp"), ("receivedAt", "received_at")],
)
def test_a_rejection_names_the_time_field_that_is_unreadable_or_ahead(time_field: str, in_words: str) -> None:
    unreadable: list[Any] = ["soon", "2027-13-01", "2027-01-15T25:00:00", 5, True, ["2027-01-15"]]
    for value, reason in [*((each, "time_unreadable") for each in unreadable), ("2028-01-01T00:00:00Z", "time_ahead")]:
        rejection = read(event(**{time_field: value}), NOW).rejection
        assert rejection is not None
        assert rejection[0] == reason
        assert rejection[1].startswith(f"{in_words} is ")


@pytest.mark.parametrize(
    ("written", "at"),
    [
        pytest.param("2027-01-15T07:59:59.0006", NOW - 999, id="to the nearest millisecond"),
        pytest.param("2027-01-15", NOW - 8 * 3_600_000, id="a day: its beginning"),
    ],
)
def test_a_time_is_read_as_iso_8601(written: str, at: int) -> None:
    assert read(event(timestamp=written), NOW).at == at


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC-5")
        time.tzset()
        at = read(event(timestamp="2027-01-15T08:00:00"), NOW).at
    time.tzset()
    assert at == NOW


@pytest.mark.parametrize(
    ("settings", "country"),
    [
        pytest.param({"countryCode": "CA"}, "CA", id="in the settings themselves"),
        pytest.param({"extras": {"countryCode": "CA"}}, "CA", id="in their extras"),
        pytest.param({"extras": '{"countryCode": "CA"}'}, "CA", id="in extras that are JSON text"),
        pytest.param({"extras": {}, "countryCode": "US"}, None, id="not in the extras, which count"),
        pytest.param({"extras": "[" * 100_000}, None, id="text that is nested too deep"),
        pytest.param({"extras": '["CA"]'}, None, id="text that is a list"),
    ],
)
def test_the_country_is_read_from_audience_settings_or_their_extras(settings: Any, country: str | None) -> None:
    personas = {"computation_class": "audience", "computation_key": KEY, "audience_settings": settings}
    assert read(event(context={"personas": personas}), NOW).country == country
    assert read(event(context={"personas": personas}, countryCode="MX"), NOW).country == "MX", "extras come first"


def test_an_event_without_an_id_is_identified_by_its_digest() -> None:
    first, second = event(messageId=None, userId="u1"), event(messageId=None, userId="u2")
    assert read(first, NOW).message_id == safe_id(None, first) != read(second, NOW).message_id


@pytest.mark.parametrize("key", [5, True, ["x"], "", None])
def test_a_computation_key_that_is_not_a_string_counts_as_missing(key: Any) -> None:
    exited = {"type": "track", "event": "Audience Exited", "properties": {"audience_key": key}}
    assert read(exited, NOW).computation_key is None


def test_a_missing_boolean_is_rejected_with_the_paths_that_were_tried() -> None:
    rejection = read(event(properties={}), NOW).rejection
    assert rejection is not None
    assert "properties[computation_key] or traits[computation_key]" in rejection[1]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        pytest.param({"traits": {KEY: True}}, EventKind.ENTER, id="both say enter"),
        pytest.param({"properties": {}, "traits": {KEY: False}}, EventKind.EXIT, id="traits only"),
        pytest.param({"properties": None, "traits": {KEY: False}}, EventKind.EXIT, id="no properties at all"),
        pytest.param({"properties": {KEY: "x"}, "traits": {KEY: "false"}}, EventKind.EXIT, id="a word and a boolean"),
        pytest.param({"properties": {KEY: "true"}, "traits": {KEY: 0}}, EventKind.ENTER, id="a boolean and a number"),
    ],
)
def test_the_membership_boolean_is_read_from_properties_or_traits(fields: dict[str, Any], kind: EventKind) -> None:
    call = read(event(**fields), NOW)
    assert (call.kind, call.rejection) == (kind, None)


@pytest.mark.parametrize(
    ("message_id", "is_kept"),
    [("x" * 100, True), ("personas_2nF7-a.b:c", True), ("x" * 101, False), ("ada@b.co", False), ("a\nb", False)]
    + [(each, False) for each in ("12065550142", "206-555-0142", "a" * 40, "0F" * 32)]
    + [(each, True) for each in ("1234567890123456789", "123456", "2f9c8a4e" * 4)],
)
def test_a_plain_message_id_of_up_to_100_characters_is_kept(message_id: str, is_kept: bool) -> None:
    assert (safe_id(message_id, {}) == message_id) is is_kept
    assert shown_id(message_id, 3) == (message_id if is_kept else "event-3")


def test_any_other_message_id_becomes_half_a_digest_of_its_json() -> None:
    digest = hashlib.sha256(b'{"a":[1,2],"b":"\\u00e9"}').hexdigest()[:32]
    assert safe_id({"b": "é", "a": [1, 2]}, None) == f"sha256:{digest}"
    assert safe_id(None, {"b": "é", "a": [1, 2]}) == safe_id("", {"a": [1, 2], "b": "é"}) == f"sha256:{digest}"


def test_a_message_id_nested_too_deep_becomes_a_fixed_digest() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert safe_id(nested, {}) == f"sha256:{hashlib.sha256(b'nested too deep').hexdigest()[:32]}"
    assert safe_id(None, nested) == safe_id(nested, {})


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        pytest.param({"type": None}, "type", id="no type"),
        pytest.param({"type": 5, "event": True}, "event, type", id="a number and a boolean"),
        pytest.param({"properties": "x", "traits": [1]}, "properties, traits", id="a text and a list"),
        pytest.param({"context": {"personas": {"computation_class": ["x"]}}}, "context", id="a class"),
        pytest.param({"context": {"personas": {"computation_key": 5}}, "traits": ""}, "context, traits", id="a key"),
    ],
)
def test_an_event_with_mistyped_fields_is_rejected_and_they_are_named(fields: dict[str, Any], at_fault: str) -> None:
    with pytest.raises(RejectedEvent, match=f"^missing or mistyped: {at_fault}; map data to the whole event$"):
        read(event(**fields), NOW)


def test_every_field_but_the_type_may_be_null() -> None:
    assert read({"type": "page", "event": None, "context": None, "properties": None, "traits": None}, NOW)
    assert read({"type": "page", "context": {"personas": None}}, NOW)
    assert read({"type": "page", "context": {"personas": {"computation_class": None, "computation_key": None}}}, NOW)


ANY_PERSONAS: Any = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "computation_class": st.sampled_from([None, "audience", "journey_step", "trait"]),
        "computation_key": st.sampled_from([None, KEY]),
        "event_emitter_id": st.sampled_from(["event_tester_1", "x"]),
    },
)


@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["track", "identify", "page", "delete"]),
            "context": st.builds(dict, personas=ANY_PERSONAS),
        },
        optional={
            "event": st.sampled_from(["Audience Entered", "Bought", None]),
            "userId": st.sampled_from(["u1", "test-user-1"]),
            "messageId": st.sampled_from(["m1", "segment-test-message-1"]),
        },
    )
)
def test_why_ignored_has_a_reason_for_ignored_events_only(made: Any) -> None:
    assert (why_ignored(made) is not None) is (read(made, NOW).kind in (EventKind.IGNORE, EventKind.UNSTATED))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param({"type": "page"}, "its type is neither track nor identify", id="another type"),
        *(
            pytest.param(
                {"type": kind}, "it is not about an audience: it has no context.personas, and its name is", id=kind
            )
            for kind in ("track", "identify")
        ),
        pytest.param(
            event(context={"personas": {}}),
            "it is not about an audience: context.personas has no computation_key",
            id="neither class nor key",
        ),
        pytest.param(
            event(context={"personas": {"computation_class": "trait", "computation_key": KEY}}),
            "it is not about an audience: context.personas.computation_class is neither audience nor journey_step",
            id="another class",
        ),
        pytest.param(event(userId="test-user-1"), "Segment's event tester made it", id="a test"),
    ],
)
def test_why_ignored_states_the_reason(made: dict[str, Any], reason: str) -> None:
    assert (why_ignored(made) or "").startswith(reason)
