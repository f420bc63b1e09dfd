"""Faults of Amazon's login: rows 27 to 29 of the fault matrix, and what any fault leaves behind: row 34."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.login import AccessTokens, Login
from audience_sync.errors import Unavailable
from functions.refresh import handler as refresh
from tests.doubles.secrets import StoredSecret
from tests.faults.proxy import hang_up, refuse
from tests.faults.worker_harness import TOKENS, WorkerHarness, upload_fails
from tests.functions.conftest import CREDENTIALS, Context
from tests.functions.test_worker import EMAIL, body, change

ONE = body(change("cust_1"))


def login_fails(do: dict[str, Any]) -> dict[str, Any]:
    return {"match": {"path": TOKENS}, "do": do}


@pytest.mark.parametrize(
    "do",
    [
        pytest.param({"status": 503}, id="503"),
        pytest.param({"status": 429, "headers": {"Retry-After": "30"}}, id="429"),
        pytest.param({"status": 200, "body": "<html>sign in</html>"}, id="HTML"),
        pytest.param({"status": 200, "body": {"access_token": ""}}, id="empty token"),
        pytest.param({"close_before_read": True}, id="reset"),
        pytest.param({"close_mid_response": True}, id="reset in the answer"),
    ],
)
def test_without_a_token_messages_wait(worker_harness: WorkerHarness, do: dict[str, Any]) -> None:
    worker_harness.amazon.fail(login_fails(do))
    run = worker_harness.run(ONE)
    assert (run.returned, worker_harness.amazon.request_count(), worker_harness.dead_letters()) == ([ONE], 0, {})
    requests_made = worker_harness.amazon.request_count(TOKENS)
    assert requests_made <= 1
    worker_harness.amazon.clear_faults()
    worker_harness.is_warm = False  # another worker; this one does not ask for half a minute
    assert worker_harness.run().returned == []


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


def test_unreadable_credentials_park_nothing(worker_harness: WorkerHarness) -> None:
    worker_harness.cloud.put_secret("CredentialsSecret", '{"clientId": "x",}')
    assert (worker_harness.run(ONE).returned, worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (
        [ONE],
        0,
        {},
    )


def test_after_a_revoked_authorization_the_login_is_called_once_in_five_minutes(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(login_fails({"status": 400, "body": {"error": "invalid_grant"}}))
    worker_harness.run(ONE)
    for _ in range(5):
        assert worker_harness.run().returned == [ONE]
    assert (
        worker_harness.amazon.request_count(TOKENS),
        worker_harness.amazon.request_count(),
        worker_harness.dead_letters(),
    ) == (1, 0, {})


@pytest.mark.parametrize("lifetime", ["soon", -5, 1e12], ids=str)
def test_an_unusable_expires_in_counts_as_an_hour(worker_harness: WorkerHarness, lifetime: Any) -> None:
    worker_harness.amazon.fail(login_fails({"token": {"expires_in": lifetime}}))
    for member in ("cust_1", "cust_2"):
        assert worker_harness.run(body(change(member))).returned == []
    assert worker_harness.amazon.request_count(TOKENS) == 1


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


def test_new_workers_use_the_token_that_is_stored(worker_harness: WorkerHarness) -> None:
    worker_harness.cloud.enter("RefreshFunction")
    refresh.lambda_handler({}, Context())
    for member in ("cust_1", "cust_2", "cust_3", "cust_4"):
        worker_harness.is_warm = False
        assert worker_harness.run(body(change(member))).returned == []
    assert worker_harness.amazon.request_count(TOKENS) == 1


@pytest.mark.parametrize("down", [refuse("ThrottlingException"), hang_up()], ids=["throttled", "connection closed"])
def test_a_token_that_cannot_be_stored_does_not_stop_uploads(worker_harness: WorkerHarness, down: Any) -> None:
    worker_harness.proxy.on("PutSecretValue", down)
    worker_harness.cloud.enter("RefreshFunction")
    with pytest.raises(Unavailable):
        refresh.lambda_handler({}, Context())
    assert worker_harness.run(ONE).returned == []
    assert worker_harness.amazon.members() == {"cust_1"}


# Row 34

ECHO = {"message": f"bad token Atza|marker of Atzr|marker for {EMAIL}, ada@example.com at 10.1.2.3"}


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(upload_fails({"status": 400, "body": ECHO}), id="400"),
        pytest.param(upload_fails({"status": 401, "body": ECHO}), id="401"),
        pytest.param(upload_fails({"status": 403, "body": ECHO}), id="403"),
        pytest.param(upload_fails({"status": 413, "body": ECHO}), id="413"),
        pytest.param(upload_fails({"status": 429, "body": ECHO}), id="429"),
        pytest.param(upload_fails({"status": 500, "body": ECHO}), id="500"),
        pytest.param(upload_fails({"status": 202, "body": json.dumps(ECHO), "apply": True}), id="202"),
        pytest.param(upload_fails({"close_after_apply": True}), id="reset"),
        pytest.param(login_fails({"status": 400, "body": {"error": "invalid_grant"} | ECHO}), id="invalid_grant"),
        pytest.param(login_fails({"status": 500, "body": ECHO}), id="login 500"),
    ],
)
def test_no_fault_leaves_a_secret_or_personal_data_behind(
    worker_harness: WorkerHarness, printed: Callable[[], str], rule: dict[str, Any]
) -> None:
    worker_harness.amazon.fail(rule)
    worker_harness.proxy.on(
        "BatchExecuteStatement", refuse("ThrottlingException", message=f"{EMAIL} Atza|marker"), times=1
    )
    worker_harness.run(ONE)
    worker_harness.run()
    queues = [worker_harness.cloud.name_of(name) for name in ("ChangeQueue", "DeadLetterQueue")]
    left = [message.body for queue in queues for message in worker_harness.cloud.queues.peek(queue)]
    secrets = [*CREDENTIALS.values(), "Atza|", "Atzr|", "ada@example.com", "10.1.2.3"]
    text = printed()
    assert [secret for secret in [*secrets, EMAIL] if secret in text] == []
    assert [secret for secret in secrets if secret in "".join(left)] == []
    failures = [json.loads(each).get("failure", {}) for each in left]
    assert EMAIL not in json.dumps(failures)
    assert all(json.loads(line) for line in text.splitlines())
