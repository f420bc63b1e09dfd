"""The help: readable at 80 columns, without Python's types, with examples that can be typed."""

import os
import pty
import re
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from audience_sync_cli.app import PARTS, app, load
from audience_sync_cli.frame.errors import EXIT_CODES
from local.template import ROOT
from tests.support.command_lines import check_command_line, commands, examples

GROUPS = [(), *((name,) for name in PARTS if hasattr(load(name), "commands"))]
EXAMPLES = {" ".join(path): examples(command) for path, command in commands()}
COMMANDS = [tuple(name.split()) for name in EXAMPLES]
PAGES = [*GROUPS, *COMMANDS]
CLI_PAGE = ROOT / "docs/cli.md"


def shown(*words: str, columns: int = 80) -> str:
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="audience-sync", env=environment)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_help_fits_80_columns_and_names_no_python_types(page: tuple[str, ...]) -> None:
    text = shown(*page)
    assert max(map(len, text.splitlines())) <= 80
    assert re.findall(r"<\w[^>]*>", text) == []
    assert [each for each in ("--stack", "--local", "--json") if each not in text] == []


@pytest.mark.parametrize(
    ("page", "text"),
    [
        pytest.param(("connect",), "[default: 8765; 0<=x<=65535]", id="a range and a default"),
        pytest.param(("status",), "--hours HOURS", id="a number"),
        pytest.param(("mappings", "try"), "--mappings FILE", id="a file"),
        pytest.param(("keys", "rotate"), "KIND Kind: event, audience or signing.", id="an argument"),
        pytest.param(("status",), "[env var: AUDIENCE_SYNC_STACK;", id="an environment variable"),
    ],
)
def test_help_names_allowed_values_defaults_and_environment_variables(page: tuple[str, ...], text: str) -> None:
    assert text in " ".join(shown(*page).split())


def test_help_prints_an_option_with_its_value_on_one_line_and_yes_only_if_the_command_asks() -> None:
    lines = shown("audiences", "create").splitlines()
    assert "  --key KEY             Segment's computation key, if already known." in lines
    assert "  --dsp / --no-dsp      With a connection: also send members to Amazon DSP." in lines
    assert max(map(len, shown("audiences", "create", columns=200).splitlines())) <= 100
    assert ["--yes" in shown("keys", command) for command in ("retire", "show")] == [True, False]


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name, examples in EXAMPLES.items() for example in examples]
)
def test_every_example_in_the_help_parses(name: str, example: str) -> None:
    program, *words = shlex.split(re.split(r" [|>] ", example)[0])
    assert (program, check_command_line(words)) == ("audience-sync", name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_ends_with_the_examples(name: str) -> None:
    text = shown(*name.split())
    after = text.partition("\nExamples:\n")[2]
    assert EXAMPLES[name]
    assert [" ".join(each.split()) for each in after.replace("\\\n", " ").splitlines()] == list(EXAMPLES[name])


def test_help_and_documentation_list_the_same_exit_codes() -> None:
    text = shown()
    documented = dict(re.findall(r"^\| (\d+) \| (.+) \|$", CLI_PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert list(documented) == [str(code) for code in EXIT_CODES]
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^  {code} +{re.escape(meaning)}$", text, re.MULTILINE)
        assert documented[str(code)].startswith(meaning)


@pytest.mark.parametrize(
    ("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_help_is_colored_on_a_terminal_unless_no_color_is_set(variables: dict[str, str], colored: bool) -> None:
    reading, writing = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm"} | variables
    command = [sys.executable, "-m", "audience_sync_cli", "terms", "-h"]
    subprocess.run(command, stdout=writing, env=environment, check=True)
    os.close(writing)
    assert ("\x1b[" in os.read(reading, 10_000).decode()) is colored
    os.close(reading)
