"""Has mutmut change modules in a copy of the project, where `trying.py` tries each mutant."""

import ast
import difflib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workshop.mutation.modules import PACKAGE, ROOT, UNFIT, quick_tests

RUN = ROOT / ".tools/mutation-run"
_COPIED = ("tests", "workshop", "local", "functions", "events", "docs")
_SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
do_not_mutate_patterns = ['\\b[A-Z]\\w+\\(f?"[^"]* [^"]*"']  # texts for people
"""


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
        return self.name.partition("__mutmut_")[0]

    def change(self) -> tuple[str, str]:
        """Return the lines that it removes, and those in their place."""
        functions = _functions(RUN / "src/audience_sync" / self.module)
        original, mutated = functions[f"{self.function}__mutmut_orig"], functions[self.name]
        lines = list(difflib.unified_diff(original, mutated, n=0, lineterm=""))[2:]
        before, after = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
        return " ".join(before), " ".join(after)


def try_mutants(modules: Collection[str], functions: Mapping[str, set[str]], *, minutes: float) -> list[Mutant]:
    """Try the mutants of these functions by module, of all if there are none, as many as there is time for."""
    named = {
        f"audience_sync.{path.removesuffix('.py').replace('/', '.')}.{name}": path
        for path, names in _write(modules).items()
        for name in names
        if not functions or name.partition("__mutmut_")[0] in functions[path]
    }
    (RUN / "mutants.json").write_text(json.dumps([*named]))
    command = [sys.executable, "-m", "pytest", "-p", "workshop.mutation.trying", "--hypothesis-profile", "mutants"]
    command += [f"-pno:{plugin}" for plugin in ("cacheprovider", "randomly", "timeout", "xdist")]
    command += ["-k", "not local_aws", *(f"--deselect={test}" for test in UNFIT), *quick_tests([*modules])]
    path = os.pathsep.join([str(RUN / "src"), os.environ.get("PYTHONPATH", "")])
    # In CI Hypothesis chooses the same examples every time: no mutant is killed by luck.
    own = {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path, "MUTATION_SECONDS": str(minutes * 60)}
    subprocess.run(command, cwd=RUN, env=os.environ | own, stdout=sys.stderr, check=True)
    results = {name: result for name, *result in map(json.loads, (RUN / "results").read_text().splitlines())}
    return [Mutant(path, name.rpartition(".")[2], *results.get(name, ("untried", 0.0))) for name, path in named.items()]


def _write(modules: Collection[str]) -> dict[str, list[str]]:
    """Copy the project, and write the mutants of modules beside their functions. Returns the mutants by module."""
    shutil.rmtree(RUN, ignore_errors=True)
    for name, source in {"src/audience_sync": PACKAGE, **{name: ROOT / name for name in _COPIED}}.items():
        shutil.copytree(source, RUN / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy2(ROOT / "template.yaml", RUN)
    (RUN / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + _SETTINGS)
    with chdir(RUN):  # where mutmut reads its settings
        mutate = importlib.import_module("mutmut.mutation.file_mutation").mutate_file_contents
        written = {path: mutate(path, (PACKAGE / path).read_text()) for path in modules}
    for path, mutated in written.items():
        (RUN / "src/audience_sync" / path).write_text(mutated.code)
    return {path: mutated.mutant_names for path, mutated in written.items()}


@cache
def _functions(path: Path) -> dict[str, list[str]]:
    """Return the lines of each function of a module, and of its mutants, all under one name."""
    source = path.read_text()
    found = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.FunctionDef)]
    texts = {each.name: ast.get_source_segment(source, each) or "" for each in found}
    return {name: text.replace(name, "function").splitlines() for name, text in texts.items()}
