import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from audience_sync_cli.dashboard.page import build_page
from local import faults as fault_command
from local.demo_traffic import REPEATED
from local.example_audiences import EXAMPLE
from local.resources import client
from local.sample_profiles import Person, audience_event
from local.stack import Stack, StackOptions
from local.template import ROOT
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = Stack(StackOptions(port=0, amazon_port=0, batch_window=0.1, job_delay=0.1, event_queue=True))
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


def state(stack: Stack) -> dict[str, Any]:
    """Return what the functions have counted at this moment."""
    counted: dict[str, Any] = requests.get(f"{stack.urls['api']}/local/state", timeout=60).json()
    return counted


def example(name: str) -> bytes:
    return (ROOT / "events" / "segment" / name).read_bytes()


def send(stack: Stack, body: bytes) -> None:
    """Send as Segment does, which repeats what a busy machine has no time for."""
    headers = {"Authorization": f"Bearer {stack.event_key}", "Content-Type": "application/json"}
    url = f"{stack.urls['api']}/v1/events"
    wait_until(
        lambda: requests.post(url, data=body, headers=headers, timeout=60).status_code,
        lambda status: status not in REPEATED,
    )


def entering(person: Person) -> bytes:
    """What Segment sends when this person enters the example's audience at this moment."""
    about = {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    return json.dumps(audience_event(person, enters=True, at=datetime.now(UTC), **about)).encode()


def press(stack: Stack, button: str, **body: str) -> dict[str, Any]:
    """Do what the script of the page does when a button is pressed."""
    answer = requests.post(
        f"{stack.urls['status']}/{button}", json=body, headers={"Origin": stack.urls["api"]}, timeout=60
    )
    assert answer.status_code == 200
    done: dict[str, Any] = answer.json()
    return done


def settled(stack: Stack, before: dict[str, Any], *, accepted: int, rejected: int = 0) -> dict[str, Any]:
    """Wait until so many more changes are accepted, every change has ended, and so many more events are rejected."""

    def is_settled(shown: dict[str, Any]) -> bool:
        counts = shown["counts"]
        new = (counts["accepted"] - before["accepted"], counts["eventsRejected"] - before["rejected"])
        return bool(new == (accepted, rejected) and state(stack)["quiescent"] and not counts["waiting"])

    return wait_until(lambda: numbers(stack), is_settled)


def shows(stack: Stack, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until the page shows something: its parts are read one after the other."""
    return wait_until(lambda: numbers(stack), lambda shown: bool(holds(shown)))


def test_the_page_has_a_content_security_policy_for_its_own_parts_only(stack: Stack) -> None:
    answer = requests.get(stack.urls["status"], headers={"Accept": "text/html,*/*;q=0.8"}, timeout=60)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert policy.startswith("default-src 'none'; ")


def test_a_delivered_event_is_counted_at_every_step(stack: Stack) -> None:
    before = state(stack)
    send(stack, entering(Person(9001)))
    send(stack, example("07-track-missing-userid.json"))
    shown = settled(stack, before, accepted=1, rejected=1)
    assert shown["counts"]["waiting"] == 0, "accepted is what was delivered, superseded and parked"
    more = {name: shown["counts"][name] - before[name] for name in ("delivered", "eventsAccepted")}
    assert more == {"delivered": 1, "eventsAccepted": 1}
    shows(stack, lambda facts: "member_id_missing" in [each["reason"] for each in facts["rejected"]])
    shown = shows(stack, lambda facts: facts["uploads"] and any(each["size"] for each in facts["audiences"]))
    audience = shown["audiences"][0]
    assert (audience["audienceId"], audience["name"]) == (EXAMPLE.audience_id, EXAMPLE.name)
    assert 0 <= audience["matchRate"] <= 100
    newest = shown["uploads"][0]  # perhaps of the test before: the log line may still be on its way
    assert (newest["audienceId"], newest["records"] > 0) == (EXAMPLE.audience_id, True)
    shows(stack, lambda facts: sum(facts["activity"]["arrived"]) >= 2 and sum(facts["activity"]["completed"]) >= 1)


def test_a_message_that_the_event_queue_cannot_use_is_shown_among_its_dead_letters(stack: Stack) -> None:
    stack._queues.send(stack.announcement()["eventQueue"], "{")
    wait_until(lambda: numbers(stack)["eventQueue"], lambda shown: shown == {"messages": 0, "deadLetters": 1})


def test_a_button_sends_sample_members(stack: Stack) -> None:
    before = state(stack)
    done = press(stack, "samples")
    assert done == {"status": 200, "answer": {"accepted": 580}}
    settled(stack, before, accepted=580)
    held = requests.get(f"{stack.urls['amazon']}/sandbox/audiences/{EXAMPLE.audience_id}", timeout=60).json()["size"]
    audience = shows(stack, lambda facts: facts["audiences"][0]["size"] == held)["audiences"][0]
    assert 420 <= held == audience["sizes"][-1][1]
    assert 60 < audience["matchRate"] < 80  # the sandbox matches 70 of 100 members


def test_a_fault_has_a_button_and_a_command(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def active(recipes: list[dict[str, Any]]) -> list[str]:
        return [each["name"] for each in recipes if each["active"]]

    def printed(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["faults", *arguments])
        fault_command.main()
        return capsys.readouterr().out

    def run() -> list[str]:
        return [line.split()[1] for line in printed().splitlines() if line.startswith("on ")]

    monkeypatch.setenv("AUDIENCE_SYNC_LOCAL", stack.urls["api"])
    assert active(press(stack, "faults", recipe="denied")["faults"]) == ["denied"]
    assert active(numbers(stack)["faults"]) == run() == ["denied"]
    assert printed("job-failed") == "job-failed is on: every job fails. Runbook: Findings.\n"
    assert active(numbers(stack)["faults"]) == run() == ["job-failed"]
    with pytest.raises(SystemExit, match="no such recipe; there are revoked, "):
        printed("deniet")
    assert printed("off") == "No fault is on.\n"
    assert active(numbers(stack)["faults"]) == run() == []


def test_only_the_local_page_has_faults(stack: Stack) -> None:
    page = requests.get(stack.urls["status"], headers={"Accept": "text/html"}, timeout=60).text
    assert 'id="faults"' in page
    assert "fault-buttons" not in build_page()


def test_a_button_sends_an_example_event_and_shows_the_answer(stack: Stack) -> None:
    done = press(stack, "send", file="events/segment/07-track-missing-userid.json")
    assert done["status"] == 400
    assert done["answer"]["rejections"][0]["reason"] == "member_id_missing"


@pytest.mark.parametrize("file", ["", "README.md", "../secret", "events/segment/16-webhook-audiences-create-body.json"])
def test_the_example_button_sends_no_other_file(stack: Stack, file: str) -> None:
    assert press(stack, "send", file=file)["status"] == 0


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("api", "/local/state"),
        ("api", "/status"),
        ("api", "/status/redrive"),
        ("api", "/local/lambda/2015-03-31/functions/RenewFunction/invocations"),
        ("amazon", "/sandbox/requests"),
        ("amazon", "/sandbox/reset"),
        ("aws", "/"),
    ],
)
@pytest.mark.parametrize("foreign", [{"Host": "rebound.example"}, {"Origin": "https://elsewhere.example"}])
def test_pages_of_other_sites_reach_no_server_of_the_stack(
    stack: Stack, server: str, path: str, foreign: dict[str, str]
) -> None:
    headers = {"Content-Type": "text/plain"} | foreign
    for method in ("GET", "POST"):
        answer = requests.request(method, stack.urls[server] + path, data="{}", headers=headers, timeout=60)
        assert answer.status_code == 403


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_a_button_with_broken_json_is_a_bad_request(stack: Stack, body: bytes) -> None:
    headers = {"Origin": stack.urls["api"], "Content-Type": "application/json"}
    answer = requests.post(f"{stack.urls['status']}/find", data=body, headers=headers, timeout=60)
    assert answer.status_code == 400


def test_no_secret_is_in_the_page_or_in_the_numbers(stack: Stack) -> None:
    page = requests.get(stack.urls["status"], timeout=60).text
    for secret in (stack.event_key, stack.audience_key, stack.signing_secret):
        assert secret not in page
        assert secret not in json.dumps(numbers(stack))


def test_a_first_tail_does_not_begin_with_a_warning_about_the_consent(stack: Stack) -> None:
    names = requests.get(f"{stack.urls['api']}/local/resources", timeout=60).json()["names"]
    secret = client("secretsmanager", stack.urls["aws"]).get_secret_value(SecretId=names["CredentialsSecret"])
    assert json.loads(secret["SecretString"])["authorizedAt"] > 1_700_000_000, "as after connect, in epoch seconds"


def test_after_a_rotation_the_page_shows_and_uses_the_new_key(stack: Stack) -> None:
    manager = client("secretsmanager", stack.urls["aws"])
    names = requests.get(f"{stack.urls['api']}/local/resources", timeout=60).json()["names"]
    secret = names["IngestSecret"]
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    rotated = json.dumps(json.loads(before) | {"eventKey": "a-new-event-key-of-good-length", "previousEventKey": ""})
    manager.put_secret_value(SecretId=secret, SecretString=rotated)
    try:
        answer = requests.get(stack.urls["status"], params={"reveal": "eventKey"}, timeout=60)
        assert answer.json() == {"eventKey": "a-new-event-key-of-good-length"}
    finally:
        manager.put_secret_value(SecretId=secret, SecretString=before)


def test_every_offered_example_exists(stack: Stack) -> None:
    offered = [each["file"] for each in numbers(stack)["examples"]]
    assert "events/segment/01-track-entered-full-pii.json" in offered
    assert all((ROOT / file).is_file() for file in offered)
    assert not any("webhook-audiences" in file for file in offered)


def test_a_log_line_with_markup_stays_text(stack: Stack) -> None:
    text = "<script>alert(1)</script>"
    stack._on_log_line("IngestFunction", json.dumps({"level": "WARNING", "message": text}))
    newest = shows(stack, lambda facts: text in [each["text"] for each in facts["log"]])["log"][0]
    assert newest["function"] == "ingest"
