"""The whole pipeline as a user starts it: `python -m local`, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from local.example_audiences import EXAMPLE
from local.sample_profiles import Person, audience_event
from tests.e2e import chromium
from tests.e2e.chromium import Browser
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "events" / "segment"
QUICK = ("--port", "0", "--amazon-port", "0", "--batch-window", "0.2", "--job-delay", "0.2")


@dataclass
class LocalStack:
    """A running stack, and the addresses and keys that it printed."""

    process: subprocess.Popen[str]
    where: dict[str, str]

    def post(self, body: bytes) -> requests.Response:
        headers = {"authorization": f"Bearer {self.where['eventKey']}", "content-type": "application/json"}
        return requests.post(f"{self.where['api']}/v1/events", data=body, headers=headers, timeout=60)

    def post_example(self, name: str) -> requests.Response:
        return self.post((EXAMPLES / name).read_bytes())

    def post_change(self, person: Person, *, enters: bool) -> requests.Response:
        """What Segment sends when this person enters or exits the example's audience at this moment."""
        audience = {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
        return self.post(json.dumps(audience_event(person, enters=enters, at=datetime.now(UTC), **audience)).encode())

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = requests.get(f"{self.where['api']}/local/state", timeout=60).json()
        return state

    def members(self) -> dict[str, Any]:
        url = f"{self.where['amazon']}/sandbox/audiences/{EXAMPLE.audience_id}"
        members: dict[str, Any] = requests.get(url, timeout=60).json()["members"]
        return members

    def wait_until_quiescent(self) -> dict[str, Any]:
        """Wait until no message waits and every accepted change has an outcome; return the state then."""
        return wait_until(
            self.state,
            lambda state: (
                state["quiescent"] and state["accepted"] == state["delivered"] + state["superseded"] + state["parked"]
            ),
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits, so that others run beside it: the slow transcripts, then all tests of this folder."""
    items.sort(key=lambda item: ROOT / "tests" / "e2e" not in item.path.parents)
    items.sort(key=lambda item: not ({"transcript", "slow"} <= {mark.name for mark in item.iter_markers()}))


@contextmanager
def local_stack(*arguments: str) -> Iterator[LocalStack]:
    """Start a stack, wait until it is ready, and stop it at the end."""
    command = [sys.executable, "-m", "local", *QUICK, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield LocalStack(process, json.loads(process.stdout.readline()))
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def processes(of: int) -> set[int]:
    """The processes that `of` has started, and theirs, as far as they run."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent, stat in map(str.split, listing.splitlines()) if stat[0] != "Z"}
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {of}} - found:
        found |= more
    return found


def running(pids: set[int]) -> set[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return pids & {int(pid) for pid, stat in map(str.split, listing.splitlines()) if stat[0] != "Z"}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local_stack() as started:
        yield started


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.browser(tmp_path_factory.mktemp("browser") / "profile") as started:
        yield started
