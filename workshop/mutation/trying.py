"""A pytest plugin that tries each mutant in a fork of one process, with the tests that reach its function.

The tests are collected once, which takes longer than most mutants live, and the quickest go first.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

LONGEST = 600  # seconds; for a mutant that waits for ever, without using the processor
_trampoline = importlib.import_module("mutmut.mutation.trampoline")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Try the mutants that mutants.json names until the time is over, and write what became of each to `results`."""
    reached = _measured(session.items)
    names: list[str] = json.loads(Path("mutants.json").read_text())
    ends_at = time.monotonic() + float(os.environ["MUTATION_SECONDS"])
    running: dict[int, tuple[str, float]] = {}
    with Path("results").open("w", buffering=1) as results:

        def write_next() -> None:
            child, status = os.wait()
            name, began = running.pop(child)
            outcome = "killed" if os.waitstatus_to_exitcode(status) else "survived"
            results.write(json.dumps([name, outcome, time.monotonic() - began]) + "\n")

        for place, name in enumerate(names):
            if time.monotonic() > ends_at:
                break
            sys.stderr.write(f"\r{place} of {len(names)} mutants tried ")
            tests = sorted(reached[name.rpartition("__mutmut_")[0]])
            if not tests:
                results.write(json.dumps([name, "untested", 0.0]) + "\n")
                continue
            while len(running) >= (os.cpu_count() or 1):
                write_next()
            child = os.fork()
            if child == 0:
                seconds = round(sum(seconds for seconds, _ in tests))
                _try(name, [session.items[place] for _, place in tests], 20 + 4 * seconds)
            running[child] = name, time.monotonic()
        while running:
            write_next()
    return True


def _measured(tests: Sequence[pytest.Item]) -> dict[str, list[tuple[float, int]]]:
    """Run the tests without a mutant. Returns those that reach each function: seconds, and place among all."""
    hits: set[str] = set()
    _trampoline.__dict__["record_trampoline_hit"] = lambda name, **_: hits.add(name)
    _trampoline.set_mutant_under_test("stats")
    reached = defaultdict[str, list[tuple[float, int]]](list)
    began = time.process_time()
    for place, passes in enumerate(_run(tests)):
        if not passes:
            pytest.exit(f"{tests[place].nodeid} fails without a mutant", returncode=1)
        for name in hits:
            reached[name].append((time.process_time() - began, place))
        hits.clear()
        began = time.process_time()
    return reached


def _try(name: str, tests: Sequence[pytest.Item], seconds: int) -> None:
    """Run tests with a mutant in force until one fails, for so many seconds of the processor. Ends the process."""
    signal.alarm(LONGEST)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    try:
        _trampoline.set_mutant_under_test(name)
        os._exit(0 if all(_run(tests)) else 1)
    finally:
        os._exit(1)  # after an error in pytest itself


def _run(tests: Sequence[pytest.Item]) -> Iterator[bool]:
    """Yield whether each test passes."""
    for test, following in pairwise([*tests, None]):
        if test:
            yield not any(report.failed for report in runtestprotocol(test, log=False, nextitem=following))
