"""Faults of Amazon's login: rows 22 and 23 of the fault matrix. test_amazon_client.py has every answer of the login.

Both APIs take the same token. So one of them is enough, except for what happens to changes without a token.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.login import AccessTokens, Login
from audience_sync.errors import Unavailable
from audience_sync.reasons import Reason
from functions.refresh import handler as refresh
from tests.faults.worker_harness import ONE_API, TOKENS, WorkerHarness
from tests.support.cloud import CREDENTIALS, Context
from tests.support.doubles.secrets import StoredSecret
from tests.support.invocations import body, change
from tests.support.proxy import hang_up, refuse


def login_fails(do: dict[str, Any]) -> dict[str, Any]:
    return {"match": {"path": TOKENS}, "do": do}


@pytest.mark.parametrize("do", [{"status": 503}, {"close_mid_response": True}], ids=["503", "reset in the answer"])
def test_messages_wait_without_a_token(worker_harness: WorkerHarness, do: dict[str, Any]) -> None:
    worker_harness.amazon.fail(login_fails(do))
    one = worker_harness.message(change("cust_1"))
    run = worker_harness.run(one)
    assert (run.returned, worker_harness.amazon.request_count(), worker_harness.dead_letters()) == ([one], 0, {})
    requests_made = worker_harness.amazon.request_count(TOKENS)
    assert requests_made <= 1
    worker_harness.amazon.clear_faults()
    worker_harness.is_warm = False  # another worker; this one does not ask for half a minute
    assert worker_harness.run().returned == []


@ONE_API
def test_a_login_that_hangs_delays_an_invocation_only_once(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audience_sync.amazon_ads.login.TIMEOUT", (1.0, 1.0))
    worker_harness.amazon.fail(login_fails({"delay": 30}))
    bodies = [body(change("cust_1"), audience=str(number)) for number in range(71, 77)]
    run = worker_harness.run(*bodies)
    assert (sorted(run.returned), worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (
        sorted(bodies),
        0,
        {},
    )
    assert worker_harness.amazon.request_count(TOKENS) == 1


def test_messages_wait_while_the_credentials_are_unreadable(worker_harness: WorkerHarness) -> None:
    worker_harness.cloud.put_secret("CredentialsSecret", '{"clientId": "x",}')
    one = worker_harness.message(change("cust_1"))
    assert (worker_harness.run(one).returned, worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (
        [one],
        0,
        {},
    )


@ONE_API
def test_fifty_threads_at_expiry_make_one_token_request(worker_harness: WorkerHarness) -> None:
    login = Login(requests.Session(), worker_harness.amazon.url + TOKENS, StoredSecret(CREDENTIALS), time.time)
    tokens = AccessTokens(StoredSecret(CREDENTIALS), login, time.time)
    begin, tokens_used = threading.Barrier(50), set()

    def ask() -> None:
        begin.wait()
        tokens_used.add(tokens.current().value)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens_used) == 1
    assert worker_harness.amazon.request_count(TOKENS) == 1


def outdate(worker_harness: WorkerHarness) -> None:
    """Start a worker with the stored token, then store a newer one, as the refresh function does every 20 minutes."""
    login = Login(requests.Session(), worker_harness.amazon.url + TOKENS, StoredSecret(CREDENTIALS), time.time)
    worker_harness.cloud.put_secret("TokenSecret", login.fetch().as_json())
    assert worker_harness.run(worker_harness.message(change("cust_0"))).returned == []
    worker_harness.cloud.put_secret("TokenSecret", login.fetch().as_json())


@pytest.fixture
def set_recipe(worker_harness: WorkerHarness) -> Iterator[Callable[[str], None]]:
    """Sets a fault of docs/sandbox.md. Other tests use the same sandbox."""

    def set_by_name(name: str) -> None:
        url = f"{worker_harness.amazon.url}/sandbox/faults"
        requests.put(url, json={"recipe": name}, timeout=60).raise_for_status()

    yield set_by_name
    set_by_name("off")


@ONE_API
def test_a_worker_older_than_the_last_refresh_reports_a_revoked_consent_as_refused(
    worker_harness: WorkerHarness, set_recipe: Callable[[str], None], printed: Callable[[], str]
) -> None:
    outdate(worker_harness)
    logins = worker_harness.amazon.request_count(TOKENS)
    set_recipe("revoked")
    for member in ("cust_1", "cust_2", "cust_3"):
        one = worker_harness.message(change(member))
        assert one in worker_harness.run(one).returned
    assert f'"deferred":["{Reason.AUTHORIZATION_REFUSED}"]' in printed()
    assert Reason.TOKEN_UNAVAILABLE not in printed()
    assert worker_harness.amazon.request_count(TOKENS) == logins + 1
    set_recipe("off")
    login = Login(requests.Session(), worker_harness.amazon.url + TOKENS, StoredSecret(CREDENTIALS), time.time)
    worker_harness.cloud.put_secret("TokenSecret", login.fetch().as_json())  # as `connect` does
    assert worker_harness.run(worker_harness.message(change("cust_4"))).returned == [], "at once, not after a minute"


@ONE_API
@pytest.mark.parametrize("down", [refuse("ThrottlingException"), hang_up()], ids=["throttled", "connection closed"])
def test_a_token_that_cannot_be_stored_does_not_stop_uploads(worker_harness: WorkerHarness, down: Any) -> None:
    worker_harness.proxy.on("PutSecretValue", down)
    worker_harness.cloud.enter("RefreshFunction")
    with pytest.raises(Unavailable):
        refresh.lambda_handler({}, Context())
    assert worker_harness.run(worker_harness.message(change("cust_1"))).returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
