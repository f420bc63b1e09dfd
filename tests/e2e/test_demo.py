"""`python -m local.demo` succeeds only when the audience at Amazon is right."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import requests
from rich.console import Console

from audience_sync.amazon_ads.destination import Api
from local.demo import run
from local.demo_report import Outcome, report
from local.example_audiences import EXAMPLE
from local.hard_cases import LATE
from local.sample_profiles import Person
from tests.e2e.conftest import ROOT, LocalStack, local_stack, processes, running
from tests.support.waiting import wait_until

Change = Callable[[dict[str, Any], dict[str, Any]], object]
ENTER, LEAVE = 30, 10  # members
LAST = Person(ENTER).user_id


def test_the_demo_succeeds_and_shows_its_figures() -> None:
    command = [sys.executable, "-m", "local.demo", "--enter", "300", "--exit", "60"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    shown = " ".join(run.stdout.replace("│", " ").split())
    for words in (
        "events accepted 367",
        "changes parked 0",
        "audience size (expected) 240 (240)",
        "within seconds of entering 0 of 7 7 of 7",
        "before a late copy of the enter 0 of 7 7 of 7",
        "while a worker was killed 0 of 7 7 of 7",
        "by a deletion notice 0 of 1 1 of 1",
        "exactly the members",
    ):
        assert words in shown


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepted(port: int) -> int:
    """How many changes the stack on this port has accepted, none as long as it does not answer."""
    with contextlib.suppress(requests.RequestException):
        count: int = requests.get(f"http://127.0.0.1:{port}/local/state", timeout=60).json()["accepted"]
        return count
    return 0


def ends(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal. Like a person, more than once: Python loses an interrupt that comes while it frees objects."""
    process.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    return process.poll() is not None


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts what it runs in the background with interrupts ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_the_stack_stops_with_the_demo(number: signal.Signals) -> None:
    port, amazon_port = free_port(), free_port()
    ports = ["--port", str(port), "--amazon-port", str(amazon_port)]
    command = [sys.executable, "-m", "local.demo", "--enter", "3", "--exit", "1", "--keep", *ports]
    started: set[int] = set()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
        try:
            wait_until(lambda: accepted(port), lambda count: count == 4)
            assert requests.get(f"http://127.0.0.1:{amazon_port}/sandbox/requests", timeout=60).ok
            started = processes(demo.pid)
            assert len(started) > 1  # the stack, and its functions
            wait_until(lambda: ends(demo, number), bool)
            wait_until(lambda: running(started), lambda left: not left)
        finally:  # whatever has failed: left alone, it would run, and be waited for, without end
            for pid in running({demo.pid, *started}):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local_stack("--job-delay", "0") as started:  # as the demo starts it
        yield started


@pytest.fixture(scope="module")
def outcome(stack: LocalStack) -> Outcome:
    """What a small run has led to."""
    return run(stack.where, enter=ENTER, leave=LEAVE, console=Console(file=io.StringIO()))


def reported(outcome: Outcome) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    return report(outcome, console), console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(
            lambda held, _: held.pop(LAST), f"1 members are missing at Amazon, for example {LAST}", id="missing"
        ),
        pytest.param(lambda held, _: held.update(x={}), "1 members should not be at Amazon", id="surplus"),
        pytest.param(
            lambda held, _: held[LAST].update(identifiers={}), "1 members have a wrong e-mail", id="no digest"
        ),
        pytest.param(lambda held, _: held.clear(), "20 members are missing", id="empty"),
        pytest.param(lambda held, naive: held.update(naive), f"1 of 1 who left {LATE} are still in", id="left behind"),
        pytest.param(lambda _, naive: naive.clear(), "are still in, and 0 of 1 with the naive", id="not hard"),
    ],
)
def test_the_demo_fails_and_names_what_is_wrong(outcome: Outcome, change: Change, problem: str) -> None:
    assert reported(outcome)[0] == 0, reported(outcome)[1]
    falsified = deepcopy(outcome)
    change(falsified.held["members"], falsified.naive["members"])
    exit_code, shown = reported(falsified)
    assert exit_code == 1
    assert problem in shown


def test_on_ads_data_manager_members_leave_the_dataset_with_their_consent(
    stack: LocalStack,
) -> None:
    console = Console(file=io.StringIO(), width=120)
    assert report(run(stack.where, enter=ENTER, leave=LEAVE, console=console, api=Api.DATA_MANAGER), console) == 0
    shown = " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined]
    for words in ("audience size (expected) 20 (20)", "shared with ENTITY2XYZ 20", "shared with amc1a2b 20"):
        assert words in shown
    facts = requests.get(stack.where["status"], headers={"Accept": "application/json"}, timeout=60).json()
    sizes = {each["audienceId"]: each["size"] for each in facts["audiences"]}
    (dataset,) = sizes.keys() & {each["audienceId"] for each in facts["uploads"]} - {EXAMPLE.audience_id}
    assert sizes[dataset] == 20
    violations = requests.get(f"{stack.where['amazon']}/sandbox/violations", timeout=60).json()
    assert [each for each in violations if each.get("audienceId") == dataset] == []
