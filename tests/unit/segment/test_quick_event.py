"""The quick way to read an event says what the careful one says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_sync.errors import RejectedEvent
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.segment.event import AudienceCall, Kind, read
from audience_sync.segment.quick_event import read_ordinary
from tests.benchmarks.sample_events import COUNTRIES, Audiences, body, events
from tests.benchmarks.sample_events import NOW as SENT

NOW = 1_800_000_000_000  # epoch milliseconds
KEY = "lapsed_premium_buyers"
MISSING = object()
STRANGE: list[Any] = [MISSING, None, "", " ", 0, 1, 1.0, True, False, "true", "false", [], ["x"], {}, {"x": 1}, "x"]
TIMES = [
    "2027-01-15T07:59:59.123Z", "2027-01-15T08:05:00.000Z", "2027-01-15T08:05:00.001Z", "2027-01-15T08:00:00",
    "2027-01-15", "2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00+00:00", "2027-01-15T07:00:00.0006Z", "soon",
    "2027-W02-5", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z",
]  # fmt: skip
# That mean something somewhere.
WORDS: list[Any] = [
    "segment-test-message-1", "test-user-1", "event_tester_1", "journey_step", "trait", "Audience Exited", "Renamed",
    {"countryCode": "DE"}, {"extras": '{"countryCode": "CA"}'}, {KEY: True}, {KEY: "true"}, KEY, *TIMES, *STRANGE,
]  # fmt: skip


def ordinary(**changed: Any) -> dict[str, Any]:
    personas = {"computation_class": "audience", "computation_key": KEY}
    made = {
        "type": "track",
        "event": "Audience Entered",
        "messageId": "m1",
        "userId": "cust_1",
        "timestamp": TIMES[0],
        "context": {"personas": personas},
        "properties": {KEY: True},
    }
    return made | changed


def without_missing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_missing(inner) for key, inner in value.items() if inner is not MISSING}
    return None if value is MISSING else value


def read_carefully(event: Any) -> AudienceCall | str:
    try:
        return read(event, NOW)
    except RejectedEvent as rejected:
        return rejected.reason


def check(event: Any) -> AudienceCall | None:
    quick = read_ordinary(event, NOW)
    assert quick is None or quick == read_carefully(event)
    return quick


@pytest.mark.parametrize("key", [0, 1, ""])
@pytest.mark.parametrize("properties", [[True, True], {"": True}])
def test_an_event_without_a_usable_key_is_left_to_the_careful_way(key: Any, properties: Any) -> None:
    personas = {"computation_class": "audience", "computation_key": key}
    assert check(ordinary(properties=properties, context={"personas": personas})) is None


PLACES = [*ordinary(), "traits", "originalTimestamp", "receivedAt", "countryCode"]
INNER = ["computation_class", "computation_key", "event_emitter_id", "audience_settings"]


@settings(max_examples=1_000)
@given(
    st.sampled_from([ordinary(), ordinary(type="identify", properties=None, traits={KEY: False}, event=None)]),
    st.dictionaries(st.sampled_from(PLACES), st.sampled_from(WORDS), max_size=2),
    st.dictionaries(st.sampled_from(INNER), st.sampled_from(WORDS), max_size=1),
    st.dictionaries(st.just(KEY), st.sampled_from(STRANGE), max_size=1),
)
def test_an_event_with_a_few_strange_places_is_read_as_the_careful_way_reads_it(
    event: dict[str, Any], strange: dict[str, Any], inner: dict[str, Any], stated: dict[str, Any]
) -> None:
    personas = event["context"]["personas"] | inner
    holder = "properties" if event["type"] == "track" else "traits"
    check(without_missing(event | {"context": {"personas": personas}, holder: event[holder] | stated} | strange))


@pytest.mark.parametrize("element", [*STRANGE[1:], [ordinary()], ordinary, ordinary(timestamp=TIMES[3])])
def test_what_is_no_ordinary_event_is_left_to_the_careful_way(element: Any) -> None:
    assert read_ordinary(element, NOW) is None


@pytest.mark.parametrize(
    ("event", "call"),
    [
        pytest.param(ordinary(), AudienceCall(Kind.ENTER, NOW - 877, "m1", KEY), id="an enter"),
        pytest.param(
            ordinary(event="Audience Exited", properties={KEY: False}),
            AudienceCall(Kind.EXIT, NOW - 877, "m1", KEY),
            id="an exit",
        ),
        pytest.param(
            ordinary(type="identify", event=None, properties=None, traits={KEY: False}, countryCode="CA"),
            AudienceCall(Kind.EXIT, NOW - 877, "m1", KEY, "CA"),
            id="an identify call",
        ),
        pytest.param(
            ordinary(event="Renamed by the customer"), AudienceCall(Kind.ENTER, NOW - 877, "m1", KEY), id="another name"
        ),
        pytest.param(
            ordinary(timestamp="2027-01-15T08:05:00Z"),
            AudienceCall(Kind.ENTER, NOW, "m1", KEY),
            id="five minutes ahead",
        ),
    ],
)
def test_the_careful_way_is_not_asked_about_an_ordinary_event(event: dict[str, Any], call: AudienceCall) -> None:
    assert check(event) == call


def test_ingest_reads_every_event_of_the_benchmark_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.ingest.translation.read", lambda *_: pytest.fail("read carefully"))
    sent = body(events(100, tuple(COUNTRIES)))
    assert changes_from(sent, mappings=compiled(None), audiences=Audiences(), now=SENT).accepted == 100
