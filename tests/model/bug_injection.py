"""Plants a bug into running code: exchanges the bytecode of the functions that one line of source changes.

As a pytest plugin (`-p tests.model.bug_injection`) it plants the bug that SEEDED_BUG names, for the whole run.
"""

import importlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tests.model.seeded_bugs import BUGS, Bug


@contextmanager
def injected(bug: Bug) -> Iterator[None]:
    """Have the product contain `bug`, wherever it has been imported already."""
    module = importlib.import_module(bug.module)
    source = Path(str(module.__file__)).read_text()
    assert source.count(bug.good) == 1, f"{bug.name}: {bug.good!r} must stand once in {bug.module}"
    sound, broken = _codes(source, module), _codes(source.replace(bug.good, bug.bad), module)
    assert sound.keys() == broken.keys()
    changed = {name for name in sound if _without_lines(sound[name]) != _without_lines(broken[name])}
    assert changed, f"{bug.name} changes no function"
    functions = {name: function for name, function in _functions(module) if name in changed}
    assert functions.keys() == changed, f"{bug.name}: not all of {changed} can be reached"
    before = {name: function.__code__ for name, function in functions.items()}
    for name, function in functions.items():
        function.__code__ = broken[name]
    try:
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = before[name]


def pytest_configure(config: Any) -> None:
    """Plant what SEEDED_BUG names."""
    planting = injected(BUGS[os.environ["SEEDED_BUG"]])
    planting.__enter__()
    config.add_cleanup(lambda: planting.__exit__(None, None, None))


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
