"""Fails where mypy, pytest or import-linter miss a tracked file: each of them calls what it does not see well."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
from mypy.main import process_options

from local.template import ROOT


def main() -> None:
    """Print how many files each check sees, and those that it misses; there should be none."""
    tracked = _output("git", "ls-files", "*.py").splitlines()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    graph = grimp.build_graph(*settings["root_packages"], cache_dir=None)
    typed = {Path(each.path).resolve().relative_to(ROOT).as_posix() for each in process_options([])[0] if each.path}
    collected = _output(sys.executable, "-m", "pytest", "--collect-only", "-qq", "-m", "")
    linted = [each for each in tracked if _module(each).split(".")[0] in settings["root_packages"]]
    missed = 0
    for check, files, seen in (
        ("mypy", tracked, typed),
        ("pytest", [each for each in tracked if "/test_" in each], {*re.findall(r"(?m)^(.+\.py): \d+$", collected)}),
        ("import-linter", linted, {each for each in linted if _module(each) in graph.modules}),
    ):
        unseen = {*files} - seen
        missed += len(unseen)
        print(f"{check} sees {len(files) - len(unseen)} of {len(files)} files", *sorted(unseen))  # noqa: T201
    sys.exit(missed > 0)


def _module(path: str) -> str:
    return path.removeprefix("layers/shared/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout


if __name__ == "__main__":
    main()
