"""What a command reads and loads: each reading once, and no checks of another command."""

import subprocess
import sys

import pytest

from audience_sync_cli.checks.readings import Reading, StackReadings
from audience_sync_cli.frame.errors import OperatorError, TryLater
from audience_sync_cli.frame.finding import DIAGNOSE, TEST, Check, Finding, run
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from tests.command.checks.test_audience_checks import no_stack
from tests.command.conftest import NOW
from tests.command.every_command import Ran


class CountedReadings(StackReadings):
    """Readings of which one works and one fails."""

    times = 0

    @Reading
    def answered(self) -> int:
        self.times += 1
        return self.times

    @Reading
    def refused(self) -> int:
        self.times += 1
        raise TryLater("AWS is throttling GetMetricData.", "Try again in a minute.")


def test_a_reading_is_made_once_when_it_is_asked_for_and_leaves_its_checks_unread_if_it_fails() -> None:
    readings = CountedReadings(Session(Screen(), no_stack, lambda: NOW))
    assert readings.times == 0, "none is asked for yet"
    checks: list[Check[CountedReadings]] = [
        Check(name, lambda given: Finding("ok", str(given.refused))) for name in ("first", "second")
    ]
    found = list(run(checks, readings))
    why, remedy = "AWS is throttling GetMetricData.", "Try again in a minute."
    assert found == [Finding("unread", why, remedy, name) for name in ("first", "second")]
    assert readings.times == 1
    assert readings.optional(lambda each: each.refused) is None
    with pytest.raises(OperatorError):
        _ = readings.refused
    assert (readings.answered, readings.answered, readings.times) == (2, 2, 2)


def test_status_neither_receives_dead_letters_nor_scans_tables(every_command: list[Ran]) -> None:
    calls = next(ran.calls for ran in every_command if ran.command == "status")
    assert calls & {"sqs:ReceiveMessage", "dynamodb:Scan", "secretsmanager:GetSecretValue"} == set()


def test_an_unread_check_fails_test_and_not_diagnose() -> None:
    assert (TEST.words["unread"], DIAGNOSE.words["unread"]) == ("problem", "look")


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        pytest.param("checks.status", {"checks.stack_checks", "checks.audience_checks", "stack.circuits"}, id="status"),
        pytest.param("checks.check_all", {"checks.audience_checks", "stack.circuits"}, id="test"),
        pytest.param("checks.diagnose", {"stack.needs", "stack.circuits"}, id="diagnose"),
        pytest.param("dashboard.deployed", {"checks.stack_checks", "checks.audience_checks"}, id="the page"),
    ],
)
def test_a_command_imports_only_the_checks_it_runs(command: str, unused: set[str]) -> None:
    program = f"import sys, audience_sync_cli.{command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, encoding="utf-8")
    assert {f"audience_sync_cli.{each}" for each in unused} & set(done.stdout.split()) == set()
