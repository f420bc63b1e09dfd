"""What the worker does while Amazon fails: rows 15 to 26 of the fault matrix, each fault made in HTTP."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from math import ceil, log2
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
from audience_sync.delivery.bisect import BISECTABLE_STATUSES, SAMPLE_SIZE
from audience_sync.delivery.circuit_breaker import FAILURES, CircuitBreakers
from audience_sync.delivery.retry_budget import MAX_SAVED, SHARE, RetryBudget
from audience_sync.delivery.uploads import Limits
from local.amazon.exchange import SANDBOX
from tests.doubles.clocks import ManualClock
from tests.faults.worker_harness import TOKENS, WorkerHarness, upload_fails
from tests.functions.conftest import Cloud
from tests.functions.test_worker import body, change
from tests.servers import Served
from tests.waiting import wait_until

OTHER = "427760013398172655"  # a second audience


@pytest.fixture
def second_audience(amazon: Served, cloud: Cloud) -> None:
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    settings = {"name": "Other", "description": "", "targetResource": {"advertiserId": 590071284455661234}}
    amazon.app[SANDBOX].seed(int(OTHER), settings | {"metadata": {"externalAudienceId": "other"}})


def in_ten_minutes() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)


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


ONE = body(change("cust_1"))

# Row 15


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [
        pytest.param("2", 2, 4, id="2"),
        pytest.param("0", 0, 4, id="0"),
        pytest.param("3600", 900, 900 + MARK, id="3600"),
        pytest.param("-1", 0, 4, id="-1"),
        pytest.param("soon", 0, 4, id="text"),
        pytest.param(in_ten_minutes, 540, 600 + MARK, id="a date"),
        pytest.param(None, 0, 4, id="none"),
    ],
)
def test_a_throttled_audience_waits_as_long_as_amazon_says(
    worker_harness: WorkerHarness, header: str | Callable[[], str] | None, at_least: int, at_most: float
) -> None:
    value = header() if callable(header) else header
    worker_harness.amazon.fail(upload_fails({"status": 429, "headers": {"Retry-After": value} if value else {}}))
    run = worker_harness.run(ONE)
    assert run.returned == [ONE]
    (waits,) = run.waits
    assert at_least <= waits <= at_most
    assert (worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (1, {})


@pytest.mark.usefixtures("second_audience")
def test_one_throttled_audience_does_not_delay_the_other(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 429}, audience=OTHER))
    throttled = body(change("cust_1"), audience=OTHER)
    for member in ("cust_2", "cust_3", "cust_4"):
        assert worker_harness.run(body(change(member)), *([throttled] if member == "cust_2" else [])).returned == [
            throttled
        ]
    assert worker_harness.amazon.members() == {"cust_2", "cust_3", "cust_4"}


@pytest.mark.usefixtures("second_audience")
@pytest.mark.parametrize("do", [{"status": 503}, {"close_after_apply": True}], ids=["503", "no answer"])
def test_one_failing_audience_does_not_stop_the_other(worker_harness: WorkerHarness, do: dict[str, Any]) -> None:
    worker_harness.amazon.fail(upload_fails(do, audience=OTHER))
    failing = body(change("cust_1"), audience=OTHER)
    members = [f"cust_{number}" for number in range(2, 12)]
    for member in members:
        assert worker_harness.run(*([failing] if member == "cust_2" else []), body(change(member))).returned == [
            failing
        ]
    assert worker_harness.amazon.members() == set(members)
    requests = worker_harness.amazon.request_count() - len(members)
    assert requests == FAILURES, "then its own circuit breaker is open"


@pytest.mark.usefixtures("second_audience")
def test_two_failing_audiences_are_an_outage(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 503}))
    both = [body(change("cust_1"), audience=OTHER), ONE]
    for _ in range(8):
        assert sorted(worker_harness.run(*(both if _ == 0 else [])).returned) == sorted(both)
    requests = worker_harness.amazon.request_count()
    assert requests <= FAILURES + 2, "one failure of each opens nothing yet"


@pytest.mark.parametrize("status", [400, 422, 405, 415, 501])
def test_a_refusal_that_no_record_causes_is_recognized_early(worker_harness: WorkerHarness, status: int) -> None:
    members = [f"cust_{number:03}" for number in range(150)]
    worker_harness.amazon.fail(upload_fails({"status": status}))
    assert worker_harness.run(body(*map(change, members))).returned == []
    assert worker_harness.dead_letters() == dict.fromkeys(members, "request_rejected")
    requests = worker_harness.amazon.request_count()
    assert requests <= (1 if status not in BISECTABLE_STATUSES else 4 * SAMPLE_SIZE + 2 * ceil(log2(len(members))))


# Rows 16 to 18: transient errors, and unusable answers


@pytest.mark.parametrize(
    ("row", "do", "uploads"),
    [
        pytest.param(16, {"status": 500}, 1, id="500"),
        pytest.param(16, {"status": 502}, 1, id="502"),
        pytest.param(16, {"status": 503}, 1, id="503"),
        pytest.param(16, {"status": 504}, 1, id="504"),
        pytest.param(17, {"close_before_read": True}, 1, id="reset before reading"),
        pytest.param(17, {"close_mid_response": True}, 2, id="reset in the answer"),
        pytest.param(17, {"close_after_apply": True}, 2, id="reset after applying"),
        pytest.param(18, {"status": 202, "body": "", "apply": True}, 2, id="empty answer"),
        pytest.param(18, {"status": 202, "body": "<html></html>", "apply": True}, 2, id="HTML"),
        pytest.param(18, {"status": 202, "body": "[1]", "apply": True}, 2, id="a list"),
        pytest.param(18, {"status": 202, "body": {"jobRequestId": 7}, "apply": True}, 2, id="a number as job id"),
        pytest.param(18, {"status": 202, "body": {}, "apply": True}, 2, id="no job id"),
        pytest.param(18, {"status": 202, "body": "x" * 2_000_000, "apply": True}, 2, id="huge"),
    ],
)
def test_an_upload_without_a_usable_answer_is_sent_once_more(
    worker_harness: WorkerHarness, row: int, do: dict[str, Any], uploads: int
) -> None:
    worker_harness.amazon.fail(upload_fails(do, times=1))
    first = worker_harness.run(ONE)
    assert first.returned == [ONE]
    if uploads == 2 or row != 16:
        assert first.waits >= [60], "it may still be applied"
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.actions_sent("cust_1") == ["CREATE"] * uploads, "1 + f times"
    assert worker_harness.dead_letters() == {}


def test_a_server_that_fails_at_random_costs_one_request_for_each_failure(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 503}, probability=0.4))
    members = [f"cust_{number}" for number in range(8)]
    runs = 0
    for member in members:
        runs += 1
        back = worker_harness.run(body(change(member))).returned
        while back:
            runs += 1
            back = worker_harness.run().returned
    assert worker_harness.amazon.members() == set(members)
    assert worker_harness.amazon.request_count() <= runs, "never two requests for one invocation"


def test_an_outage_opens_the_circuit_breaker_and_its_end_closes_it(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now = int(time.time())
    monkeypatch.setattr(CircuitBreakerHandler, "_now", lambda _: now)
    monkeypatch.setattr(
        "functions.worker.handler.CircuitBreakers",
        lambda client, table, recovery, _: CircuitBreakers(client, table, recovery, lambda: now),
    )
    worker_harness.cloud.enter("WorkerFunction", CIRCUIT_SECONDS="60")
    worker_harness.is_warm = True
    worker_harness.amazon.fail(upload_fails({"status": 503}))
    for number in range(7):
        worker_harness.run(*([ONE] if number == 0 else []))
    during = worker_harness.amazon.request_count()
    assert during <= 5, "five failures, and then no requests"
    worker_harness.amazon.clear_faults()
    while worker_harness.run().returned:
        now += 30  # seconds; with shorter steps the message would be received so often that it is sent anew
        assert now - began <= 60
    assert (worker_harness.dead_letters(), worker_harness.amazon.members()) == ({}, {"cust_1"})


def test_extra_requests_stay_within_the_budget_when_half_of_the_answers_are_lost(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.RetryBudget", lambda _: RetryBudget(lambda: 0.0))
    worker_harness.amazon.fail(upload_fails({"close_after_apply": True}, probability=0.5))
    taken = 0
    for number in range(60):
        taken += not worker_harness.run(body(change(f"cust_{number}"))).returned
    extra = worker_harness.amazon.request_count() - taken
    assert extra <= MAX_SAVED + SHARE * taken, (
        "five at first, then a fifth of the answered ones; one a minute, but no time passes here"
    )
    assert worker_harness.dead_letters() == {}


# Row 19


def test_a_refused_token_is_replaced_once_and_the_upload_repeated(worker_harness: WorkerHarness) -> None:
    worker_harness.run(ONE)
    tokens = worker_harness.amazon.request_count(TOKENS)
    worker_harness.amazon.fail(upload_fails({"status": 401}, times=1))
    assert worker_harness.run(body(change("cust_2"))).returned == []
    assert worker_harness.amazon.request_count(TOKENS) - tokens == 1
    assert worker_harness.amazon.actions_sent("cust_2") == ["CREATE"]


def test_a_token_that_is_always_refused_causes_no_loop(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 401}))
    assert worker_harness.run(ONE).returned == [ONE]
    assert (worker_harness.amazon.request_count(), worker_harness.dead_letters()) == (2, {})


# Rows 20 to 22: refusals


@pytest.mark.usefixtures("second_audience")
@pytest.mark.parametrize(("status", "reason"), [(403, "access_denied"), (404, "not_found")])
def test_changes_of_a_refused_audience_are_parked_and_the_other_audience_is_delivered(
    worker_harness: WorkerHarness, status: int, reason: str
) -> None:
    worker_harness.amazon.fail(upload_fails({"status": status}, audience=OTHER))
    refused = body(*(change(f"cust_{number}") for number in range(4)), audience=OTHER)
    assert worker_harness.run(refused, body(change("cust_9"))).returned == []
    assert worker_harness.dead_letters() == {f"cust_{number}": reason for number in range(4)}
    assert worker_harness.amazon.members() == {"cust_9"}
    assert worker_harness.amazon.request_count() == 2


@pytest.mark.parametrize("bad", [1, 3], ids=["one of 64", "three of 64"])
def test_records_that_amazon_refuses_are_found_by_bisection(worker_harness: WorkerHarness, bad: int) -> None:
    names = [f"cust_{number:02}" for number in range(64)]
    chosen = names[7 :: 64 // bad][:bad]
    worker_harness.amazon.fail(*(upload_fails({"status": 400}, contains=name) for name in chosen))
    assert worker_harness.run(body(*map(change, names))).returned == []
    assert worker_harness.dead_letters() == dict.fromkeys(chosen, "request_rejected")
    assert worker_harness.amazon.members() == set(names) - set(chosen)
    extra = worker_harness.amazon.request_count() - 1
    budget = 2 * bad * (1 + ceil(log2(64 / bad)))
    assert extra <= budget


def test_an_upload_that_is_too_large_is_halved_until_it_fits(worker_harness: WorkerHarness) -> None:
    names = [f"cust_{number:02}" for number in range(32)]
    worker_harness.amazon.fail(upload_fails({"status": 413}, over=2000))
    assert worker_harness.run(body(*map(change, names))).returned == []
    assert (worker_harness.amazon.members(), worker_harness.dead_letters()) == (set(names), {})


def test_one_record_that_is_too_large_is_parked(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 413}))
    assert worker_harness.run(ONE).returned == []
    assert worker_harness.dead_letters() == {"cust_1": "request_too_large"}


# Rows 23 and 24: no server, or another one


SLOW = '{"jobRequestId": "1"}'.ljust(1000)


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waits two seconds for an answer, instead of thirty."""
    monkeypatch.setattr("functions.worker.handler.Limits", partial(Limits, timeout=2.0))


@pytest.mark.usefixtures("short_timeout")
def test_a_slow_answer_ends_with_the_timeout(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"trickle": 0.3, "status": 202, "body": SLOW, "apply": True}))
    run = worker_harness.run(ONE)
    assert run.returned == [ONE], "the whole answer, which takes 300 seconds, would be a success"


@pytest.mark.usefixtures("short_timeout")
def test_waiting_for_an_answer_ends_with_the_timeout(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"delay": 300}))
    run = worker_harness.run(ONE)
    assert run.returned == [ONE], "the answer, after 300 seconds, would be a success"
    assert run.waits >= [60], "it may still be applied"


def test_a_refused_connection_is_no_unknown_outcome(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAZON_API_URL", "http://127.0.0.1:9")
    run = worker_harness.run(ONE)
    assert run.returned == [ONE]
    assert run.waits <= [4]


def test_nothing_is_sent_to_a_server_with_a_self_signed_certificate(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with self_signed_server(tmp_path) as (url, received):
        monkeypatch.setenv("AMAZON_API_URL", url)
        run = worker_harness.run(ONE)
    assert (run.returned, received) == ([ONE], [])
    assert run.waits <= [4], "the outcome is known, too"


def test_a_redirect_is_not_followed(worker_harness: WorkerHarness) -> None:
    elsewhere = f"{worker_harness.amazon.url}/somewhere-else"
    worker_harness.amazon.fail(upload_fails({"redirect": elsewhere}))
    assert worker_harness.run(ONE).returned == [ONE]
    assert worker_harness.amazon.request_count("/somewhere-else") == 0


# Row 25


@pytest.fixture
def amazon_clock(amazon: Served, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Amazon's clock, which only the test moves."""
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    clock = ManualClock(time.time())
    monkeypatch.setattr(amazon.app[SANDBOX], "clock", clock)
    return clock


def test_an_upload_that_is_applied_late_does_not_bring_back_a_member_who_has_left(
    worker_harness: WorkerHarness, amazon_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(now=amazon_clock))
    worker_harness.cloud.enter("WorkerFunction", JOB_SECONDS="1", LATE_SECONDS="0")
    worker_harness.is_warm = True
    worker_harness.amazon.fail(upload_fails({"apply_late": 60}, times=1))
    entered = body(change("cust_1", at=1))
    assert worker_harness.run(entered).waits >= [60]
    (waiting,) = worker_harness.receive()
    assert worker_harness.run(body(change("cust_1", at=2, exits=True))).returned == []
    assert worker_harness.amazon.members() == set()
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the enter, applied after the exit"
    worker_harness.acknowledge([waiting], {"batchItemFailures": [{"itemIdentifier": waiting["messageId"]}]})
    assert worker_harness.run().returned == []
    amazon_clock.now += 1
    wait_until(worker_harness.run, lambda _: worker_harness.amazon.members() == set())  # once the repetition is due


# Row 26; the tests of the jobs function show what happens to a job's report


def test_jobs_that_end_in_reverse_order_do_not_bring_back_a_member_who_has_left(
    worker_harness: WorkerHarness, amazon_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(now=amazon_clock))
    worker_harness.cloud.enter("WorkerFunction", JOB_SECONDS="1", LATE_SECONDS="0")
    worker_harness.is_warm = True
    worker_harness.amazon.fail(upload_fails({"job": {"order": "reverse", "delay": 60}}, times=2))
    for message in (body(change("cust_1", at=1)), body(change("cust_1", at=2, exits=True))):
        assert worker_harness.run(message).returned == []
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the enter's job has ended last"
    wait_until(worker_harness.run, lambda _: worker_harness.amazon.members() == set())  # once the repetition is due
    actions = worker_harness.amazon.actions_sent("cust_1")
    assert actions == ["CREATE", "DELETE", "DELETE"]
