"""A worker on a table in memory: what needs no server is tried in milliseconds, as mutation tests need it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from types import ModuleType
from typing import Any

from botocore.exceptions import ClientError

from tests.contract.worker_stack import WorkerStack
from tests.model.table_model import Row, TableModel


@dataclass
class MemoryStack(WorkerStack):
    """As the worker on a real table; test_table_model.py compares the two tables."""

    url: str = "http://127.0.0.1:9"  # nothing answers there
    table: str = "members"
    model: TableModel = field(default_factory=TableModel)

    def client(self) -> Any:
        return self.model

    def workers_client(self) -> Any:
        return _Noted(self.model, self.calls)


class FaultyTable(TableModel):
    """A table that refuses some statements of its next requests, or all requests while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[dict[int, str]] = []  # for each of the next requests the statements' positions and codes
        self.down = False

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        if self.down:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "BatchGetItem")
        return super().batch_get_item(RequestItems=RequestItems)

    def batch_execute_statement(self, *, Statements: list[Row]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if self.down:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "BatchExecuteStatement")
        codes = self.refused.pop(0) if self.refused else {}
        taken = [each for position, each in enumerate(Statements) if position not in codes]
        responses = iter(super().batch_execute_statement(Statements=taken)["Responses"] if taken else [])
        return {
            "Responses": [
                {"Error": {"Code": codes[position]}} if position in codes else next(responses)
                for position in range(len(Statements))
            ]
        }


class _Noted:
    """Notes calls by the names that AWS gives them."""

    def __init__(self, model: TableModel, calls: list[str]) -> None:
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
