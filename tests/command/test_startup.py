"""The command answers at once: it loads what takes long, such as boto3, only where it is used."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from audience_sync_cli.app import PARTS, load
from local.template import ROOT

SLOW = {"boto3", "requests", "pydantic", "moto", "phonenumbers"}
GROUPS = sorted(name for name in PARTS if hasattr(load(name), "commands"))
PROGRAM = """
import sys
from audience_sync_cli.app import main
try:
    main()
finally:
    sys.stderr.write("\\n" + " ".join(sys.modules))
"""


def run(*arguments: str, **variables: str) -> tuple[str, set[str]]:
    """Run the command in a fresh process; return what it prints and the names of the packages it has loaded."""
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100"} | variables
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, encoding="utf-8")
    loaded = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    assert "audience_sync_cli" in loaded
    return done.stdout, loaded & SLOW


def completed(words: str) -> tuple[set[str], set[str]]:
    """What the shell offers after some words, and the slow packages loaded for it."""
    position = str(len(words.split(" ")) - 1)
    variables = {"_AUDIENCE_SYNC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    output, loaded = run(**variables)
    return set(output.split()), loaded


def test_the_help_names_every_part_and_loads_nothing_slow_nor_does_the_version() -> None:
    output, loaded = run("--help")
    assert (all(name in output for name in PARTS), loaded) == (True, set())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("--version") == (f"audience-sync {version}\n", set())


@pytest.mark.parametrize("options", ["", " --stack prod", " --local http://127.0.0.1:8080 --json", " --yes"])
def test_the_shell_completes_commands_after_global_options_and_loads_nothing_slow(options: str) -> None:
    assert completed(f"audience-sync{options} m") == ({"mappings", "member"}, set())
    assert completed(f"audience-sync{options} member{options} s") == ({"show"}, set())


@pytest.mark.parametrize("group", GROUPS)
def test_the_shell_completes_the_commands_of_a_group_and_loads_nothing_slow(group: str) -> None:
    assert completed(f"audience-sync {group} ") == (set(load(group).commands), set())


def test_the_shell_completes_reason_codes_but_no_audience_of_a_stack_that_does_not_answer() -> None:
    for command in ("tail", "parked list"):
        assert completed(f"audience-sync {command} --reason access_d")[0] == {"access_denied"}
    assert completed("audience-sync --local http://127.0.0.1:1 audiences show v")[0] == set()


def test_checking_mappings_loads_nothing_slow_but_pydantic(tmp_path: Path) -> None:
    file = tmp_path / "mappings.json"
    fields = {"external_user_id": {"@path": "$.userId"}}
    file.write_text(json.dumps([{"name": "Mine", "trigger": 'type = "track"', "fields": fields}]))
    assert run("mappings", "check", str(file)) == ("1 mapping, 1 enabled.\n", {"pydantic"})


@pytest.mark.parametrize("name", PARTS)
def test_the_help_lists_each_part_with_the_first_paragraph_of_its_own_help(name: str) -> None:
    first = load(name).help.partition("\n\n")[0]
    assert PARTS[name].help == first.replace("\n", " ")
