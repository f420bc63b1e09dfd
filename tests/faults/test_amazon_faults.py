"""What the worker does while Amazon fails: rows 15 to 26 of the fault matrix, each fault made on the wire."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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

from audience_sync.delivery.bisect import BISECTABLE_STATUSES, SAMPLE_SIZE
from audience_sync.delivery.circuit_breaker import FAILURES
from audience_sync.delivery.retry_budget import MAX_SAVED, SHARE, RetryBudget
from audience_sync.delivery.uploads import Limits
from local.amazon.exchange import SANDBOX
from tests.faults.measurements import measured
from tests.faults.worker_harness import TOKENS, WorkerHarness, upload_fails
from tests.functions.conftest import Cloud
from tests.functions.test_worker import body, change
from tests.servers import Served
from tests.waiting import until

OTHER = "427760013398172655"  # a second audience


@pytest.fixture
def second_audience(amazon: Served, cloud: Cloud) -> None:
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    about = {"name": "Other", "description": "", "targetResource": {"advertiserId": 590071284455661234}}
    amazon.app[SANDBOX].seed(int(OTHER), about | {"metadata": {"externalAudienceId": "other"}})


def in_ten_minutes() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)


@dataclass
class Clock:
    """A clock that is moved by hand."""

    now: float  # epoch seconds


@contextmanager
def impostor(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Somebody who listens as Amazon would, with a certificate they made themselves. Yields what they hear."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    about = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    certificate = folder / "certificate.pem"
    certificate.write_bytes(
        about.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    heard: list[bytes] = []

    def listen() -> None:
        with suppress(OSError):  # ssl.SSLError is one: the caller hangs up
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as encrypted:
                if text := encrypted.recv(4096):
                    heard.append(text)

    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = threading.Thread(target=listen)
        listening.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}", heard
        listening.join(5)


ONE = body(change("cust_1"))

# Row 15


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [
        pytest.param("2", 2, 4, id="2"),
        pytest.param("0", 0, 4, id="0"),
        pytest.param("3600", 900, 900, id="3600"),
        pytest.param("-1", 0, 4, id="-1"),
        pytest.param("soon", 0, 4, id="text"),
        pytest.param(in_ten_minutes, 540, 600, id="a date"),
        pytest.param(None, 0, 4, id="none"),
    ],
)
def test_a_throttled_audience_waits_as_long_as_amazon_says(
    worker_harness: WorkerHarness, header: str | Callable[[], str] | None, at_least: int, at_most: int, request: Any
) -> None:
    told = header() if callable(header) else header
    worker_harness.amazon.fail(upload_fails({"status": 429, "headers": {"Retry-After": told} if told else {}}))
    run = worker_harness.run(ONE)
    assert run.back == [ONE]
    (waits,) = run.waits
    assert at_least <= waits <= at_most
    assert (worker_harness.amazon.asked(), worker_harness.letters()) == (1, {})
    measured(15, f"429, Retry-After {request.node.callspec.id}", requests=1, waits_seconds=waits)


@pytest.mark.usefixtures("second_audience")
def test_one_throttled_audience_does_not_hold_up_the_other(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 429}, audience=OTHER))
    throttled = body(change("cust_1"), audience=OTHER)
    for member in ("cust_2", "cust_3", "cust_4"):
        assert worker_harness.run(body(change(member)), *([throttled] if member == "cust_2" else [])).back == [
            throttled
        ]
    assert worker_harness.amazon.members() == {"cust_2", "cust_3", "cust_4"}
    measured(
        32, "one of two audiences throttled, 3 runs", requests=worker_harness.amazon.asked(), delivered_of_the_other=3
    )


@pytest.mark.usefixtures("second_audience")
@pytest.mark.parametrize("do", [{"status": 503}, {"close_after_apply": True}], ids=["503", "no answer"])
def test_one_failing_audience_does_not_stop_the_other(
    worker_harness: WorkerHarness, do: dict[str, Any], request: Any
) -> None:
    worker_harness.amazon.fail(upload_fails(do, audience=OTHER))
    failing = body(change("cust_1"), audience=OTHER)
    members = [f"cust_{number}" for number in range(2, 12)]
    for member in members:
        assert worker_harness.run(*([failing] if member == "cust_2" else []), body(change(member))).back == [failing]
    assert worker_harness.amazon.members() == set(members)
    asked = worker_harness.amazon.asked() - len(members)
    assert asked == FAILURES, "then its own circuit is open"
    case = f"one of two audiences: {request.node.callspec.id}, 10 runs"
    measured(32, case, requests=asked, delivered_of_the_other=len(members))


@pytest.mark.usefixtures("second_audience")
def test_two_failing_audiences_are_an_outage(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 503}))
    both = [body(change("cust_1"), audience=OTHER), ONE]
    for _ in range(8):
        assert sorted(worker_harness.run(*(both if _ == 0 else [])).back) == sorted(both)
    asked = worker_harness.amazon.asked()
    assert asked <= FAILURES + 2, "one failure of each, before it was clear"
    measured(16, "8 runs without Amazon, two audiences", requests=asked, parked=0)


@pytest.mark.parametrize("status", [400, 422, 405, 415, 501])
def test_a_refusal_that_is_not_about_records_is_found_out_early(worker_harness: WorkerHarness, status: int) -> None:
    members = [f"cust_{number:03}" for number in range(150)]
    worker_harness.amazon.fail(upload_fails({"status": status}))
    assert worker_harness.run(body(*map(change, members))).back == []
    assert worker_harness.letters() == dict.fromkeys(members, "request_rejected")
    asked = worker_harness.amazon.asked()
    assert asked <= (1 if status not in BISECTABLE_STATUSES else 4 * SAMPLE_SIZE + 2 * ceil(log2(len(members))))
    measured(21, f"{status} for all of 150", requests=asked, parked=len(members))


# TableModel 16 to 18: passing trouble, and answers that say nothing


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
    worker_harness: WorkerHarness, row: int, do: dict[str, Any], uploads: int, request: Any
) -> None:
    worker_harness.amazon.fail(upload_fails(do, times=1))
    first = worker_harness.run(ONE)
    assert first.back == [ONE]
    if uploads == 2 or row != 16:
        assert first.waits >= [60], "it may still be applied"
    assert worker_harness.run().back == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.told("cust_1") == ["CREATE"] * uploads, "1 + f times"
    assert worker_harness.letters() == {}
    measured(
        row, request.node.callspec.id, requests=worker_harness.amazon.asked(), duplicates=uploads - 1, waits=first.waits
    )


def test_at_random_failing_servers_cost_one_request_a_failure(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 503}, probability=0.4))
    members = [f"cust_{number}" for number in range(8)]
    runs = 0
    for member in members:
        runs += 1
        back = worker_harness.run(body(change(member))).back
        while back:
            runs += 1
            back = worker_harness.run().back
    failures = worker_harness.amazon.asked() - len(members)
    assert worker_harness.amazon.members() == set(members)
    assert worker_harness.amazon.asked() <= runs, "never two requests for one invocation"
    measured(16, "40 % of uploads fail, 8 messages", requests=worker_harness.amazon.asked(), failures=failures)


def test_an_outage_opens_the_circuit_and_its_end_closes_it(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now = int(time.time())
    monkeypatch.setattr(CircuitBreakerHandler, "_now", lambda _: now)
    worker_harness.cloud.enter("WorkerFunction", CIRCUIT_SECONDS="60")
    worker_harness.is_warm = True
    worker_harness.amazon.fail(upload_fails({"status": 503}))
    for turn in range(7):
        worker_harness.run(*([ONE] if turn == 0 else []))
    during = worker_harness.amazon.asked()
    assert during <= 5, "five failures, and nobody asks any more"
    worker_harness.amazon.mend()
    while worker_harness.run().back:
        now += 30  # seldom enough not to be received so often that it is put back as new
        assert now - began <= 60
    assert (worker_harness.letters(), worker_harness.amazon.members()) == ({}, {"cust_1"})
    measured(16, "7 runs without Amazon, one connection", requests=during, parked=0, seconds_to_recover=now - began)


def test_extra_calls_have_a_budget_when_half_of_the_answers_never_come(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.RetryBudget", lambda _: RetryBudget(lambda: 0.0))
    worker_harness.amazon.fail(upload_fails({"close_after_apply": True}, probability=0.5))
    taken = 0
    for number in range(60):
        taken += not worker_harness.run(body(change(f"cust_{number}"))).back
    extra = worker_harness.amazon.asked() - taken
    assert extra <= MAX_SAVED + SHARE * taken, "five to begin with, then a fifth; one a minute, but no time passes here"
    assert worker_harness.letters() == {}
    measured(17, "half of the answers lost, 60 runs", answered=taken, extra_requests=extra, parked=0)


# Row 19


def test_a_refused_token_is_renewed_once_and_the_upload_repeated(worker_harness: WorkerHarness) -> None:
    worker_harness.run(ONE)
    tokens = worker_harness.amazon.asked(TOKENS)
    worker_harness.amazon.fail(upload_fails({"status": 401}, times=1))
    assert worker_harness.run(body(change("cust_2"))).back == []
    assert worker_harness.amazon.asked(TOKENS) - tokens == 1
    assert worker_harness.amazon.told("cust_2") == ["CREATE"]
    measured(19, "401 once", token_requests=1, uploads=2)


def test_a_token_that_is_refused_for_ever_makes_no_loop(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 401}))
    assert worker_harness.run(ONE).back == [ONE]
    assert (worker_harness.amazon.asked(), worker_harness.letters()) == (2, {})
    measured(19, "401 for ever", token_requests=worker_harness.amazon.asked(TOKENS), uploads=2)


# TableModel 20 to 22: refusals


@pytest.mark.usefixtures("second_audience")
@pytest.mark.parametrize(("status", "reason"), [(403, "access_denied"), (404, "not_found")])
def test_an_audience_that_is_refused_is_parked_and_the_other_goes_on(
    worker_harness: WorkerHarness, status: int, reason: str
) -> None:
    worker_harness.amazon.fail(upload_fails({"status": status}, audience=OTHER))
    refused = body(*(change(f"cust_{number}") for number in range(4)), audience=OTHER)
    assert worker_harness.run(refused, body(change("cust_9"))).back == []
    assert worker_harness.letters() == {f"cust_{number}": reason for number in range(4)}
    assert worker_harness.amazon.members() == {"cust_9"}
    assert worker_harness.amazon.asked() == 2
    measured(20, f"{status} for one audience, 4 records", requests=2, parked=4)


@pytest.mark.parametrize("bad", [1, 3], ids=["one of 64", "three of 64"])
def test_records_that_amazon_refuses_are_found_by_halving(worker_harness: WorkerHarness, bad: int) -> None:
    names = [f"cust_{number:02}" for number in range(64)]
    chosen = names[7 :: 64 // bad][:bad]
    worker_harness.amazon.fail(*(upload_fails({"status": 400}, contains=name) for name in chosen))
    assert worker_harness.run(body(*map(change, names))).back == []
    assert worker_harness.letters() == dict.fromkeys(chosen, "request_rejected")
    assert worker_harness.amazon.members() == set(names) - set(chosen)
    extra = worker_harness.amazon.asked() - 1
    budget = 2 * bad * (1 + ceil(log2(64 / bad)))
    assert extra <= budget
    measured(21, f"{bad} bad of 64", requests=extra + 1, budget=budget + 1, parked=bad)


def test_what_is_too_large_is_halved_until_it_fits(worker_harness: WorkerHarness) -> None:
    names = [f"cust_{number:02}" for number in range(32)]
    worker_harness.amazon.fail(upload_fails({"status": 413}, over=2000))
    assert worker_harness.run(body(*map(change, names))).back == []
    assert (worker_harness.amazon.members(), worker_harness.letters()) == (set(names), {})
    measured(22, "413 above 2,000 bytes, 32 records", requests=worker_harness.amazon.asked(), parked=0)


def test_one_record_that_is_too_large_is_parked(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 413}))
    assert worker_harness.run(ONE).back == []
    assert worker_harness.letters() == {"cust_1": "request_too_large"}
    measured(22, "413 for a single record", requests=worker_harness.amazon.asked(), parked=1)


# TableModel 23 and 24: nobody there, or somebody else


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waits two seconds for an answer, instead of thirty."""
    monkeypatch.setattr("functions.worker.handler.Limits", partial(Limits, timeout=2.0))


@pytest.mark.usefixtures("hurried")
def test_a_trickling_answer_is_given_up_in_time(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"trickle": 0.3, "status": 202, "body": "x" * 1000, "apply": True}))
    run = worker_harness.run(ONE)
    assert run.back == [ONE]
    assert run.seconds < 60, "after two seconds and what this machine adds; the whole answer takes 300"
    measured(23, "slow response, timeout of 2 s", requests=1, seconds=round(run.seconds, 1))


@pytest.mark.usefixtures("hurried")
def test_no_answer_is_given_up_in_time(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"delay": 300}))
    run = worker_harness.run(ONE)
    assert run.back == [ONE]
    assert run.seconds < 60
    assert run.waits >= [60], "it may be applied still"
    measured(23, "no answer, timeout of 2 s", requests=1, seconds=round(run.seconds, 1))


def test_a_closed_port_is_no_unknown_outcome(worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMAZON_API_URL", "http://127.0.0.1:9")
    run = worker_harness.run(ONE)
    assert run.back == [ONE]
    assert run.waits <= [4]
    measured(23, "connection refused", requests=0, seconds=round(run.seconds, 1))


def test_nobody_is_told_anything_under_a_certificate_of_their_own(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with impostor(tmp_path) as (url, heard):
        monkeypatch.setenv("AMAZON_API_URL", url)
        run = worker_harness.run(ONE)
    assert (run.back, heard) == ([ONE], [])
    assert run.waits <= [4], "no unknown outcome either"
    measured(23, "self-signed certificate", bytes_sent=sum(map(len, heard)), seconds=round(run.seconds, 1))


def test_a_redirect_is_not_followed(worker_harness: WorkerHarness) -> None:
    elsewhere = f"{worker_harness.amazon.url}/somewhere-else"
    worker_harness.amazon.fail(upload_fails({"redirect": elsewhere}))
    assert worker_harness.run(ONE).back == [ONE]
    assert worker_harness.amazon.asked("/somewhere-else") == 0
    measured(24, "307 to another address", requests=worker_harness.amazon.asked(), followed=0)


# Row 25


@pytest.fixture
def amazon_clock(amazon: Served, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Amazon's time, which stands still unless the test moves it."""
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    clock = Clock(time.time())
    monkeypatch.setattr(amazon.app[SANDBOX], "clock", lambda: clock.now)
    return clock


def test_an_upload_that_is_applied_late_does_not_bring_back_who_has_left(
    worker_harness: WorkerHarness, amazon_clock: Clock
) -> None:
    worker_harness.amazon.fail(upload_fails({"apply_late": 60}, times=1))
    entered = body(change("cust_1", at=1))
    assert worker_harness.run(entered).waits >= [60]
    (waiting,) = worker_harness.receive()
    assert worker_harness.run(body(change("cust_1", at=2, exits=True))).back == []
    assert worker_harness.amazon.members() == set()
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the entry, applied after the exit"
    worker_harness.acknowledge([waiting], {"batchItemFailures": [{"itemIdentifier": waiting["messageId"]}]})
    assert worker_harness.run().back == []
    assert worker_harness.amazon.members() == set()
    measured(
        25,
        "entry applied after the exit",
        requests=worker_harness.amazon.asked(),
        sent=worker_harness.amazon.told("cust_1"),
    )


# Row 26; what the jobs report is the jobs function's to act on


def test_jobs_that_end_in_reverse_order_do_not_bring_back_who_has_left(
    worker_harness: WorkerHarness, amazon_clock: Clock
) -> None:
    worker_harness.cloud.enter("WorkerFunction", JOB_SECONDS="1")
    worker_harness.is_warm = True
    worker_harness.amazon.fail(upload_fails({"job": {"order": "reverse", "delay": 60}}, times=2))
    for message in (body(change("cust_1", at=1)), body(change("cust_1", at=2, exits=True))):
        assert worker_harness.run(message).back == []
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the entry's job has ended last"
    until(worker_harness.run, lambda _: worker_harness.amazon.members() == set())  # once the repetition is due
    told = worker_harness.amazon.told("cust_1")
    assert told == ["CREATE", "DELETE", "DELETE"]
    measured(26, "jobs end in reverse", requests=len(told), members_left=0)
