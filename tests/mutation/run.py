"""Runs mutmut in a folder that is laid out as it expects, and reads what became of each mutant."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.modules import PACKAGE, ROOT, UNFIT, quick_tests

GRACE = 60  # seconds for the mutant that is being tried when the time is over
RUN = ROOT / ".tools/mutation-run"
_MUTATED = RUN / "mutants/src/audience_sync"
_MUTMUT = (sys.executable, "-c", "from mutmut.__main__ import cli; cli()")
_COPIED = ("tests", "local", "functions", "events", "docs")


@dataclass(frozen=True)
class Mutant:
    """One change of one function, and what became of it."""

    module: str  # path within the package
    name: str  # as mutmut calls it
    outcome: str  # killed, survived, untested or untried
    seconds: float

    @property
    def function(self) -> str:
        """The function's name, as mutmut calls it."""
        return self.name.rpartition(".")[2].partition("__mutmut_")[0]

    def change(self) -> tuple[str, str]:
        """Return the lines that it removes, and those in their place."""
        command = [*_MUTMUT, "show", self.name]
        shown = subprocess.run(command, cwd=RUN, capture_output=True, text=True, check=True).stdout
        lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++", "#"))]
        before, after = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
        return " ".join(before), " ".join(after)


def prepare(modules: list[str]) -> None:
    """Copy the project. mutmut names modules by their path below `src`."""
    RUN.mkdir(parents=True, exist_ok=True)
    for folder in (RUN / "tests", RUN / "mutants/tests"):
        shutil.rmtree(folder, ignore_errors=True)
    for name, source in {"src/audience_sync": PACKAGE, **{name: ROOT / name for name in _COPIED}}.items():
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(source, RUN / name, ignore=ignored, dirs_exist_ok=True)
    shutil.copy2(ROOT / "template.yaml", RUN)
    settings: dict[str, Any] = {
        "source_paths": ["src"],
        "only_mutate": [f"src/audience_sync/{path}" for path in modules],
        "also_copy": [*_COPIED, "template.yaml"],
        "do_not_mutate_patterns": [r'^\s*(raise|return) \w+\(f?"[^"]* [^"]*"'],  # texts for people
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--hypothesis-profile", "mutants", "-k", "not local_aws"]
        + [f"--deselect={test}" for test in UNFIT],
        "pytest_add_cli_args_test_selection": quick_tests(modules),
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    (RUN / "pyproject.toml").write_text(f"{(ROOT / 'pyproject.toml').read_text()}\n[tool.mutmut]\n{table}\n")
    # It says which tests reached the functions of the last run.
    (RUN / "mutants/mutmut-stats.json").unlink(missing_ok=True)
    for path in modules:
        _try_again(path)


def run(functions: Mapping[str, set[str]], *, minutes: float) -> bool:
    """Try the mutants of these functions by module, of all prepared modules where there are none, one after the other.

    Returns whether all were tried in so many minutes.
    """
    names = [f"{_dotted(path)}.{each}__mutmut_*" for path, some in functions.items() for each in sorted(some)]
    # In CI Hypothesis chooses the same examples every time: no mutant is killed by luck.
    environment = os.environ | {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*_MUTMUT, "run", "--max-children", "1", *names]
    with subprocess.Popen(command, cwd=RUN, env=environment, stdout=sys.stderr) as running:
        try:
            return running.wait(minutes * 60) == 0
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(GRACE)
            running.kill()  # where it ignores the interrupt, as a shell's background jobs do; each result is stored
            return False


def mutants(modules: list[str]) -> Iterator[Mutant]:
    """Yield the mutants of the modules as they were tried last."""
    for path in modules:
        results = _results(path)
        if results.exists():
            held = json.loads(results.read_text())
            for name, code in held["exit_code_by_key"].items():
                yield Mutant(path, name, _outcome(code), held["durations_by_key"].get(name) or 0.0)


def _try_again(path: str) -> None:
    """Have a module mutated, and what survived tried again: there may be new tests."""
    mutated, results = _MUTATED / path, _results(path)
    if mutated.exists() and "__mutmut_" not in mutated.read_text():
        mutated.unlink()  # copied as it is when another module was mutated; mutmut would leave it so
    if results.exists():
        held = json.loads(results.read_text())
        codes = held["exit_code_by_key"]
        held["exit_code_by_key"] = {name: code if _outcome(code) == "killed" else None for name, code in codes.items()}
        results.write_text(json.dumps(held))


def _results(path: str) -> Path:
    return _MUTATED / f"{path}.meta"


def _outcome(code: int | None) -> str:
    if code is None:
        return "untried"
    return {0: "survived", 5: "untested", 33: "untested"}.get(code, "killed")  # also by a time limit


def _dotted(path: str) -> str:
    return f"audience_sync.{path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"
