"""The tests detect bugs: each of these makes one of them fail."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase

from audience_sync.credentials import Keyring
from tests.model.bug_injection import Outcomes, injected
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


def file_of(bug: Bug) -> str:
    return bug.detected_by.partition("::")[0]


def outcomes(file: str, folder: Path) -> Outcomes:
    """Run the tests of one file that detect bugs: in one process, since starting it takes longer than most of them.

    All processes of this run share the folder: the first that needs the outcomes runs the tests, the others wait.
    """
    report = folder / f"{file.replace('/', '-')}.json"
    with report.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            _run_with_bugs(file, report)
    return Outcomes(**json.loads(report.read_text()))


def _run_with_bugs(file: str, report: Path) -> None:
    tests = sorted({bug.detected_by for bug in BUGS.values() if file_of(bug) == file})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.model.bug_injection", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, *tests],
        cwd=ROOT,
        env=os.environ | {"SEEDED_BUGS": str(report)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]  # or a test could not be found


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Path:
    folder = tmp_path_factory.getbasetemp().parent / f"seeded-bugs-{testrun_uid}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("bug", by_name([bug for bug in BUGS.values() if bug.detected_by != MODEL]))
def test_another_test_finds(bug: Bug, shared_folder: Path) -> None:
    found = outcomes(file_of(bug), shared_folder)
    assert bug.name in found.detected
    assert found.broken == [], "these fail without a bug as well"


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
    assert keyring.authenticate_events(headers, b"{}", accept_first_event=False).entry == "eventKey"
