"""`python -m local.demo` succeeds only when the audience at Amazon is right."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from aiohttp import ClientSession, web
from rich.console import Console

from audience_sync.amazon_ads.destination import Api
from local.demo import demonstrate, differences
from local.example_audiences import EXAMPLE
from local.sample_profiles import Person
from tests.e2e.conftest import ROOT, LocalStack, processes, running
from tests.support.servers import serve
from tests.support.waiting import wait_until

Change = Callable[[dict[str, Any]], object]
ENTER, LEAVE = 30, 10  # members
LAST = Person(ENTER).user_id


def test_the_demo_succeeds_and_shows_its_figures() -> None:
    command = [sys.executable, "-m", "local.demo", "--enter", "300", "--exit", "60"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    shown = " ".join(run.stdout.replace("│", " ").split())
    for words in (
        "events accepted 360",
        "changes delivered 300",
        "changes superseded 60",
        "changes parked 0",
        "audience size (expected) 240 (240)",
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


class FalsifyingProxy:
    """A proxy before Amazon's sandbox that changes the members of an audience in its answers."""

    def __init__(self, amazon: str) -> None:
        self._amazon = amazon
        self.change: Change = lambda _: None

    def build(self) -> web.Application:
        async def answer(request: web.Request) -> web.Response:
            async with ClientSession() as session, session.get(self._amazon + request.path) as response:
                audience = await response.json()
            self.change(audience["members"])
            return web.json_response(audience | {"size": len(audience["members"])})

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return app


@pytest.fixture(scope="module")
def where(stack: LocalStack) -> dict[str, str]:
    """The addresses of the stack, once all members have entered and some have left."""
    assert demonstrate(stack.where, enter=ENTER, leave=LEAVE, console=Console(file=io.StringIO())) == 0
    return stack.where


@pytest.fixture
def falsified(where: dict[str, str]) -> Iterator[tuple[FalsifyingProxy, dict[str, str]]]:
    """A proxy that changes nothing yet, and the addresses with the proxy in place of Amazon."""
    proxy = FalsifyingProxy(where["amazon"])
    with serve(proxy.build) as served:
        yield proxy, where | {"amazon": served.url}


def test_the_demo_fails_if_a_member_is_missing(falsified: tuple[FalsifyingProxy, dict[str, str]]) -> None:
    proxy, where = falsified
    proxy.change = lambda members: members.pop(LAST)
    console = Console(file=io.StringIO(), width=120)
    assert demonstrate(where, enter=ENTER, leave=LEAVE, console=console) == 1
    assert f"1 members are missing at Amazon, for example {LAST}" in console.file.getvalue()  # type: ignore[attr-defined]
    proxy.change = lambda _: None
    assert demonstrate(where, enter=ENTER, leave=LEAVE, console=console) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda members: members.pop(LAST), "1 members are missing", id="missing"),
        pytest.param(lambda members: members.update(x={}), "1 members should not be at Amazon", id="surplus"),
        pytest.param(lambda members: members[LAST].update(identifiers={}), "another e-mail digest", id="no digest"),
        pytest.param(lambda members: members.clear(), "20 members are missing", id="empty"),
    ],
)
def test_the_demo_names_each_difference(where: dict[str, str], change: Change, problem: str) -> None:
    url = f"{where['amazon']}/sandbox/audiences/{EXAMPLE.audience_id}"
    members = requests.get(url, timeout=60).json()["members"]
    change(members)
    (found,) = differences(members, [Person(number) for number in range(LEAVE + 1, ENTER + 1)])
    assert problem in found


def test_on_ads_data_manager_members_leave_the_dataset_with_their_consent(
    stack: LocalStack,
) -> None:
    console = Console(file=io.StringIO(), width=120)
    assert demonstrate(stack.where, enter=ENTER, leave=LEAVE, console=console, api=Api.DATA_MANAGER) == 0
    shown = " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined]
    for words in ("audience size (expected) 20 (20)", "shared with ENTITY2XYZ 20", "shared with amc1a2b 20"):
        assert words in shown
    assert requests.get(f"{stack.where['amazon']}/sandbox/violations", timeout=60).json() == []
    facts = requests.get(stack.where["status"], headers={"Accept": "application/json"}, timeout=60).json()
    sizes = {each["audienceId"]: each["size"] for each in facts["audiences"]}
    (dataset,) = sizes.keys() & {each["audienceId"] for each in facts["uploads"]} - {EXAMPLE.audience_id}
    assert sizes[dataset] == 20
