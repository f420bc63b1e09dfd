"""Rehearses the faults of docs/sandbox.md for which changes wait, on a simulated clock: they follow in its seconds."""

import json
import re

import pytest
import requests

from tests.soak.amazon import Answer
from tests.soak.calls import Call
from tests.soak.clock import EPOCH
from tests.soak.script import Scenario, ScriptedSimulation, Sent
from tests.support.cloud import ROOT

WINDOW = 11.0  # seconds; of the stack here, where that of a local stack is one
REFUSED, EXPIRED = Answer(400, b'{"error": "invalid_grant"}'), Answer(401)
ANSWERS: dict[str, tuple[Answer | None, Answer | None]] = {  # of the login, and of the API; None: the usual one
    "revoked": (REFUSED, EXPIRED),
    "login-down": (Answer(503), EXPIRED),
    "throttled": (None, Answer(429, b"{}", (("Retry-After", "30"),))),
    "outage": (None, Answer(503)),
    "no-answer": (None, None),
}


def seconds_after(fault: str, ends: float) -> float:
    """Return the seconds from the end of a fault until Amazon accepts changes that came in before."""
    sent = tuple(Sent(at, "enter", f"{at}@example.com", f"user_{at:.0f}") for at in (0.0, 20.0, 200.0, ends - 5))
    simulation = ScriptedSimulation(Scenario(fault, sent, lambda _: 60.0), recursive_loop="Allow")
    amazon, usual, answers, end = simulation.amazon, simulation.amazon.answer, ANSWERS[fault], EPOCH + ends

    def answer(request: requests.PreparedRequest) -> Answer:
        chosen = answers[0 if str(request.url).endswith("/token") else 1]
        return chosen if chosen and simulation.clock.now < end else usual(request)

    def connect() -> None:
        amazon.received.clear()
        if fault == "revoked":
            simulation.stack.secrets["TokenSecret"] = json.dumps({"accessToken": "", "expiresAt": 0})
            simulation.functions.invoke("RefreshFunction", {})

    def ending(call: Call) -> str:
        is_lost = fault == "no-answer" and call.target == "upload" and simulation.clock.now < end
        return "lost" if is_lost else usual_ending(call)

    usual_ending = simulation.faults.ending
    amazon.answer, simulation.faults.ending = answer, ending  # type: ignore[method-assign]
    simulation.schedule.at(end, connect)
    simulation.run()
    assert len(amazon.received) == len(sent)
    return max(min(times) for times in amazon.received.values()) - end


@pytest.mark.parametrize("fault", ANSWERS)
def test_changes_follow_the_end_of_a_fault_within_the_seconds_of_its_table(fault: str) -> None:
    (row,) = re.findall(rf"(?m)^\| `{fault}` .*$", (ROOT / "docs/sandbox.md").read_text())
    (within,) = map(float, re.findall(r"within (\d+) seconds", row) or ["0"])
    waits = [seconds_after(fault, float(ends)) for ends in (601, 604, 608, 612, 616, 660)]
    assert within * 0.6 <= max(waits) <= within + WINDOW
