"""The cached secret: young where the store answers, old where it does not, and never in an error's text."""

import json
import traceback
from typing import Any
from uuid import uuid4

import pytest

from audience_sync.aws.secrets import FORCED_REFRESH_BURST, MAX_AGE, RETRY_INTERVAL, JsonSecret
from audience_sync.errors import InvalidSettings, Unavailable
from local import resources
from tests.faults.proxy import Effect, Front, hang_up, refuse
from tests.unit.aws.conftest import Clock

READ, WRITE = "GetSecretValue", "PutSecretValue"
KEY = "a-key-that-nobody-may-see"
OUTAGES = [
    pytest.param(refuse("ThrottlingException", message=KEY), id="throttled"),
    pytest.param(refuse("InternalServiceError", 500, KEY), id="broken"),
    pytest.param(hang_up(), id="connection closed"),
]


class Stored:
    """A secret in the store, and a reader of it behind the front."""

    def __init__(self, front: Front, clock: Clock, text: str) -> None:
        self._direct = resources.client("secretsmanager", front.upstream)
        self.arn = self._direct.create_secret(Name=f"secret-{uuid4()}", SecretString=text)["ARN"]
        self.reader = JsonSecret(resources.client("secretsmanager", front.url), self.arn, clock)

    def put(self, **content: Any) -> None:
        self._direct.put_secret_value(SecretId=self.arn, **content)

    def text(self) -> Any:
        return self._direct.get_secret_value(SecretId=self.arn)["SecretString"]


@pytest.fixture
def stored(front: Front, clock: Clock) -> Stored:
    return Stored(front, clock, json.dumps({"eventKey": KEY}))


def test_the_store_is_asked_once_a_minute(stored: Stored, front: Front, clock: Clock) -> None:
    assert [stored.reader.value() for _ in range(5)] == [{"eventKey": KEY}] * 5
    clock.now += MAX_AGE
    stored.reader.value()
    assert front.count(READ) == 1
    stored.put(SecretString='{"eventKey": "new"}')
    clock.now += 1
    assert stored.reader.value() == {"eventKey": "new"}


def test_who_finds_the_value_wanting_gets_the_new_one_at_once(stored: Stored) -> None:
    stored.reader.value()
    stored.put(SecretString='{"eventKey": "new"}')
    assert stored.reader.value() == {"eventKey": KEY}
    assert stored.reader.value(max_age=-1) == {"eventKey": "new"}


def test_early_reads_are_rationed_and_come_back_with_time(stored: Stored, front: Front, clock: Clock) -> None:
    stored.reader.value()
    for _ in range(100):
        stored.reader.value(max_age=-1)
    assert front.count(READ) == 1 + FORCED_REFRESH_BURST
    clock.now += 3
    for _ in range(100):
        stored.reader.value(max_age=0)
    assert front.count(READ) == 1 + FORCED_REFRESH_BURST + 1  # young enough for max_age=0 from then on


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_cold_reader_cannot_know_and_says_so_without_the_value(stored: Stored, front: Front, outage: Effect) -> None:
    front.on(READ, outage)
    with pytest.raises(Unavailable) as raised:
        stored.reader.value()
    assert KEY not in "".join(traceback.format_exception(raised.value))
    front.mend()
    assert stored.reader.value() == {"eventKey": KEY}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_warm_reader_keeps_its_value_however_long_the_outage(
    stored: Stored, front: Front, clock: Clock, outage: Effect
) -> None:
    stored.reader.value()
    front.on(READ, outage)
    for _ in range(3):
        clock.now += 10 * MAX_AGE
        assert stored.reader.value() == {"eventKey": KEY}


def test_who_finds_the_value_wanting_is_not_given_the_old_one_for_the_new(
    stored: Stored, front: Front, clock: Clock
) -> None:
    stored.reader.value()
    front.on(READ, refuse("ThrottlingException"))
    clock.now += 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            stored.reader.value(max_age=0)
    assert stored.reader.value() == {"eventKey": KEY}


def test_a_warm_reader_does_not_ask_a_store_that_is_down_at_every_call(
    stored: Stored, front: Front, clock: Clock
) -> None:
    stored.reader.value()
    front.on(READ, hang_up())
    clock.now += MAX_AGE + 1
    for _ in range(100):
        stored.reader.value()
    assert front.count(READ) == 2
    front.mend()
    stored.put(SecretString='{"eventKey": "new"}')
    clock.now += RETRY_INTERVAL
    assert stored.reader.value() == {"eventKey": "new"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"SecretString": KEY}, id="not JSON"),
        pytest.param({"SecretString": json.dumps([KEY])}, id="an array"),
        pytest.param({"SecretString": "null"}, id="null"),
        pytest.param({"SecretBinary": KEY.encode()}, id="binary"),
    ],
)
def test_a_secret_that_is_no_object_fails_closed_cold_and_warm(
    stored: Stored, clock: Clock, content: dict[str, Any]
) -> None:
    stored.reader.value()
    stored.put(**content)
    clock.now += MAX_AGE + 1
    for _ in range(3):
        with pytest.raises(InvalidSettings, match="not a JSON object") as raised:
            stored.reader.value()
        assert KEY not in "".join(traceback.format_exception(raised.value))
    stored.put(SecretString='{"eventKey": "mended"}')
    assert stored.reader.value() == {"eventKey": "mended"}


def test_what_is_written_is_stored_and_known_without_reading(stored: Stored, front: Front) -> None:
    stored.reader.write({"accessToken": "token-1", "expiresAt": 5})
    assert json.loads(stored.text()) == {"accessToken": "token-1", "expiresAt": 5}
    assert stored.reader.value() == {"accessToken": "token-1", "expiresAt": 5}
    assert front.count(READ) == 0


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_write_that_fails_says_so_without_the_value_and_keeps_the_old_one(
    stored: Stored, front: Front, outage: Effect
) -> None:
    stored.reader.value()
    front.on(WRITE, outage)
    with pytest.raises(Unavailable, match="did not take the value") as raised:
        stored.reader.write({"accessToken": KEY})
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert stored.reader.value() == {"eventKey": KEY}
