"""`send --wait` against the whole local stack: an event is followed to Amazon, or to where it got stuck."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import requests

from local.example_audiences import EXAMPLE
from tests.e2e.conftest import ROOT, LocalStack
from tests.support.json_schema import SCHEMA, faults

SAMPLE = ("send", "--sample", "track", "--audience", EXAMPLE.audience_id, "--wait", "--json")


def run(stack: LocalStack, *arguments: str) -> tuple[int, Any]:
    """Run the command; return its exit code and its document."""
    done = subprocess.run(
        [sys.executable, "-m", "audience_sync_cli", *arguments, "--local", stack.where["api"]],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    name = next(name for name in sorted(SCHEMA["commands"], reverse=True) if " ".join(arguments).startswith(name))
    assert faults(name, document) == []
    return done.returncode, document


def places(document: Any) -> list[str]:
    return [hop["place"] for hop in document["hops"]]


@pytest.mark.slow
def test_enter_and_exit_of_the_sample_are_followed_to_the_end(stack: LocalStack) -> None:
    for options, size in ((), 1), (("--exit",), 0):
        code, document = run(stack, *SAMPLE, *options)
        assert (code, [end["ending"] for end in document["ends"]]) == (0, ["done"])
        assert places(document) == ["answer", "queue", "table", "upload", "job"]
        assert document["hops"][-1]["received"] == size
    stack.wait_until_quiescent()


@pytest.mark.slow
def test_in_an_outage_send_prints_what_the_change_waits_for(stack: LocalStack) -> None:
    faults = f"{stack.where['amazon']}/sandbox/faults"
    rule = {"match": {"path": "/amc/audiences/records"}, "do": {"status": 503}}
    requests.put(faults, json=[rule], timeout=60).raise_for_status()
    try:
        code, document = run(stack, *SAMPLE, "--timeout", "12")
    finally:
        requests.delete(faults, timeout=60).raise_for_status()
    assert (code, [end["ending"] for end in document["ends"]]) == (5, ["timeout"])
    assert {blocker["reason"] for blocker in document["blockers"]} & {"service_unavailable", "circuit_open"}
    stack.wait_until_quiescent()


@pytest.mark.slow
def test_a_round_trip_enters_and_exits_the_audience_and_erases_the_member(stack: LocalStack) -> None:
    code, found = run(stack, "send", "--round-trip", EXAMPLE.audience_id, "--json")
    assert code == 0
    assert places(found["entered"]) == places(found["left"]) == ["answer", "queue", "table", "upload", "job"]
    assert found["entered"]["hops"][-1]["received"] - found["left"]["hops"][-1]["received"] == 1
    stack.wait_until_quiescent()
    (shown,) = run(stack, "member", "show", found["member"], "--json")[1]["audiences"]
    assert (shown["row"]["active"], shown["row"]["toRemove"]) == ([], []), "the hashes are gone"
