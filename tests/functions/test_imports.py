"""A function imports only what it uses: every imported module adds to the cold start."""

import subprocess
import sys
from functools import cache

import pytest

from local.template import ROOT

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# For the command line, this machine and the tests; or loaded by the few requests that need it.
UNUSED = {"typer", "rich", "moto", "aiohttp", "audience_sync_cli", "local", "phonenumbers", "difflib"}
CALL_AMAZON = {"worker", "refresh", "jobs", "audiences", "datasets"}


MODELS = "each for each in vars(settings).values() if hasattr(each, '__pydantic_complete__')"
BUILT = f"each.__name__ for each in [{MODELS}] if each.__pydantic_complete__ and each.model_fields"


@cache
def printed(program: str) -> list[set[str]]:
    """The words of each line that a program prints in a fresh process."""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in run.stdout.splitlines()]


def imported(function: str) -> list[set[str]]:
    """The modules that a handler imports, and the models of its settings that are built by then."""
    models = f"from audience_sync.runtime import settings; print('read', *({BUILT}))"
    return printed(f"import sys, functions.{function}.handler; print(*sys.modules); {models}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_importing_a_handler_loads_no_unused_package(function: str) -> None:
    loaded = {name.partition(".")[0] for name in imported(function)[0]}
    assert "audience_sync" in loaded
    assert loaded & UNUSED == set()
    assert ("requests" in loaded) == (function in CALL_AMAZON)
    assert ("pydantic" in loaded) == (function not in ("ingest", "events")), "Segment waits while ingest starts"


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"ingest"}))
def test_importing_a_handler_builds_no_pydantic_model(function: str) -> None:
    assert imported(function)[1] == {"read"}
