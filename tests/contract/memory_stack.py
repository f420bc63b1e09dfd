"""A worker on a table in memory: what needs no server is tried in milliseconds, as mutation tests need it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from types import ModuleType
from typing import Any

from tests.contract.worker_stack import WorkerStack
from tests.doubles.dynamodb import MembershipRows


@dataclass
class MemoryStack(WorkerStack):
    """As the worker on a real table; test_dynamodb_double.py compares the two tables."""

    url: str = "http://127.0.0.1:9"  # nothing answers there
    table: str = "members"
    model: MembershipRows = field(default_factory=MembershipRows)

    def client(self) -> Any:
        return self.model

    def workers_client(self) -> Any:
        return _Noted(self.model, self.calls)


class _Noted:
    """Notes calls by the names that AWS gives them."""

    def __init__(self, model: MembershipRows, calls: list[str]) -> None:
        self._model = model
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append("".join(word.title() for word in name.split("_")))
        return getattr(self._model, name)


def without_a_server(module: ModuleType) -> dict[str, Callable[..., None]]:
    """Return those of a module's tests that take a stack, without those that disturb the network or count steps."""
    tests = {name: each for name, each in vars(module).items() if name.startswith("test_")}
    excluded = {"fault_proxy", "counted_steps"}
    return {
        name: each
        for name, each in tests.items()
        if "stack" in signature(each).parameters and not excluded.intersection(each.__code__.co_names)
    }
