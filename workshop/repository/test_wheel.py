"""The command without the clone: a wheel that brings what it needs, and nothing that is in the way of others."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from workshop.repository.wheel import ROOT, build, install

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = {"audience_sync": ROOT / "layers/shared/audience_sync", "audience_sync_cli": ROOT / "audience_sync_cli"}
REQUIREMENTS = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
OPTIONAL = {Requirement(each).name for extra in PROJECT["optional-dependencies"].values() for each in extra}
BROUGHT = {"botocore": "boto3", "urllib3": "requests"}  # distribution: the one that brings it
IMPORT_ALL = """
import importlib, pkgutil
for name in ("audience_sync", "audience_sync_cli"):
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        if not module.name.endswith("__main__"):
            print(importlib.import_module(module.name).__name__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")


def run(command: Path, *arguments: str) -> str:
    """What a command prints, away from the clone and without what this process has in its environment."""
    return subprocess.run(
        [command, *arguments],
        cwd=command.parent,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def imported(package: Path) -> set[str]:
    """The packages of others that a package imports when it runs, by the names in its imports."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]
    names = {name.partition(".")[0] for module in modules for name in _imports(module)}
    return names - sys.stdlib_module_names - set(PACKAGES)


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the names of imported modules, without those for type checkers alone."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Import(names=names):
            yield from (each.name for each in names)
        case ast.ImportFrom(module=str(name)):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


installed = cache(packages_distributions)


def project(name: str) -> str:
    """The project that brings an imported package, by the name in requirements."""
    found = installed().get(name, [name])[0]  # what is optional need not be installed
    normal = found.lower().replace("_", "-")
    return BROUGHT.get(normal, normal)


def test_the_project_requires_exactly_what_its_packages_import() -> None:
    needed = {project(name) for package in PACKAGES.values() for name in imported(package)}
    assert needed - OPTIONAL == set(REQUIREMENTS)


@pytest.mark.parametrize("name", sorted(REQUIREMENTS))
def test_a_requirement_has_an_upper_bound_and_contains_the_locked_version(name: str) -> None:
    lock = (ROOT / "requirements/local.txt").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{name}==([\w.]+)", lock, re.MULTILINE)
    assert REQUIREMENTS[name].specifier.contains(version)
    assert any(bound.operator == "<" for bound in REQUIREMENTS[name].specifier), "not before it is tested"


def test_the_optional_package_has_a_range_and_is_documented() -> None:
    (parquet,) = PROJECT["optional-dependencies"]["parquet"]
    assert {bound.operator for bound in Requirement(parquet).specifier} == {">=", "<"}
    for place in ("docs/import.md", "audience_sync_cli/member_files/formats.py"):
        assert parquet in (ROOT / place).read_text(encoding="utf-8"), place


def test_the_wheel_has_no_top_level_name_but_ours(wheel: Path) -> None:
    names = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert names == {*PACKAGES, f"audience_sync-{PROJECT['version']}.dist-info"}


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    """Also those that are no Python, such as the parts of a page."""
    files = {
        str(path.relative_to(package.parent))
        for package in PACKAGES.values()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "audience_sync/py.typed" in files
    assert files <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_carries_notice_and_licenses(wheel: Path) -> None:
    names = [Path(name).name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/licenses/" in name]
    assert sorted(names) == ["Apache-2.0.txt", "LICENSE", "NOTICE"]


def test_the_installed_command_prints_its_version_and_its_help(commands: Path) -> None:
    assert run(commands / "audience-sync", "--version") == f"audience-sync {PROJECT['version']}\n"
    assert "restore-members" in run(commands / "audience-sync", "--help")


def test_every_module_can_be_imported_with_the_wheels_requirements(commands: Path) -> None:
    names = set(run(commands / "python", "-c", IMPORT_ALL).split())
    assert {"audience_sync.ingest.intake", "audience_sync.segment.fql.grammar", "audience_sync_cli.app"} <= names
