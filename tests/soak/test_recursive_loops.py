"""What waits for long goes round in messages that a function sends to its own queue, and Lambda counts the rounds."""

from collections.abc import Callable

import pytest

from tests.soak.checks import findings
from tests.soak.script import HOUR, MINUTE, Outage, Scenario, ScriptedSimulation, Sent


def slow_job() -> Scenario:
    """Tell of a member who leaves while the job of the enter takes thirty hours."""
    sent = (Sent(0.0, "enter", "a@example.com"), Sent(2 * HOUR, "exit"))
    return Scenario("slow-job", sent, lambda number: 30 * HOUR if number == 1 else 5 * MINUTE)


def long_outage() -> Scenario:
    """Tell of members who enter while Amazon does not answer for twelve hours.

    A message by itself takes sixteen hours for its rounds. Those of one batch all count as many as the oldest.
    """
    sent = tuple(Sent(user * MINUTE, "enter", f"{user}@example.com", f"user_{user}") for user in range(8))
    return Scenario("long-outage", sent, lambda _: 5 * MINUTE, outages=(Outage("uploads", 0.0, 12 * HOUR),))


def no_token() -> Scenario:
    """Tell of members who enter while no token can be had for a day, as in a stack that is not connected yet."""
    sent = tuple(
        Sent(2 * HOUR + user * MINUTE, "enter", f"{user}@example.com", f"user_{user}") for user in range(8)
    )  # by then the first token has expired
    return Scenario("no-token", sent, lambda _: 5 * MINUTE, outages=(Outage("checks", 0.0, 24 * HOUR),))


def run(scenario: Scenario, recursive_loop: str | None) -> tuple[set[str], set[str]]:
    """Return the functions of which invocations were refused, and the kinds of what does not hold."""
    simulation = ScriptedSimulation(scenario, recursive_loop=recursive_loop)
    simulation.run()
    return {*simulation.functions.dropped}, {finding.kind for finding in findings(simulation)}


@pytest.mark.parametrize(
    ("scenario", "function"),
    [
        pytest.param(slow_job, "JobsFunction", id="the end of the job is not seen"),
        pytest.param(long_outage, "WorkerFunction", id="the changes end in the dead letters as they are"),
        pytest.param(no_token, "WorkerFunction", id="so do those of a stack that is not connected"),
    ],
)
def test_a_forbidden_loop_is_stopped(scenario: Callable[[], Scenario], function: str) -> None:
    dropped, kinds = run(scenario(), "Terminate")
    assert function in dropped
    assert kinds & {"stale", "no reason"}


@pytest.mark.parametrize("scenario", [slow_job, long_outage, no_token])
def test_the_template_allows_our_loops(scenario: Callable[[], Scenario]) -> None:
    assert run(scenario(), None) == (set(), set())
