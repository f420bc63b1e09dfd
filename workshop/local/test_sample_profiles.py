"""ObjectValue-up traffic has the bytes that Segment would send."""

import hashlib
import json
from datetime import UTC, datetime

from audience_sync.amazon_ads.normalize import identifier
from audience_sync.segment.signature import is_signed
from local.sample_profiles import Person, audience_event, segment_request

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
KEY, SECRET = "event-key-for-the-tests-1", "signing-secret-for-the-tests-2"


def events(count: int) -> list[dict[str, object]]:
    people = [Person(number) for number in range(count)]
    return [audience_event(person, enters=True, at=AT, audience_id="11", key="buyers") for person in people]


def test_a_batch_is_compact_json_in_utf_8() -> None:
    body, _ = segment_request(events(3), KEY, SECRET)
    assert json.loads(body) == events(3)
    assert body == json.dumps(events(3), separators=(",", ":"), ensure_ascii=False).encode()
    assert "Élodie".encode() in body


def test_the_signature_covers_the_first_event_only() -> None:
    body, headers = segment_request(events(3), KEY, SECRET)
    signature = headers["x-signature"]
    assert is_signed(body, signature, [SECRET], accept_first_event=True)
    assert not is_signed(body, signature, [SECRET])
    assert not is_signed(body, signature, ["another-secret"], accept_first_event=True)
    first = json.dumps(events(1)[0], separators=(",", ":"), ensure_ascii=False).encode()
    assert is_signed(first, signature, [SECRET])


def test_a_number_always_gives_the_same_person_and_no_other() -> None:
    assert (Person(7), Person(7).traits, Person(7).email) == (Person(7), Person(7).traits, Person(7).email)
    assert len({Person(number).user_id for number in range(2000)}) == 2000
    assert len({Person(number).email_digest for number in range(2000)}) == 2000
    assert len({event["messageId"] for event in events(2000)}) == 2000


def test_the_digest_is_that_of_the_normalized_address() -> None:
    assert Person(7).email != "shopper.7@example.com"
    assert Person(7).email_digest == hashlib.sha256(b"shopper.7@example.com").hexdigest()
    assert Person(7).email_digest == identifier("email", Person(7).email, "US")
