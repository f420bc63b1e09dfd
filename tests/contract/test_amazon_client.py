"""Our client against the Amazon sandbox, at the wire."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.amazon_ads.login import FAILURE_BACKOFF, AccessTokens, Login, Token
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.errors import (
    AudienceSyncError,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
)
from tests.support.aws_fixtures import AUDIENCE, CREDENTIALS, build_sandbox
from tests.support.builders import change, upload_of
from tests.support.doubles.secrets import StoredSecret
from tests.support.servers import Served, serve


@dataclass
class Connection:
    """Our client, connected to a sandbox."""

    url: str
    token_secret: StoredSecret
    credentials: StoredSecret
    amazon: AmazonAds
    tokens: AccessTokens
    audience_id: str = AUDIENCE.audience_id

    def fault(self, do: dict[str, Any], *, times: int = 1, path: str = "/amc/audiences/records", **match: Any) -> None:
        rule = {"match": {"path": path} | match, "do": do, "times": times}
        requests.put(f"{self.url}/sandbox/faults", json=[rule], timeout=5).raise_for_status()

    def received(self, path: str = "/amc/audiences/records") -> list[dict[str, Any]]:
        listed = requests.get(f"{self.url}/sandbox/requests?since=0", timeout=5).json()
        return [request for request in listed if request["path"] == path]

    def upload(self) -> Upload:
        return upload_of(Target(self.audience_id), encode_record(change("m1", "a" * 64)))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Served]:
    with serve(build_sandbox) as served:
        yield served


@pytest.fixture
def connection(sandbox: Served) -> Iterator[Connection]:
    requests.post(f"{sandbox.url}/sandbox/reset", timeout=5).raise_for_status()
    credentials, token_secret = StoredSecret(dict(CREDENTIALS)), StoredSecret()
    with requests.Session() as login_session, requests.Session() as session:
        tokens = AccessTokens(
            token_secret, Login(login_session, f"{sandbox.url}/auth/o2/token", credentials, time.time), time.time
        )
        amazon = AmazonAds(session, sandbox.url, tokens)
        yield Connection(sandbox.url, token_secret, credentials, amazon, tokens)


def test_an_accepted_upload_returns_amazons_job_id(connection: Connection) -> None:
    job_id = connection.amazon.send_records(connection.upload())
    (request,) = connection.received()
    assert job_id
    assert int(connection.audience_id) > 2**53
    assert request["body"]["audienceId"] == int(connection.audience_id)
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert headers["content-type"] == headers["accept"] == "application/vnd.amcaudiences.v1+json"
    assert headers["amazon-advertising-api-clientid"] == "client-1"


@pytest.mark.parametrize(
    ("do", "error", "wait"),
    [
        pytest.param({"status": 429, "headers": {"Retry-After": "2"}}, Throttled, 2, id="throttled, with seconds"),
        pytest.param({"status": 500}, ServiceUnavailable, None, id="500"),
        pytest.param({"status": 503, "body": "<html>"}, ServiceUnavailable, None, id="503 in HTML"),
        pytest.param({"close_before_read": True}, OutcomeUnknown, None, id="reset before reading"),
        pytest.param({"close_after_apply": True}, OutcomeUnknown, None, id="reset after applying"),
        pytest.param({"close_mid_response": True}, OutcomeUnknown, None, id="reset in the middle of the answer"),
        pytest.param({"status": 202, "body": "<html>"}, OutcomeUnknown, None, id="accepted, in HTML"),
        pytest.param({"status": 202, "body": "{}"}, OutcomeUnknown, None, id="accepted, without a job id"),
        pytest.param({"status": 202, "body": ""}, OutcomeUnknown, None, id="accepted, without a body"),
        pytest.param({"status": 202, "body": "[1]"}, OutcomeUnknown, None, id="accepted, in a list"),
        pytest.param({"status": 202, "body": {"jobRequestId": 7}}, OutcomeUnknown, None, id="accepted, a number"),
        pytest.param({"status": 202, "body": "[" * 100_000}, OutcomeUnknown, None, id="accepted, nested too deeply"),
        pytest.param({"status": 202, "body": "x" * 5_100_000}, OutcomeUnknown, None, id="accepted, in five megabytes"),
    ],
)
def test_a_temporary_failure_is_transient(
    connection: Connection, do: dict[str, Any], error: type[AudienceSyncError], wait: float | None
) -> None:
    connection.fault(do)
    with pytest.raises(error) as caught:
        connection.amazon.send_records(connection.upload())
    assert getattr(caught.value, "retry_after", None) == wait
    assert len(connection.received()) == 1, "no retry of its own"


def test_amazons_error_message_is_kept_without_the_values_it_quotes(connection: Connection) -> None:
    quoted = f"bad {'a' * 64} of ada@example.com with Atza|secret from 203.0.113.7"
    connection.fault({"status": 400, "body": json.dumps({"message": quoted})})
    with pytest.raises(RequestRejected, match=r"^Amazon answered 400: bad … of … with … from …$"):
        connection.amazon.send_records(connection.upload())


def test_an_answer_that_trickles_ends_at_the_timeout(connection: Connection) -> None:
    connection.fault({"trickle": 0.05, "status": 202, "body": '{"jobRequestId":"1"}' + " " * 4000})
    with pytest.raises(OutcomeUnknown):  # the whole answer, which takes 200 seconds, would be a success
        connection.amazon.send_records(connection.upload(), timeout=0.5)


def test_a_refused_connection_is_service_unavailable_not_an_unknown_outcome(connection: Connection) -> None:
    with requests.Session() as session:
        unreachable = AmazonAds(session, "http://127.0.0.1:9", connection.tokens)
        with pytest.raises(ServiceUnavailable):
            unreachable.send_records(connection.upload())


def test_after_a_401_the_token_is_renewed_once_and_the_request_repeated(connection: Connection) -> None:
    connection.fault({"status": 401})
    assert connection.amazon.send_records(connection.upload())
    assert len(connection.received()) == 2
    assert len(connection.received("/auth/o2/token")) == 2


def test_repeated_401s_request_no_more_than_two_tokens(connection: Connection) -> None:
    connection.fault({"status": 401}, times=99)
    for _ in range(10):
        with pytest.raises(TokenUnavailable):
            connection.amazon.send_records(connection.upload())
    assert len(connection.received("/auth/o2/token")) == 2
    assert len(connection.received()) == 3, "two with the first tokens, one to see whether tokens are accepted again"
    connection.token_secret.content = Token("Atza|of-refresh", time.time() + 3000).as_json()
    assert connection.tokens.current().value == "Atza|of-refresh"


def test_a_token_stored_by_the_refresh_function_is_used_before_logging_in(connection: Connection) -> None:
    current = connection.tokens.current()
    with requests.Session() as session:
        other = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, time.time).fetch()
    connection.token_secret.content = other.as_json()
    fetched_before = len(connection.received("/auth/o2/token"))
    assert connection.tokens.renewed(current) == (other, False)
    assert len(connection.received("/auth/o2/token")) == fetched_before


def test_if_the_stored_token_is_also_refused_another_is_fetched(connection: Connection) -> None:
    connection.token_secret.content = connection.tokens.current().as_json()
    with requests.Session() as session:
        login = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, time.time)
        older = AccessTokens(connection.token_secret, login, time.time)
        amazon = AmazonAds(session, connection.url, older)
        older.current()
        connection.token_secret.content = login.fetch().as_json()
        fetched_before = len(connection.received("/auth/o2/token"))
        connection.fault({"status": 401}, times=2)
        assert amazon.send_records(connection.upload())
    assert len(connection.received()) == 3
    assert len(connection.received("/auth/o2/token")) == fetched_before + 1


def test_a_stored_token_is_used_without_a_login(connection: Connection) -> None:
    stored = StoredSecret(Token("Atza|stored", time.time() + 3000).as_json())
    with requests.Session() as session:
        login = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, time.time)
        tokens = AccessTokens(stored, login, time.time)
        assert [tokens.current().value for _ in range(3)] == ["Atza|stored"] * 3
    assert stored.reads == 1


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        pytest.param({"status": 400, "body": '{"error": "invalid_grant"}'}, "authorization_refused", id="revoked"),
        pytest.param({"status": 401, "body": '{"error": "invalid_client"}'}, "authorization_refused", id="bad client"),
        pytest.param({"status": 500}, "token_unavailable", id="down"),
        pytest.param({"status": 429}, "token_unavailable", id="throttled"),
        pytest.param({"status": 200, "body": "<html>"}, "token_unavailable", id="HTML"),
        pytest.param({"status": 200, "body": "{}"}, "token_unavailable", id="no token in it"),
        pytest.param({"status": 200, "body": '{"access_token": ""}'}, "token_unavailable", id="an empty token"),
        pytest.param({"close_before_read": True}, "token_unavailable", id="reset"),
        pytest.param({"close_mid_response": True}, "token_unavailable", id="reset in the middle of the answer"),
    ],
)
def test_a_failed_login_raises_token_unavailable_with_its_reason(
    connection: Connection, do: dict[str, Any], reason: str
) -> None:
    connection.fault(do, path="/auth/o2/token")
    with requests.Session() as session:
        login = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, time.time)
        with pytest.raises(TokenUnavailable) as caught:
            login.fetch()
    assert caught.value.reason == reason
    assert not any(secret in str(caught.value) for secret in CREDENTIALS.values())


def test_a_failed_login_is_not_repeated_for_30_seconds(connection: Connection) -> None:
    now = [1_800_000_000.0]
    connection.fault({"status": 500}, path="/auth/o2/token")
    fetched_before = len(connection.received("/auth/o2/token"))
    with requests.Session() as session:
        login = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, lambda: now[0])
        tokens = AccessTokens(StoredSecret(), login, lambda: now[0])
        with pytest.raises(TokenUnavailable, match="answered 500"):
            tokens.current()
        now[0] += FAILURE_BACKOFF - 10
        with pytest.raises(TokenUnavailable, match="answered 500") as repeated:
            tokens.current()
        assert (repeated.value.reason, repeated.value.retry_after) == ("token_unavailable", 10)
        assert len(connection.received("/auth/o2/token")) == fetched_before + 1
        now[0] += 10
        assert tokens.current().value
        now[0] -= 3600
        assert tokens.current().value, "a clock that is set back must not keep the failure"


@pytest.mark.parametrize("lifetime", [-5, 0, 10**9, "soon", None, True])
def test_an_invalid_token_lifetime_counts_as_one_hour(connection: Connection, lifetime: Any) -> None:
    body = json.dumps({"access_token": "Atza|x", "expires_in": lifetime})
    connection.fault({"status": 200, "body": body}, path="/auth/o2/token")
    with requests.Session() as session:
        token = Login(session, f"{connection.url}/auth/o2/token", connection.credentials, lambda: 1000.0).fetch()
    assert token.expires_at == 4600.0


def test_missing_credentials_mean_not_connected(connection: Connection) -> None:
    with requests.Session() as session:
        login = Login(session, connection.url, StoredSecret({"clientId": ""}), time.time)
        with pytest.raises(TokenUnavailable) as caught:
            login.fetch()
    assert caught.value.reason == "not_connected"


def test_the_repr_of_a_token_hides_its_value() -> None:
    assert "Atza" not in repr(Token("Atza|secret", 1.0))
