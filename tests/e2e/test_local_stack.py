"""`python -m local`: from a Segment request to a member at Amazon, and a clean end."""

import json
import signal

import requests

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.members.membership import Destination
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import local
from local.sample_profiles import Person
from tests.e2e.conftest import EXAMPLES, LocalStack, local_stack, processes, running
from tests.support.waiting import wait_until

JOB_DELAY = 0.2  # seconds, as in conftest.QUICK
IN, OUT = "01-track-entered-full-pii.json", "02-track-exited-full-pii.json"
MEMBER = json.loads((EXAMPLES / IN).read_text())["userId"]


def test_the_local_stack_prints_its_addresses_and_keys(stack: LocalStack) -> None:
    assert stack.where.keys() == {"api", "amazon", "aws", "status", "eventKey", "audienceKey", "signingSecret"}
    for name in ("api", "amazon", "aws", "status"):
        assert stack.where[name].startswith("http://127.0.0.1:")
    assert len({stack.where[name] for name in ("eventKey", "audienceKey", "signingSecret")}) == 3
    assert requests.get(stack.where["status"], timeout=60).status_code == 200
    assert requests.get(f"{stack.where['api']}/v1/health", timeout=60).json() == {"status": "ok"}


def test_the_command_uses_the_timing_of_the_local_functions(stack: LocalStack) -> None:
    """Else an erasure or the end of an audience is over, and reported as effective days later."""
    timings = Session(Screen(), lambda: local(stack.where["api"])).timings
    for destination in (Destination(), ads_data_manager()):
        assert timings.of(destination).effective_after == JOB_DELAY * 1.25 + 2
        assert timings.of(destination).longest_job == JOB_DELAY * 2 + 3


def test_a_person_who_returns_at_once_is_in_once_the_queue_is_empty(stack: LocalStack) -> None:
    person, before = Person(3), stack.wait_until_quiescent()
    for enters in (True, False, True):
        assert stack.post_change(person, enters=enters).json()["accepted"] == 1
        wait_until(stack.members, lambda members: (person.user_id in members) == enters)  # noqa: B023 - called at once
    after = stack.wait_until_quiescent()
    assert (after["queued"], after["inFlight"], after["accepted"]) == (0, 0, before["accepted"] + 3)
    assert after["delivered"] == before["delivered"] + 3
    assert person.user_id in stack.members()


def test_every_accepted_change_is_accounted_for_once_the_queue_is_empty(stack: LocalStack) -> None:
    before = stack.wait_until_quiescent()["accepted"]
    for _ in range(3):
        for name in (IN, OUT):
            stack.post_example(name)
    state = wait_until(stack.wait_until_quiescent, lambda state: state["accepted"] == before + 6)
    assert state["accepted"] == state["delivered"] + state["superseded"] + state["parked"]
    assert (state["queued"], state["inFlight"], state["quiescent"]) == (0, 0, True)
    assert MEMBER not in stack.members()


def test_a_signal_stops_the_local_stack_even_while_a_worker_waits_for_amazon() -> None:
    with local_stack("--no-status-page") as stack:
        assert "status" not in stack.where
        slow = [{"match": {"path": "/amc/audiences/records"}, "do": {"delay": 100}}]
        requests.put(f"{stack.where['amazon']}/sandbox/faults", json=slow, timeout=60).raise_for_status()
        stack.post_example(IN)
        wait_until(
            lambda: requests.get(f"{stack.where['amazon']}/sandbox/requests", timeout=60).text,
            lambda text: MEMBER in text,
        )
        children = processes(stack.process.pid)
        assert len(children) >= 3  # ingest, worker, refresh

        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(50) == 0, "within half the time that Amazon takes to answer"
        assert stack.process.stdout is not None
        assert stack.process.stdout.read() == ""  # only the one line
        wait_until(lambda: running(children), lambda left: not left, seconds=10)
