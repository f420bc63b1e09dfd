"""Builds the wheel, and installs it where nothing else is: what a machine without the clone gets."""

import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """Build the wheel as `make wheel` does."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel in a new environment with what it requires and nothing else; return the folder of its commands.

    No registry is asked: the packages are those of this environment, which the locks pin.
    """
    venv.create(folder, with_pip=False)
    commands = folder / "bin"
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", commands / "python", wheel],
        check=True,
        timeout=120,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (installed,) = distributions(path=[str(packages)])
    for required in _required_by(installed):
        _link(required, packages)
    return commands


def _required_by(first: Distribution) -> list[Distribution]:
    """Return what a distribution requires, and what that requires, at the versions of this environment."""
    found: dict[str, Distribution] = {}
    waiting = list(_requirements(first))
    while waiting:
        requirement = waiting.pop()
        assert not requirement.extras, f"not installed: the extras of {requirement}"
        if requirement.name in found:
            continue
        required = found[requirement.name] = distribution(requirement.name)
        assert requirement.specifier.contains(required.version), f"{requirement}, and the lock has {required.version}"
        waiting += _requirements(required)
    return list(found.values())


def _requirements(installed: Distribution) -> Iterator[Requirement]:
    for text in installed.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _link(installed: Distribution, packages: Path) -> None:
    for name in {path.parts[0] for path in installed.files or ()} - {"..", "__pycache__"}:
        (packages / name).symlink_to(Path(str(installed.locate_file(name))))
