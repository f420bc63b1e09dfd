"""The tests detect bugs: each of these makes one of them fail."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase

from audience_sync.credentials import Keyring
from tests.model.bug_injection import Outcome, injected
from tests.model.seeded_bugs import BUGS, MODEL, Bug
from tests.model.simulation import SequentialExecutor
from tests.model.test_protocol import search

ROOT = Path(__file__).parents[2]
EXAMPLES = 1000  # at most; the search finds each of these bugs within some 250


def by_name(bugs: list[Bug]) -> list[object]:
    return [pytest.param(bug, id=bug.name) for bug in bugs]


@pytest.mark.parametrize("bug", by_name([bug for bug in BUGS.values() if bug.detected_by == MODEL]))
def test_the_state_machine_finds(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.aws.membership_table.ThreadPoolExecutor", SequentialExecutor)
    with injected(bug), pytest.raises(Exception):  # noqa: B017, PT011 - any promise may break first
        search(EXAMPLES, phases=[Phase.generate])


class Detectors:
    """A pytest that has collected the tests that detect bugs. Its start takes longer than most of them: one for all.

    A process of its own keeps the bugs, and the AWS of those tests, away from whatever else runs in this one.
    """

    def __init__(self, tests: list[str], log: Path) -> None:
        self._log = log
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(900)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.model.bug_injection", "-p", "no:cacheprovider"]
        with theirs, log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, *tests],
                cwd=ROOT,
                env=os.environ | {"SEEDED_BUGS": str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._answers = self._channel.makefile()

    def outcome(self, bug: Bug) -> Outcome:
        answer = ""
        with suppress(ConnectionError):  # or the answer stays empty: it has ended, as where a test could not be found
            self._channel.sendall(bug.name.encode() + b"\n")
            answer = self._answers.readline()
        assert answer, self._log.read_text()[-2000:]
        return Outcome(*json.loads(answer))

    def close(self) -> None:
        self._answers.close()
        self._channel.close()
        assert self._process.wait(900) == 0, self._log.read_text()[-2000:]


@pytest.fixture(scope="session")
def detectors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detectors]:
    """Those of the bugs that were selected: for one bug, one file is enough."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    bugs = [item.callspec.params["bug"] for item in functions if "detectors" in item.fixturenames]
    tests = {bug.detected_by for bug in bugs if isinstance(bug, Bug)}
    started = Detectors(sorted(tests), tmp_path_factory.mktemp("seeded-bugs") / "log")
    yield started
    started.close()


@pytest.mark.parametrize("bug", by_name([bug for bug in BUGS.values() if bug.detected_by != MODEL]))
def test_another_test_finds(bug: Bug, detectors: Detectors) -> None:
    outcome = detectors.outcome(bug)
    assert outcome.detected_by is not None
    assert not outcome.is_broken, f"{outcome.detected_by} fails without the bug as well"


class WithoutEquality(bytes):
    """A secret that must not be compared byte by byte until the first difference."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with ==")

    __hash__ = bytes.__hash__


def test_keys_are_compared_in_constant_time() -> None:
    keyring = Keyring.from_json({"eventKey": "event-key-for-this-test-1"})
    by_entry = {entry: WithoutEquality(secret) for entry, secret in keyring.event_keys.by_entry.items()}
    keyring = replace(keyring, event_keys=replace(keyring.event_keys, by_entry=by_entry))
    headers = {"x-api-key": "event-key-for-this-test-1"}
    assert keyring.authenticate_events(headers, b"{}", accept_first_event=False, now=0.0).entry == "eventKey"
