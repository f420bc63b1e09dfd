"""What a function does not use it does not load: every module that is imported is part of the cold start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_DEPLOYED = {"typer", "rich", "moto", "aiohttp", "cli", "local"}  # for the command line, this machine and the tests
CALL_AMAZON = {"worker", "refresh", "jobs", "audiences"}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py")))
def test_importing_a_handler_loads_nothing_that_it_does_not_use(function: str) -> None:
    program = f"import sys, functions.{function}.handler; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    unused = NOT_DEPLOYED if function in CALL_AMAZON else NOT_DEPLOYED | {"requests"}
    assert "audience_sync" in loaded
    assert loaded & unused == set()
