"""Injects a bug into running code: replaces the bytecode of the functions that one changed line of source affects.

As a pytest plugin (`-p tests.model.bug_injection`) it keeps the collected tests ready, and runs those of a bug when
asked. SEEDED_BUGS is the file descriptor of a socket: in come names of bugs, a line each, and out go Outcomes as JSON.
Fixtures are made anew for each run, so that no bug leaves anything to the next.
"""

import importlib
import inspect
import json
import os
import socket
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


class Outcome(NamedTuple):
    """What the test of one bug said."""

    detected_by: str | None  # id of the test that failed with the bug, as it must
    is_broken: bool  # it failed without the bug as well


def pytest_configure(config: pytest.Config) -> None:
    """Run tests with bugs."""
    config.pluginmanager.register(_BugRuns(), "bug runs")


class _BugRuns:
    """Replaces the run of all tests by runs on request."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer until the other side closes the socket."""
        with socket.socket(fileno=int(os.environ["SEEDED_BUGS"])) as channel, channel.makefile() as names:
            for name in names:
                outcome = _outcome(session.items, BUGS[name.rstrip("\n")])
                channel.sendall(json.dumps(outcome).encode() + b"\n")
        return True


def _outcome(items: list[pytest.Item], bug: Bug) -> Outcome:
    """Run a test with one set of its parameters after the other until one detects the bug, and that without the bug."""
    for item in items:
        if item.nodeid.partition("[")[0] == bug.detected_by:
            with injected(bug):
                failed = _failed_phases(item)
            if "call" in failed:  # a test that did not get as far has shown nothing
                return Outcome(item.nodeid, is_broken=bool(_failed_phases(item)))
    return Outcome(None, is_broken=False)


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
