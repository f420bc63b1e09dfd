"""The command as a whole: help everywhere, common options everywhere, exit codes."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from audience_sync_cli.app import app
from audience_sync_cli.errors import NotThere
from tests.unit.cli.reference import commands

COMMANDS = [path for path, _ in commands()]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="audience-sync", env={"COLUMNS": "100"})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps_and_takes_the_common_options(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    for option in ("--stack", "--local", "--json"):
        assert option in result.output


@pytest.mark.parametrize("command", [("status",), ("audiences", "list"), ("keys", "show")], ids=" ".join)
def test_a_stack_that_does_not_answer_is_one_sentence_and_a_code(command: tuple[str, ...]) -> None:
    result = run(*command, "--local", "http://127.0.0.1:9")
    assert result.exit_code == 5
    assert "Nothing answers at http://127.0.0.1:9." in result.output
    assert "Traceback" not in result.output


def test_a_stack_named_on_the_command_line_goes_before_a_local_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named: list[str] = []

    def deployed(name: str, _: Any) -> Any:
        named.append(name)
        raise NotThere("No such stack.", "")

    monkeypatch.setattr("audience_sync_cli.stack.deployed", deployed)
    monkeypatch.setenv("AUDIENCE_SYNC_LOCAL", "http://127.0.0.1:9")
    assert "Nothing answers" in run("status").output
    assert "AUDIENCE_SYNC_LOCAL is ignored" in run("status", "--stack", "prod").output
    assert named == ["prod"]
    assert run("status", "--stack", "prod", "--local", "http://127.0.0.1:9").exit_code == 2


def test_with_json_an_error_is_json_too() -> None:
    result = run("status", "--json", "--local", "http://127.0.0.1:9")
    error = json.loads(result.stdout)["error"]
    assert (error["exitCode"], result.exit_code) == (5, 5)
