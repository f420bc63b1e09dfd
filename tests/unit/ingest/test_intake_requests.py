"""Which requests ingest accepts: how it authenticates them, and what is in the queue when it answers."""

import gc
import json
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from audience_sync.clock import Clock
from audience_sync.errors import (
    CredentialMissing,
    InvalidSettings,
    OutOfTime,
    SecretUnusable,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from audience_sync.ingest.intake import EventRejection, HttpIntake, Intake, changes_from, compiled
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import Audience
from audience_sync.members.messages import ChangeMessage, pack
from audience_sync.reasons import Reason
from audience_sync.segment.request_body import MAX_BODY
from audience_sync.segment.signature import sign
from tests.support import sample_events
from tests.support.doubles.audiences import Listed
from tests.support.doubles.clocks import ManualClock
from tests.support.doubles.queues import FakeQueue

EVENT_KEY, NEW_KEY, SIGNING = "event-key-current-0001", "event-key-rotated-0002", "signing-secret-current-4"
WITH_KEY = {"content-type": "application/json", "authorization": f"Bearer {EVENT_KEY}"}
NOW = 1_774_000_000.0  # epoch seconds
DEADLINE = 10.0
MAPPINGS = [
    {
        "name": "Default",
        "trigger": 'type = "track"',
        "fields": {
            "external_user_id": {"@path": "$.userId"},
            "audience_id": {"@path": "$.audience"},
            "email": {"@path": "$.email"},
            "city": {"@path": "$.city"},
        },
    }
]


def entered(user_id: str = "u1", **fields: Any) -> dict[str, Any]:
    event = {"type": "track", "event": "Audience Entered", "messageId": "m1", "userId": user_id, "audience": "1"}
    return event | {"email": "ada+shop@example.com"} | fields


def encoded(*events: dict[str, Any]) -> bytes:
    return json.dumps(events, separators=(",", ":")).encode()


@dataclass
class Secret:
    """Holds what is cached, and what is stored by now. A value no older than 0 seconds is what is stored."""

    cached: Mapping[str, Any] | None
    stored: Mapping[str, Any] | None
    ages: list[float | None] = field(default_factory=list)  # as they were asked for

    def value(self, *, max_age: float | None = None) -> Mapping[str, Any]:
        self.ages.append(max_age)
        value = self.cached if max_age is None else self.stored
        if value is None:
            raise InvalidSettings("the secret is not a JSON object")
        return value


class IntakeHarness:
    """An intake whose collaborators keep what they are given."""

    def __init__(self) -> None:
        stored = {"eventKey": EVENT_KEY, "signingSecret": SIGNING}
        self.secret = Secret(stored, stored)
        self.queue = FakeQueue()
        self.monotonic = ManualClock()
        self.entries: list[str] = []  # of the ingest secret, which let requests in

    def accept(self, headers: Mapping[str, str], body: bytes, *, policy: Policy | None = None) -> Any:
        secret, queue = self.secret, self.queue
        listing = Listed(Audience("1", country="US"), mappings=json.dumps(MAPPINGS))
        clock = Clock(lambda: NOW, self.monotonic)
        made: Any = Intake
        request_intake: Any = HttpIntake
        intake = request_intake(
            secret,
            made(listing, queue, policy or Policy(), clock),
            clock,
            on_authenticated=lambda authenticated: self.entries.append(authenticated.entry),
        )
        return intake.accept(headers, body, deadline=DEADLINE)


@pytest.fixture
def harness() -> IntakeHarness:
    return IntakeHarness()


def test_every_change_is_queued_with_the_request_time_before_the_answer(harness: IntakeHarness) -> None:
    result = harness.accept(WITH_KEY, encoded(entered("u1"), entered("u2"), {"type": "page"}))
    assert (result.accepted, result.ignored, result.at) == (2, 1, NOW * 1000)
    assert result.signature_unverified is False
    (message,) = map(ChangeMessage.from_body, harness.queue.bodies)
    assert [each.member for each in message.changes] == [("1", "u1"), ("1", "u2")]
    assert [each.at for each in message.changes] == [NOW * 1000] * 2, "without a time of its own, an event is of now"
    assert message.history.first_at == NOW * 1000
    assert harness.entries == ["eventKey"]


def test_an_unverified_signature_beside_a_valid_key_is_reported(harness: IntakeHarness) -> None:
    result = harness.accept(WITH_KEY | {"x-signature": "0" * 40}, encoded(entered()))
    assert (result.accepted, result.signature_unverified) == (1, True)


def test_a_request_without_a_credential_is_refused_before_its_body_is_read(harness: IntakeHarness) -> None:
    with pytest.raises(CredentialMissing):
        harness.accept({"content-type": "text/plain"}, b"{")
    assert (harness.entries, harness.queue.bodies, harness.secret.ages) == ([], [], [None])


def test_a_body_with_another_content_type_is_refused(harness: IntakeHarness) -> None:
    with pytest.raises(UnsupportedMediaType):
        harness.accept(WITH_KEY | {"content-type": "text/plain"}, encoded(entered()))
    assert harness.entries == ["eventKey"], "the key is in use all the same"


def test_a_body_over_the_limit_is_too_large_only_of_a_sender_who_may_send(harness: IntakeHarness) -> None:
    for headers, error in ((WITH_KEY, TooLarge), ({}, CredentialMissing)):
        with pytest.raises(error):
            harness.accept(headers | {"content-type": "application/json"}, b" " * (MAX_BODY + 1))
    body = encoded(entered())
    assert harness.accept(WITH_KEY, body + b" " * (MAX_BODY - len(body))).accepted == 1


@pytest.mark.parametrize(("seconds", "is_in_time"), [(DEADLINE - 0.5, True), (DEADLINE, False), (DEADLINE + 1, False)])
def test_no_event_is_read_after_the_deadline(harness: IntakeHarness, seconds: float, is_in_time: bool) -> None:
    harness.monotonic.now = seconds
    if is_in_time:
        assert harness.accept(WITH_KEY, encoded(entered())).accepted == 1
    else:
        with pytest.raises(OutOfTime):
            harness.accept(WITH_KEY, encoded(entered()))
    assert len(harness.queue.bodies) == is_in_time


@pytest.mark.parametrize("cached", [{"eventKey": EVENT_KEY}, {}], ids=["another key", "nothing"])
def test_an_unknown_key_makes_the_secret_be_read_again(harness: IntakeHarness, cached: Mapping[str, Any]) -> None:
    harness.secret = Secret(cached, {"eventKey": NEW_KEY})
    headers = WITH_KEY | {"authorization": f"Bearer {NEW_KEY}"}
    assert harness.accept(headers, encoded(entered())).accepted == 1
    assert (harness.secret.ages, harness.entries) == ([None, 0], ["eventKey"])


@pytest.mark.parametrize("is_rotated", [True, False], ids=["rotated", "as cached"])
def test_a_batch_signed_over_its_first_event_alone_is_refused(harness: IntakeHarness, is_rotated: bool) -> None:
    stored = {"eventKey": EVENT_KEY, "signingSecret": SIGNING}
    harness.secret = Secret({"eventKey": EVENT_KEY} if is_rotated else stored, stored)
    first = json.dumps(entered(), separators=(",", ":")).encode()
    headers = {"content-type": "application/json", "x-signature": sign(first, SIGNING)}
    with pytest.raises(Unauthorized):
        harness.accept(headers, encoded(entered(), entered("u2")))


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        pytest.param({"eventKey": EVENT_KEY}, Unauthorized, id="a wrong key"),
        pytest.param({"eventKey": "weak"}, SecretUnusable, id="no usable secret"),
    ],
)
def test_a_wrong_key_is_refused_after_one_further_read_of_the_secret(
    harness: IntakeHarness, stored: Mapping[str, Any], error: type[Exception]
) -> None:
    harness.secret = Secret(stored, stored)
    with pytest.raises(error):
        harness.accept(WITH_KEY | {"authorization": f"Bearer {NEW_KEY}"}, encoded(entered()))
    assert (harness.secret.ages, harness.entries) == ([None, 0], [])


def test_the_detail_of_a_rejection_is_cut_to_200_characters() -> None:
    shown = EventRejection(3, "m1", Reason.TIME_AHEAD, "x" * 201).as_json()
    assert shown == {"index": 3, "messageId": "m1", "reason": "time_ahead", "detail": "x" * 200}


def test_memory_does_not_grow_with_the_members_of_earlier_requests() -> None:
    def accept(first: int, count: int = 500) -> None:
        request = sample_events.body([sample_events.event(number, "US") for number in range(first, first + count)])
        listed = sample_events.Audiences()
        pack(changes_from(request, mappings=compiled(None), audiences=listed, now=sample_events.NOW).changes)

    accept(0)  # fills the caches of audiences and mappings
    tracemalloc.start()
    try:
        accept(500)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000  # bytes; one hash of each of the members is as much
    finally:
        tracemalloc.stop()
