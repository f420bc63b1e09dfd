"""The whole worker while Amazon fails, each fault made in HTTP: examples of rows 15 to 26 of the fault matrix.

On an audience of each API, if not marked otherwise. test_dataset_faults.py has what only Ads Data Manager has.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.circuit_breaker.base import CircuitBreakerHandler
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from audience_sync.clock import Clock
from audience_sync.delivery.backoff import MARK
from audience_sync.delivery.gates.circuit_breaker import FAILURES, CircuitBreakers
from audience_sync.delivery.gates.retry_budget import MAX_SAVED, SHARE, RetryBudget
from audience_sync.members.membership import Audience
from local.amazon.exchange import SANDBOX
from tests.doubles.clocks import ManualClock
from tests.faults.worker_harness import ONE_API, TOKENS, WorkerHarness
from tests.functions.conftest import Cloud
from tests.functions.test_worker import change
from tests.servers import Served
from tests.waiting import wait_until


@pytest.fixture
def other(worker_harness: WorkerHarness) -> Audience:
    """A second audience."""
    return worker_harness.amazon.add_audience("other-audience")


@contextmanager
def self_signed_server(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """A server at Amazon's address with a self-signed certificate. Yields its URL and the bytes it receives."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    certificate = folder / "certificate.pem"
    certificate.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    received: list[bytes] = []

    def listen() -> None:
        with suppress(OSError):  # ssl.SSLError is one: the caller closes the connection
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as encrypted:
                if text := encrypted.recv(4096):
                    received.append(text)

    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = threading.Thread(target=listen)
        listening.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}", received
        listening.join(5)


# Rows 15 to 18. test_exchange.py and test_amazon_client.py have the error for every answer, test_batch.py what follows


def test_a_throttled_audience_waits_for_retry_after_up_to_fifteen_minutes(
    worker_harness: WorkerHarness,
) -> None:
    worker_harness.amazon.fail_uploads({"status": 429, "headers": {"Retry-After": "3600"}})
    one = worker_harness.message(change("cust_1"))
    run = worker_harness.run(one)
    assert run.returned == [one]
    (waits,) = run.waits
    assert 900 <= waits <= 900 + MARK
    assert (worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (1, {})


@pytest.mark.parametrize(
    ("do", "waits", "uploads"),
    [
        pytest.param({"status": 503}, 0, 1, id="503"),
        pytest.param({"close_before_read": True}, 60, 1, id="reset before reading"),
        pytest.param({"close_after_apply": True}, 60, 2, id="reset after applying"),
        pytest.param({"status": 202, "body": "<html></html>", "apply": True}, 60, 2, id="HTML"),
    ],
)
def test_an_upload_without_a_usable_answer_is_sent_again(
    worker_harness: WorkerHarness, do: dict[str, Any], waits: int, uploads: int
) -> None:
    worker_harness.amazon.fail_uploads(do, times=1)
    one = worker_harness.message(change("cust_1"))
    first = worker_harness.run(one)
    assert first.returned == [one]
    assert first.waits >= [waits], "it may still be applied"
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.actions_sent("cust_1") == ["CREATE"] * uploads, "1 + f times"
    assert worker_harness.dead_letters() == {}


@pytest.mark.parametrize("do", [{"status": 503}, {"close_after_apply": True}], ids=["503", "no answer"])
def test_a_failing_audience_does_not_stop_another(
    worker_harness: WorkerHarness, other: Audience, do: dict[str, Any]
) -> None:
    worker_harness.amazon.fail_uploads(do, audience=other.audience_id)
    failing = worker_harness.message(change("cust_1"), audience=other)
    members = [f"cust_{number}" for number in range(2, 12)]
    for member in members:
        message = worker_harness.message(change(member))
        assert worker_harness.run(*([failing] if member == "cust_2" else []), message).returned == [failing]
    assert worker_harness.amazon.members() == set(members)
    requests = worker_harness.amazon.request_count() - len(members)
    assert requests == FAILURES, "then its own circuit breaker is open"


def test_an_outage_opens_the_circuit_breaker_and_its_end_closes_it(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now = int(time.time())
    monkeypatch.setattr(CircuitBreakerHandler, "_now", lambda _: now)
    monkeypatch.setattr(
        "functions.worker.handler.CircuitBreakers",
        lambda client, table, recovery, _: CircuitBreakers(client, table, recovery, lambda: now),
    )
    worker_harness.enter(CIRCUIT_SECONDS="60")
    worker_harness.amazon.fail_uploads({"status": 503})
    for number in range(7):
        worker_harness.run(*([worker_harness.message(change("cust_1"))] if number == 0 else []))
    during = worker_harness.amazon.request_count()
    assert during <= 5, "five failures, and then no requests"
    worker_harness.amazon.clear_faults()
    while worker_harness.run().returned:
        now += 30  # seconds; with shorter steps the message would be received so often that it is sent as a new one
        assert now - began <= 60
    assert (worker_harness.dead_letters(), worker_harness.amazon.members()) == ({}, {"cust_1"})


@ONE_API
def test_extra_requests_stay_within_the_budget_when_half_of_the_answers_are_lost(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.RetryBudget", lambda _: RetryBudget(lambda: 0.0))
    worker_harness.amazon.fail_uploads({"close_after_apply": True}, probability=0.5)
    taken = 0
    for number in range(60):
        taken += not worker_harness.run(worker_harness.message(change(f"cust_{number}"))).returned
    extra = worker_harness.amazon.request_count() - taken
    assert extra <= MAX_SAVED + SHARE * taken, (
        "five at first, then a fifth of the answered ones; one a minute, but no time passes here"
    )
    assert worker_harness.dead_letters() == {}


# Row 19


def test_a_refused_token_is_replaced_once_and_the_upload_repeated(worker_harness: WorkerHarness) -> None:
    worker_harness.run(worker_harness.message(change("cust_1")))
    tokens = worker_harness.amazon.request_count(TOKENS)
    worker_harness.amazon.fail_uploads({"status": 401}, times=1)
    assert worker_harness.run(worker_harness.message(change("cust_2"))).returned == []
    assert worker_harness.amazon.request_count(TOKENS) - tokens == 1
    assert worker_harness.amazon.actions_sent("cust_2") == ["CREATE"]


# Row 20


@pytest.mark.parametrize(("status", "reason"), [(403, "access_denied"), (404, "not_found")])
def test_a_refused_audience_is_parked_and_another_is_delivered(
    worker_harness: WorkerHarness, other: Audience, status: int, reason: str
) -> None:
    worker_harness.amazon.fail_uploads({"status": status}, audience=other.audience_id)
    refused = worker_harness.message(*(change(f"cust_{number}") for number in range(4)), audience=other)
    assert worker_harness.run(refused, worker_harness.message(change("cust_9"))).returned == []
    assert worker_harness.dead_letters() == {f"cust_{number}": reason for number in range(4)}
    assert worker_harness.amazon.members() == {"cust_9"}
    assert worker_harness.amazon.request_count() == 2


# Rows 21 and 22


@pytest.mark.parametrize(
    ("do", "match", "refused", "requests"),
    [
        pytest.param({"status": 400}, {"contains": '"cust_5"'}, {"cust_5"}, 7, id="400: one record"),
        pytest.param({"status": 413}, {"over": 700}, set(), 15, id="413: above a size"),
    ],
)
def test_a_refused_upload_is_bisected_to_the_records_at_fault(
    worker_harness: WorkerHarness, do: dict[str, Any], match: dict[str, Any], refused: set[str], requests: int
) -> None:
    members = {f"cust_{number}" for number in range(8)}
    worker_harness.amazon.fail_uploads(do, **match)
    assert worker_harness.run(worker_harness.message(*map(change, sorted(members)))).returned == []
    assert worker_harness.amazon.members() == members - refused
    assert worker_harness.dead_letters() == dict.fromkeys(refused, "request_rejected")
    assert 1 < worker_harness.amazon.request_count() <= requests


# Row 23


def test_nothing_is_sent_to_a_server_with_a_self_signed_certificate(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = worker_harness.message(change("cust_1"))
    with self_signed_server(tmp_path) as (url, received):
        monkeypatch.setenv("AMAZON_API_URL", url)
        run = worker_harness.run(one)
    assert (run.returned, received) == ([one], [])
    assert run.waits <= [4], "the outcome is known, too"


# Rows 25 and 26; the tests of the jobs function show what happens to a job's report


@pytest.fixture
def amazon_clock(amazon: Served, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Amazon's clock, which only the test moves."""
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    clock = ManualClock(time.time())
    monkeypatch.setattr(amazon.app[SANDBOX], "clock", clock)
    return clock


@pytest.mark.parametrize(
    "do", [pytest.param({"job": {"delay": 60}}, id="late"), pytest.param({"apply_late": 60}, id="after we gave up")]
)
def test_uploads_applied_in_reverse_order_do_not_bring_back_a_member(
    worker_harness: WorkerHarness, amazon_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, do: dict[str, Any]
) -> None:
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(now=amazon_clock))
    worker_harness.enter(JOB_SECONDS="1", DATA_MANAGER_SECONDS="1", LATE_SECONDS="0")
    worker_harness.amazon.fail(
        worker_harness.amazon.upload_fails(do, times=1),
        worker_harness.amazon.upload_fails({"job": {"delay": 30}}, times=1),
    )
    worker_harness.run(worker_harness.message(change("cust_1", at=1)))
    assert worker_harness.run(worker_harness.message(change("cust_1", at=2, exits=True))).returned == []
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the enter has taken effect last"
    wait_until(worker_harness.run, lambda _: worker_harness.amazon.members() == set())  # once the repetition is due
    assert sorted(worker_harness.amazon.actions_sent("cust_1")) == ["CREATE", "DELETE", "DELETE"]
