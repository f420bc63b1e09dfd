"""Injects a bug into running code: replaces the bytecode of the functions that one changed line of source affects.

As a pytest plugin (`-p tests.model.bug_injection`) it runs each test once for each bug that it must detect, with that
bug, and once more without any. SEEDED_BUGS names the file that gets the outcomes. Fixtures are made anew each time, so
that no bug leaves anything to the next.
"""

import importlib
import inspect
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from tests.model.seeded_bugs import BUGS, Bug


@contextmanager
def injected(bug: Bug) -> Iterator[None]:
    """Run with `bug` in the product, also where the module was imported before."""
    module = importlib.import_module(bug.module)
    source = Path(str(module.__file__)).read_text()
    assert source.count(bug.good) == 1, f"{bug.name}: {bug.good!r} must occur exactly once in {bug.module}"
    good, bad = _codes(source, module), _codes(source.replace(bug.good, bug.bad), module)
    assert good.keys() == bad.keys()
    changed = {name for name in good if _without_lines(good[name]) != _without_lines(bad[name])}
    assert changed, f"{bug.name} changes no function"
    functions = {name: function for name, function in _functions(module) if name in changed}
    assert functions.keys() == changed, f"{bug.name}: not all of {changed} can be reached"
    before = {name: function.__code__ for name, function in functions.items()}
    for name, function in functions.items():
        function.__code__ = bad[name]
    try:
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = before[name]


class Outcomes(NamedTuple):
    """What the tests of some bugs said."""

    detected: list[str]  # names of bugs with which a test failed, as it must
    broken: list[str]  # ids of tests that failed without a bug as well


def pytest_configure(config: pytest.Config) -> None:
    """Run tests with bugs."""
    config.pluginmanager.register(_BugRuns(), "bug runs")


class _BugRuns:
    """Replaces the one run of each test."""

    def __init__(self) -> None:
        self._outcomes = Outcomes([], [])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        """Run one test with each of its bugs, except those that another set of its parameters has detected."""
        bugs = [bug for bug in BUGS.values() if item.nodeid.partition("[")[0] == bug.detected_by]
        for bug in bugs:
            if bug.name not in self._outcomes.detected:
                with injected(bug):
                    if "call" in _failed_phases(item):  # a test that did not get as far has shown nothing
                        self._outcomes.detected.append(bug.name)
        if _failed_phases(item):
            self._outcomes.broken.append(item.nodeid)
        return True

    def pytest_sessionfinish(self) -> None:
        """Report."""
        Path(os.environ["SEEDED_BUGS"]).write_text(json.dumps(self._outcomes._asdict()))


def _failed_phases(item: pytest.Item) -> list[str]:
    """Run a test with fixtures of its own. Returns the phases that failed: setup, call, teardown."""
    return [report.when or "" for report in runtestprotocol(item, log=False, nextitem=None) if report.failed]


def _codes(source: str, module: ModuleType) -> dict[str, CodeType]:
    """The code of every function and method at the top of a module or of its classes, by qualified name."""
    found = {}
    pending: list[CodeType] = [compile(source, str(module.__file__), "exec")]
    while pending:
        for constant in pending.pop().co_consts:
            if isinstance(constant, CodeType):
                is_class = not constant.co_flags & 0x2  # CO_NEWLOCALS: a function's, not a class body's
                if is_class or constant.co_name.startswith("<generic"):
                    pending.append(constant)
                else:
                    found[constant.co_qualname] = constant
    return found


def _without_lines(code: CodeType) -> CodeType:
    inner = tuple(_without_lines(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_firstlineno=1, co_linetable=b"", co_consts=inner)


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    for held in vars(module).values():
        members = vars(held).values() if isinstance(held, type) and held.__module__ == module.__name__ else [held]
        for member in members:
            inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            inner = inspect.unwrap(inner) if callable(inner) else inner
            if isinstance(inner, FunctionType) and inner.__module__ == module.__name__:
                yield inner.__qualname__, inner
