"""The command, installed from its wheel in an environment of its own, asks a running stack."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import LocalStack
from tests.wheel import build, install


@pytest.mark.slow
def test_the_command_from_the_wheel_operates_a_stack_without_the_clone(stack: LocalStack, tmp_path: Path) -> None:
    commands = install(build(tmp_path), tmp_path / "venv")
    done = subprocess.run(
        [commands / "audience-sync", "status", "--json", "--local", stack.where["api"]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout)["summary"] == "No change was accepted."
