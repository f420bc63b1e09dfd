"""The quick way to read an event says what the careful one says."""

import random
from typing import Any

import pytest
from hypothesis import example, given
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
PERSONAS = st.fixed_dictionaries(
    {},
    optional={
        "computation_class": st.sampled_from(["audience", "journey_step", "trait", *STRANGE]),
        "computation_key": st.sampled_from([KEY, *STRANGE]),
        "event_emitter_id": st.sampled_from(["event_tester_1", "emitter", *STRANGE]),
        "audience_settings": st.sampled_from([{"countryCode": "DE"}, {"extras": '{"countryCode": "CA"}'}, *STRANGE]),
    },
)
STATED = st.dictionaries(st.sampled_from([KEY, "true", "audience_key"]), st.sampled_from(STRANGE), max_size=2)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "identify", "delete", "page", *STRANGE]),
        "event": st.sampled_from(["Audience Entered", "Audience Exited", "Renamed", *STRANGE]),
        "context": st.fixed_dictionaries({}, optional={"personas": PERSONAS | st.sampled_from(STRANGE)})
        | st.sampled_from(STRANGE),
        "properties": STATED | st.sampled_from(STRANGE),
        "traits": STATED | st.sampled_from(STRANGE),
        "messageId": st.sampled_from(["m1", "segment-test-message-1", "x" * 101, "ü", *STRANGE]),
        "userId": st.sampled_from(["cust_1", "test-user-1", *STRANGE]),
        "timestamp": st.sampled_from([*TIMES, *STRANGE]),
        "originalTimestamp": st.sampled_from([*TIMES, *STRANGE]),
        "countryCode": st.sampled_from(["US", *STRANGE]),
    },
)


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


@given(EVENTS)
@example(ordinary(properties={KEY: 1}))
@example(ordinary(properties=[True], context={"personas": {"computation_class": "audience", "computation_key": 0}}))
@example(
    ordinary(context={"personas": {"computation_class": "audience", "computation_key": ""}}, properties={"": True})
)
def test_an_event_is_read_as_the_careful_way_reads_it(event: dict[str, Any]) -> None:
    check(without_missing(event))


PLACES = [*ordinary(), "traits", "originalTimestamp", "receivedAt", "countryCode"]
INNER = ["computation_class", "computation_key", "event_emitter_id", "audience_settings"]


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


@pytest.mark.parametrize("element", [*STRANGE[1:], [ordinary()], ordinary])
def test_what_is_no_event_is_left_to_the_careful_way(element: Any) -> None:
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


@pytest.mark.slow
def test_100_000_generated_events_are_read_as_the_careful_way_reads_them() -> None:
    choose = random.Random(20_261_126)
    for _ in range(100_000):
        event = ordinary(timestamp=choose.choice(TIMES))
        for place in choose.choices(PLACES, k=choose.randint(0, 2)):
            event[place] = choose.choice(WORDS)
        if choose.random() < 0.5:
            personas = {**ordinary()["context"]["personas"], choose.choice(INNER): choose.choice(WORDS)}
            event["context"] = {"personas": personas}
        check(without_missing(event))
