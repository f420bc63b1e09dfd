"""Run small Node scripts against Segment's own packages, installed beside each script on first use."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "contract/segment"
INSTALL_TIMEOUT = 180  # seconds; the largest, Segment's destinations, take about 10
RUN_TIMEOUT = 60  # seconds for one script, whatever the number of its cases


def run(script: str, cases: Any, *, folder: Path = HERE) -> Any:
    """Send cases to a script of a folder as JSON on standard input, and read JSON from its standard output.

    Skips the calling test where Node or npm is missing, or where the packages cannot be downloaded.
    """
    node = required(folder)
    finished = subprocess.run(
        [node, str(folder / script)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT,
        cwd=folder,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@contextmanager
def started(script: str, *, folder: Path = HERE) -> Iterator[Callable[[Any], Any]]:
    """Start a script that answers lines of JSON, once for many calls: loading the packages takes longer than most.

    Gives what sends it one case and returns the answer. Skips as `run` does.
    """
    command = [required(folder), str(folder / script)]
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1, cwd=folder
        ) as process,
    ):
        cases, answers = process.stdin, process.stdout
        assert cases is not None
        assert answers is not None

        def ask(case: Any) -> Any:
            timeout = Timer(RUN_TIMEOUT, process.kill)
            timeout.start()
            try:
                cases.write(json.dumps(case) + "\n")
                answer = answers.readline()
            finally:
                timeout.cancel()
            errors.seek(0)
            assert answer, errors.read() or f"no answer within {RUN_TIMEOUT} s"
            return json.loads(answer)

        yield ask


@cache
def required(folder: Path = HERE) -> str:
    """Return the path of Node once the folder's packages are installed; skip the calling test where that cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node is not installed (node and npm): Segment's own code cannot run")
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test runs at the same time: one installs, the others wait and find it done
        if not _installed(folder):
            _install(npm, folder)
    return node


def _installed(folder: Path) -> bool:
    written = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    return written.exists() and written.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _install(npm: str, folder: Path) -> None:
    try:
        subprocess.run(
            [npm, "ci", "--ignore-scripts", "--omit=dev", "--omit=optional", "--omit=peer"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=INSTALL_TIMEOUT,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("the npm registry cannot be reached: Segment's packages are not installed")
