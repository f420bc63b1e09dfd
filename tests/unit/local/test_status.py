import asyncio
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from audience_sync_cli.dashboard.page import build_page, content_security_policy
from local.counters import Counters
from local.sample_profiles import Person, audience_event
from local.stack import EXAMPLE, Options, Stack
from local.template import ROOT
from tests.waiting import wait_until

SOURCE = build_page()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = Stack(Options(port=0, amazon_port=0, batch_window=0.1, job_delay=0.1))
    running = stack.running()
    asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(300)
    try:
        yield stack
    finally:
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(300)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


def numbers(stack: Stack) -> dict[str, Any]:
    answer = requests.get(stack.urls["status"], headers={"Accept": "application/json"}, timeout=60)
    assert answer.headers["Content-Type"].startswith("application/json")
    shown: dict[str, Any] = answer.json()
    return shown


def example(name: str) -> bytes:
    return (ROOT / "events" / "segment" / name).read_bytes()


def send(stack: Stack, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {stack.event_key}", "Content-Type": "application/json"}
    requests.post(f"{stack.urls['api']}/v1/events", data=body, headers=headers, timeout=60)


def settled(stack: Stack, before: dict[str, Any], *, accepted: int, rejected: int = 0) -> dict[str, Any]:
    """Wait until so many more changes are accepted, every change has ended, and so many more events are rejected."""

    def is_settled(shown: dict[str, Any]) -> bool:
        state = shown["state"]
        counted = (state["accepted"] - before["accepted"], state["rejected"] - before["rejected"])
        # A function's counts are known here a little after its answer.
        return bool(counted == (accepted, rejected) and state["quiescent"] and not state["waiting"])

    return wait_until(lambda: numbers(stack), is_settled)


def test_a_browser_gets_the_page_under_a_policy_that_allows_nothing_but_its_own_parts(stack: Stack) -> None:
    answer = requests.get(stack.urls["status"], headers={"Accept": "text/html,*/*;q=0.8"}, timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert policy.startswith("default-src 'none'; ")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy


def test_a_change_of_the_script_changes_the_policy() -> None:
    edited = SOURCE.replace('"use strict";', '"use strict"; alert(1);')
    assert content_security_policy(edited) != content_security_policy(SOURCE)


def test_an_event_that_went_through_is_counted_at_every_step(stack: Stack) -> None:
    before = numbers(stack)
    about = {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    send(stack, json.dumps(audience_event(Person(1), enters=True, at=datetime.now(UTC), **about)).encode())
    send(stack, example("07-track-missing-userid.json"))
    shown = settled(stack, before["state"], accepted=1, rejected=1)
    assert shown["state"]["waiting"] == 0, "accepted is what was delivered, superseded and parked"
    more = {name: shown["state"][name] - before["state"][name] for name in ("delivered", "rejected", "deadLetters")}
    assert more == {"delivered": 1, "rejected": 1, "deadLetters": 0}
    assert shown["rejections"] == [{"reason": "member_id_missing", "times": 1}]
    assert shown["counts"]["EventsAccepted"] - before["counts"].get("EventsAccepted", 0) == 1
    audience = shown["amazon"]["audiences"][0]
    assert (audience["name"], audience["id"], audience["size"]) == ("Lapsed premium buyers", "418273650912345678", 1)
    upload = next(each for each in shown["amazon"]["requests"] if each["path"] == "/amc/audiences/records")
    assert (upload["status"], upload["audienceId"], upload["records"]) == (202, audience["id"], 1)
    assert any(line["text"].startswith("event rejected reason=member_id_missing") for line in shown["log"])


def test_a_refused_change_lies_in_the_dead_letters_with_its_reason(stack: Stack) -> None:
    rule = {"match": {"path": "/amc/audiences/records", "contains": "cust_48121"}, "do": {"status": 400}}
    faults = f"{stack.urls['amazon']}/sandbox/faults"
    before = numbers(stack)["state"]
    requests.put(faults, json=[rule], timeout=60)
    send(stack, example("02-track-exited-full-pii.json"))
    shown = settled(stack, before, accepted=1)
    requests.delete(faults, timeout=60)
    assert [shown["state"][name] - before[name] for name in ("parked", "deadLetters")] == [1, 1]
    assert shown["deadLetters"][0]["reason"] == "request_rejected"
    assert shown["amazon"]["requests"][0]["status"] == 400


def test_no_secret_is_in_the_page_or_in_the_numbers(stack: Stack) -> None:
    page = requests.get(stack.urls["status"], timeout=60).text
    for secret in (stack.event_key, stack.audience_key, stack.signing_secret):
        assert secret not in page
        assert secret not in json.dumps(numbers(stack))


def test_the_event_key_is_revealed_on_request_alone(stack: Stack) -> None:
    answer = requests.get(stack.urls["status"], params={"reveal": "eventKey"}, timeout=60)
    assert answer.json() == {"eventKey": stack.event_key}


def test_every_example_that_is_offered_exists(stack: Stack) -> None:
    offered = [each["file"] for each in numbers(stack)["examples"]]
    assert "events/segment/01-track-entered-full-pii.json" in offered
    assert all((ROOT / file).is_file() for file in offered)
    assert not any("webhook-audiences" in file for file in offered)


def test_a_log_line_stays_text_whatever_it_looks_like(stack: Stack) -> None:
    stack.counters.add("IngestFunction", "<script>alert(1)</script>")
    newest = numbers(stack)["log"][0]
    assert (newest["function"], newest["text"]) == ("ingest", "<script>alert(1)</script>")


@pytest.mark.parametrize(
    "door", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "Function("]
)
def test_the_page_has_no_door_through_which_a_value_could_become_markup(door: str) -> None:
    assert door not in SOURCE


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert not re.search(r"https?://|@import|url\(|\bsrc=", SOURCE)
    assert re.findall(r'href="([^"]*)"', SOURCE) == ["data:,"]
    assert not re.search(r'\s(style|on\w+)="', SOURCE)  # the policy would refuse them


def metric(second: int, **values: int) -> str:
    names = [{"Name": name, "Unit": "Count"} for name in values]
    about = {"Timestamp": second * 1000 + 250, "CloudWatchMetrics": [{"Dimensions": [["service"]], "Metrics": names}]}
    return json.dumps({"_aws": about, **{name: [value] for name, value in values.items()}})


def test_the_history_counts_by_second() -> None:
    counters = Counters()
    counters.add("IngestFunction", metric(1000, EventsAccepted=3, EventsIgnored=1))
    counters.add("IngestFunction", metric(1000, EventsAccepted=2))
    counters.add("IngestFunction", metric(1002, EventsAccepted=7))
    assert counters.history(("EventsAccepted", "EventsIgnored"), until=1003, seconds=4) == [0, 6, 0, 7]
    assert counters.totals["EventsAccepted"] == 12


def test_the_history_forgets_what_is_long_ago() -> None:
    counters = Counters()
    for second in range(1000, 3000):
        counters.add("IngestFunction", metric(second, EventsAccepted=1))
    assert sum(counters.history(("EventsAccepted",), until=3000, seconds=2000)) == 600


def test_reasons_are_added_up_by_function() -> None:
    counters = Counters()
    counters.add("IngestFunction", json.dumps({"message": "events rejected", "by_reason": {"consent_missing": 2}}))
    counters.add("IngestFunction", json.dumps({"message": "events rejected", "by_reason": {"consent_missing": 1}}))
    counters.add("WorkerFunction", json.dumps({"message": "not everything delivered", "by_reason": {"no_access": 1}}))
    assert counters.reasons == {"IngestFunction": {"consent_missing": 3}, "WorkerFunction": {"no_access": 1}}


@pytest.mark.parametrize("line", ['{"by_reason": 1}', '{"by_reason": {"a": "b"}}', '{"by_reason"', '{"_aws": 1}', "["])
def test_a_line_of_another_shape_is_a_line_like_any_other(line: str) -> None:
    counters = Counters()
    counters.add("IngestFunction", line)
    assert (list(counters.lines), counters.line_count) == ([("IngestFunction", line)], 1)
