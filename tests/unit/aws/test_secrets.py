"""The cached secret: recent where the store answers, older where it does not, and never in an error's text."""

import json
import traceback
from typing import Any
from uuid import uuid4

import pytest

from audience_sync.aws.secrets import FORCED_REFRESH_BURST, MAX_AGE, RETRY_INTERVAL, JsonSecret
from audience_sync.errors import InvalidSettings, Unavailable
from local import resources
from tests.support.doubles.clocks import ManualClock
from tests.support.proxy import Effect, FaultProxy, hang_up, refuse

READ, WRITE = "GetSecretValue", "PutSecretValue"
KEY = "a-key-that-no-error-may-quote"
OUTAGES = [
    pytest.param(refuse("ThrottlingException", message=KEY), id="throttled"),
    pytest.param(refuse("InternalServiceError", 500, KEY), id="broken"),
    pytest.param(hang_up(), id="connection closed"),
]


class SecretFixture:
    """A secret in the store, and a reader of it behind the proxy."""

    def __init__(self, proxy: FaultProxy, clock: ManualClock, text: str) -> None:
        self._direct = resources.client("secretsmanager", proxy.upstream)
        self.arn = self._direct.create_secret(Name=f"secret-{uuid4()}", SecretString=text)["ARN"]
        self.reader = JsonSecret(resources.client("secretsmanager", proxy.url), self.arn, clock)

    def put(self, **content: Any) -> None:
        self._direct.put_secret_value(SecretId=self.arn, **content)

    def text(self) -> Any:
        return self._direct.get_secret_value(SecretId=self.arn)["SecretString"]


@pytest.fixture
def fixture(proxy: FaultProxy, clock: ManualClock) -> SecretFixture:
    return SecretFixture(proxy, clock, json.dumps({"eventKey": KEY}))


def test_a_secret_is_read_once_a_minute(fixture: SecretFixture, proxy: FaultProxy, clock: ManualClock) -> None:
    assert [fixture.reader.value() for _ in range(5)] == [{"eventKey": KEY}] * 5
    clock.now += MAX_AGE
    fixture.reader.value()
    assert proxy.count(READ) == 1
    fixture.put(SecretString='{"eventKey": "new"}')
    clock.now += 1
    assert fixture.reader.value() == {"eventKey": "new"}


def test_forced_reads_are_rate_limited(fixture: SecretFixture, proxy: FaultProxy, clock: ManualClock) -> None:
    fixture.reader.value()
    for _ in range(100):
        fixture.reader.value(max_age=-1)
    assert proxy.count(READ) == 1 + FORCED_REFRESH_BURST
    clock.now += 3
    for _ in range(100):
        fixture.reader.value(max_age=0)
    assert proxy.count(READ) == 1 + FORCED_REFRESH_BURST + 1  # recent enough for max_age=0 from then on


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_before_the_first_read_raises_an_error_without_the_value(
    fixture: SecretFixture, proxy: FaultProxy, outage: Effect
) -> None:
    proxy.on(READ, outage)
    with pytest.raises(Unavailable) as raised:
        fixture.reader.value()
    assert KEY not in "".join(traceback.format_exception(raised.value))
    proxy.clear_faults()
    assert fixture.reader.value() == {"eventKey": KEY}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_cached_value_is_used_however_long_the_outage(
    fixture: SecretFixture, proxy: FaultProxy, clock: ManualClock, outage: Effect
) -> None:
    fixture.reader.value()
    proxy.on(READ, outage)
    for _ in range(3):
        clock.now += 10 * MAX_AGE
        assert fixture.reader.value() == {"eventKey": KEY}


def test_a_forced_read_during_an_outage_does_not_return_the_cached_value(
    fixture: SecretFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    fixture.reader.value()
    proxy.on(READ, refuse("ThrottlingException"))
    clock.now += 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            fixture.reader.value(max_age=0)
    assert fixture.reader.value() == {"eventKey": KEY}


def test_during_an_outage_the_store_is_asked_only_at_intervals(
    fixture: SecretFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    fixture.reader.value()
    proxy.on(READ, hang_up())
    clock.now += MAX_AGE + 1
    for _ in range(100):
        fixture.reader.value()
    assert proxy.count(READ) == 2
    proxy.clear_faults()
    fixture.put(SecretString='{"eventKey": "new"}')
    clock.now += RETRY_INTERVAL
    assert fixture.reader.value() == {"eventKey": "new"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"SecretString": KEY}, id="not JSON"),
        pytest.param({"SecretString": json.dumps([KEY])}, id="an array"),
        pytest.param({"SecretString": "null"}, id="null"),
        pytest.param({"SecretBinary": KEY.encode()}, id="binary"),
    ],
)
def test_a_secret_that_is_not_a_json_object_fails_closed(
    fixture: SecretFixture, clock: ManualClock, content: dict[str, Any]
) -> None:
    fixture.reader.value()
    fixture.put(**content)
    clock.now += MAX_AGE + 1
    for _ in range(3):
        with pytest.raises(InvalidSettings, match="not a JSON object") as raised:
            fixture.reader.value()
        assert KEY not in "".join(traceback.format_exception(raised.value))
    fixture.put(SecretString='{"eventKey": "repaired"}')
    assert fixture.reader.value() == {"eventKey": "repaired"}


def test_a_written_value_is_cached_without_reading_it(fixture: SecretFixture, proxy: FaultProxy) -> None:
    fixture.reader.write({"accessToken": "token-1", "expiresAt": 5})
    assert json.loads(fixture.text()) == {"accessToken": "token-1", "expiresAt": 5}
    assert fixture.reader.value() == {"accessToken": "token-1", "expiresAt": 5}
    assert proxy.count(READ) == 0


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_failed_write_keeps_the_old_value_and_quotes_none(
    fixture: SecretFixture, proxy: FaultProxy, outage: Effect
) -> None:
    fixture.reader.value()
    proxy.on(WRITE, outage)
    with pytest.raises(Unavailable, match="did not accept the value") as raised:
        fixture.reader.write({"accessToken": KEY})
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert fixture.reader.value() == {"eventKey": KEY}
