"""The command line itself: global options anywhere, and wrong usage reported as every other error, also as JSON."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import audience_sync_cli
from audience_sync_cli.app import app
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import NotThere
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import EVENT_KEY
from tests.support.command_lines import commands

UNREACHABLE = "http://127.0.0.1:9"  # no server listens there
COMMANDS = [path for path, _ in commands()]


def run(line: str, **variables: str) -> Any:
    return CliRunner().invoke(app, shlex.split(line), prog_name="audience-sync", env={"COLUMNS": "100"} | variables)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stacks that commands look for. None of them exists."""
    found: list[str] = []

    def absent(name: str, *_: Any) -> Any:
        found.append(name)
        raise NotThere("No such stack.", "")

    monkeypatch.setattr("audience_sync_cli.frame.stacks.deployed", absent)
    monkeypatch.setattr("audience_sync_cli.frame.stacks.local", absent)
    return found


@pytest.mark.parametrize(
    ("line", "stack"),
    [
        pytest.param("status", "audience-sync", id="the default"),
        pytest.param("--stack prod status", "prod", id="in front"),
        pytest.param("status --stack prod", "prod", id="behind"),
        pytest.param("audiences --stack prod list", "prod", id="in between"),
        pytest.param("--stack=prod audiences list --stack prod", "prod", id="twice the same"),
        pytest.param(f"--local {UNREACHABLE} status", UNREACHABLE, id="a local one in front"),
        pytest.param(f"audiences list --local {UNREACHABLE}", UNREACHABLE, id="a local one behind"),
    ],
)
def test_stack_and_local_are_accepted_before_and_after_the_command(named: list[str], line: str, stack: str) -> None:
    run(line)
    assert named == [stack]


@pytest.mark.parametrize(
    ("line", "variable", "value", "stack"),
    [
        pytest.param("status", "STACK", "of-the-environment", "of-the-environment", id="nothing typed"),
        pytest.param("--stack prod status", "STACK", "another", "prod", id="a stack in front"),
        pytest.param("status", "LOCAL", "of-the-environment", "of-the-environment", id="a local one"),
        pytest.param("--stack prod status", "LOCAL", "another", "prod", id="a stack, and a local one set"),
        pytest.param(f"--local {UNREACHABLE} status", "LOCAL", "another", UNREACHABLE, id="a local one in front"),
        pytest.param("status", "STACK", " ", "audience-sync", id="a blank stack, which counts as unset"),
        pytest.param("status", "LOCAL", " ", "audience-sync", id="a blank local one"),
    ],
)
def test_options_override_environment_variables(
    named: list[str], line: str, variable: str, value: str, stack: str
) -> None:
    output = run(line, **{f"AUDIENCE_SYNC_{variable}": value}).output
    assert named == [stack]
    assert ("AUDIENCE_SYNC_LOCAL is ignored" in output) is (variable == "LOCAL" and stack == "prod")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param("--stack prod status --stack dev", "--stack is given more than once", id="in front and behind"),
        pytest.param("status --stack prod --stack dev", "--stack is given more than once", id="twice behind"),
        pytest.param("--local http://a status --local http://b", "--local is given more than", id="two local ones"),
        pytest.param("--stack prod status --local http://a", "Give one of them", id="a stack and a local one"),
        pytest.param("--stack '' status", "is empty", id="an empty one in front"),
        pytest.param("status --stack ''", "is empty", id="an empty one behind"),
        pytest.param("status --local ' '", "is empty", id="a blank local one"),
    ],
)
def test_naming_two_stacks_or_an_empty_one_is_a_usage_error(named: list[str], line: str, sentence: str) -> None:
    """A script whose variable is not set must not change the stack that happens to be the default."""
    result = run(line)
    assert (result.exit_code, named) == (2, [])
    assert sentence in result.output


def test_an_unreachable_stack_prints_one_sentence_and_sets_the_exit_code() -> None:
    result = run(f"status --local {UNREACHABLE}")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith(f"Nothing answers at {UNREACHABLE}.\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_accepts_yes_and_json_before_and_after_its_name(command: tuple[str, ...]) -> None:
    """It fails where an argument is missing, or because the stack does not answer; never because of these options."""
    words = " ".join(command)
    for line in (f"--json --yes --local {UNREACHABLE} {words}", f"{words} --local {UNREACHABLE} -y --json"):
        result = run(line)
        error = json.loads(result.stdout)["error"]
        assert result.exit_code == error["exitCode"]
        assert "No such option" not in error["message"]


@pytest.mark.parametrize("line", ["--yes keys retire event", "keys -y retire event", "keys retire event --yes"])
def test_yes_confirms_before_or_after_a_command(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr("audience_sync_cli.frame.stacks.local", lambda _: deployment.stack)
    deployment.put_secret("IngestSecret", {"eventKey": EVENT_KEY, "previousEventKey": "a-previous-key-of-EventKey"})
    assert run(line, AUDIENCE_SYNC_LOCAL=UNREACHABLE).exit_code == 0
    assert deployment.secret("IngestSecret")["previousEventKey"] == ""


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        pytest.param("explain", "No such command", "mappings try FILE --explain`? ", id="another name"),
        pytest.param("statsu", "No such command 'statsu'. Did you mean 'status'?", "", id="unknown command"),
        pytest.param("audiences lst", "Did you mean 'list'?", "`audience-sync audiences --help`", id="of a group"),
        pytest.param("", "Missing command.", "`audience-sync --help` lists", id="no command"),
        pytest.param("keys", "Missing command.", "`audience-sync keys --help` lists", id="no command of a group"),
        pytest.param("status --hour 3", "No such option: --hour.", "Did you mean --hours?", id="unknown option"),
        pytest.param("--members status", "No such option: --members.", "options after its name.", id="in front"),
        pytest.param("status --hours abc", "'--hours': must be a whole number, 1 or more.", "", id="no number"),
        pytest.param("status --hours 0", "'--hours': must be a whole number, 1 or more.", "", id="number too small"),
        pytest.param("connect --port 70000", "a whole number, 0 or more, at most 65,535.", "", id="too large"),
        pytest.param("audiences create VIP --ttl-days abc", "'--ttl-days': must be a whole number", "", id="days"),
        pytest.param("keys show events", "'KIND': choose from event, audience, signing.", "", id="no choice"),
        pytest.param("keys rotate", "'KIND'. Choose from: event, audience, signing.", "keys rotate KIND", id="missing"),
        pytest.param("status now", "There are more arguments than the command accepts.", "Usage:", id="too many"),
        pytest.param("status --json=1", "Option '--json' does not take a value.", "--help", id="a value too many"),
        pytest.param("mappings check absent.json", "'FILE': file 'absent.json' does not exist.", "", id="no file"),
        pytest.param("mappings check /", "'FILE': file '/' is a directory.", "", id="a folder"),
        pytest.param("'a\x1b[2Jb'", "No such command 'a\\x1b[2Jb'.", "", id="control characters"),
    ],
)
@pytest.mark.parametrize("place", ["in front", "behind"])
def test_wrong_usage_prints_a_sentence_or_one_document(line: str, message: str, remedy: str, place: str) -> None:
    as_text = run(line)
    if line not in ("", "keys"):  # for people, those print the help
        assert as_text.stdout == ""
        assert message in as_text.stderr
        assert remedy in as_text.stderr
    as_json = run(f"--json {line}" if place == "in front" else f"{line} --json")
    error = json.loads(as_json.stdout)["error"]
    assert (as_text.exit_code, as_json.exit_code, error["exitCode"]) == (2, 2, 2)
    assert message in error["message"]
    assert remedy in error["remedy"]


@pytest.mark.parametrize("line", ["status --hours sekret", "keys show sekret", "status sekret"])
def test_wrong_usage_repeats_no_value_except_a_file_path(line: str) -> None:
    assert "sekret" not in run(line).output
    assert run("--stack").stderr == "Option '--stack' requires an argument.\nAdd --help to see the options.\n"
    assert (run("member show one -- --json").exit_code, run("member show one -- --json").stdout) == (2, "")


def test_a_broken_pipe_ends_the_command_as_sigpipe_ends_others() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "audience_sync_cli", "--json", "statsu"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "text", ["m1", "a;touch x", "$(touch x)", "it's", "`x`", "--yes", "-h", "E;touch x,marketplace=US"]
)
def test_a_line_to_paste_names_what_a_stranger_has_chosen_and_runs_nothing_else(text: str) -> None:
    typed = to_paste("member erasure", text, html=f"{text}.html", json=True, close=False, into=f"{text}.json")
    words = typed.removeprefix("audience-sync").partition(" > ")[0]
    done = subprocess.run(["/bin/sh", "-c", rf"printf '%s\n'{words}"], capture_output=True, text=True, check=True)
    options = ["--html", f"{text}.html", "--json"]
    expected = [*options, "--", text] if text.startswith("-") else [text, *options]
    assert done.stdout.splitlines() == ["member", "erasure", *expected]
    assert shlex.split(typed)[-2:] == [">", f"{text}.json"]


def test_nothing_else_puts_words_of_others_into_a_line_to_paste() -> None:
    found = {
        path.name: line.strip()
        for path in Path(audience_sync_cli.__file__).parent.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"audience-sync [a-z][^`\"]*\{", line)
    }
    assert found == {}
