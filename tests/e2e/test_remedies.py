"""Types the remedies of documents: of each fault in docs/sandbox.md, and the commands of docs/runbook.md."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import pytest
import requests
from typer.testing import CliRunner

from audience_sync.amazon_ads.destination import Api
from audience_sync_cli.app import app
from audience_sync_cli.frame.errors import DONE, FAILED, NOT_CONFIRMED, NOT_THERE
from audience_sync_cli.frame.samples import MEMBER
from audience_sync_cli.setup import connect
from audience_sync_cli.setup.terms import ACCEPTANCES
from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.support import browser
from tests.support.waiting import wait_until

pytestmark = pytest.mark.transcript  # most of its minutes are spent waiting for retries
DATASET = "in_a_dataset"
RETRIES = 180.0  # seconds; a worker reads secrets once a minute, and a retry waits for half a minute
COLUMNS = re.compile(r"(?m)^\| `([\w-]+)` \| .+? \| (.+?) \| (with .+?) \| \[")
LINES = re.compile(r"(?m)^ *(audience-sync [^|#\n]+)")
CONFIRMED = {"audience-sync terms accept --api data-manager": f" --confirm '{ACCEPTANCES[Api.DATA_MANAGER]}'"}


class Fault(NamedTuple):
    """A row of the table."""

    name: str
    seen: str
    ends: str

    @property
    def commands(self) -> list[str]:
        """The commands of the last cell, with a name for NAME."""
        return [each.replace("NAME", "Another") for each in re.findall(r"`(.+?)`", self.ends)]


FAULTS = [Fault(*row) for row in COLUMNS.findall((ROOT / "docs/sandbox.md").read_text(encoding="utf-8"))]
WAITS = ("revoked", "login-down", "throttled")  # half a minute, or the minute in which a worker reads no secret again


OF_JOBS = ("job-failed", "bad-records", "job-late", "job-unknown")


@contextmanager
def ready() -> Iterator[LocalStack]:
    with local_stack("--settle", "0.2") as started, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AUDIENCE_SYNC_LOCAL", started.where["api"])
        monkeypatch.setattr(connect, "browser_opener", lambda: lambda address: browser.answer(address).ok)
        typed(f"audience-sync audiences create {DATASET} --api data-manager --country US --key {DATASET}")
        yield started


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalStack]:
    with ready() as stack:
        yield stack


@pytest.fixture
def stack(shared: LocalStack, fault: Fault) -> Iterator[LocalStack]:
    """Another one for faults of jobs: what these did not apply is in the queue for five minutes."""
    with ready() if fault.name in OF_JOBS else nullcontext(shared) as stack:
        yield stack


def typed(line: str, *expected: int) -> str:
    """Run a command as typed, and agree if it asks. Returns what it prints."""
    words = shlex.split(line + CONFIRMED.get(line, ""))[1:]
    words += ["--no-follow"] if words[0] == "tail" and "--no-follow" not in words else []
    done = CliRunner().invoke(app, words, prog_name="audience-sync")
    if done.exit_code == NOT_CONFIRMED:
        done = CliRunner().invoke(app, [*words, "--yes"], prog_name="audience-sync")
    assert done.exit_code in (expected or (DONE,)), f"{line}\n{done.output}"
    return done.output


def is_seen(state: dict[str, Any], fault: Fault) -> bool:
    """Whether changes are parked or wait, or `tail` shows what the table says."""
    if "`audience-sync tail`" in fault.seen:
        (word,) = re.findall(r"tail`.*? `(\w+)`", fault.seen)
        return word in typed("audience-sync tail")
    (reason,) = re.findall(r"(?:parked|wait): `(\w+)`", fault.seen) or [""]
    parked = {each["reason"] for each in state["deadLetters"]}
    waits = state["accepted"] > state["delivered"] + state["superseded"] + state["parked"]
    if "wait:" in fault.seen:
        return waits and reason in typed("audience-sync status --json", DONE, 1)
    return reason in parked if reason else not waits or fault.name == "slow"


def is_over(state: dict[str, Any]) -> bool:
    """Whether nothing is left, but for what a job did not apply: it is sent again in five minutes."""
    if state["deadLetters"] or state["inFlight"]:
        return False
    return not state["queued"] or any(
        each["row"]["enterAgainAt"]
        for each in json.loads(typed(f"audience-sync member show {MEMBER} --json"))["audiences"]
    )


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.name in WAITS else []) for each in FAULTS],
)
def test_the_remedy_of_a_fault_ends_it(stack: LocalStack, fault: Fault) -> None:
    def set_fault(name: str) -> None:
        url = f"{stack.where['amazon']}/sandbox/faults"
        requests.put(url, json={"recipe": name}, timeout=60).raise_for_status()

    set_fault(fault.name)
    audience = DATASET if "of datasets" in fault.seen else "lapsed_premium_buyers"
    typed(f"audience-sync send --sample track --audience {audience}")
    wait_until(stack.state, lambda state: is_seen(state, fault))
    for command in fault.commands:
        typed(command) if command.startswith("audience-sync ") else set_fault(command)
    wait_until(stack.state, is_over, RETRIES)


def test_the_commands_of_the_runbook_are_understood(shared: LocalStack) -> None:
    blocks = re.findall(r"(?ms)^ *```bash\n(.*?)^ *```", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"))
    lines = dict.fromkeys(line.strip() for block in blocks for line in LINES.findall(block) if "$" not in line)
    assert len(lines) > 30
    for line in lines:
        typed(line, *((DONE, FAILED) if " diagnose " in line else (DONE, NOT_THERE)))
    assert shared.state()["inFlight"] == 0
