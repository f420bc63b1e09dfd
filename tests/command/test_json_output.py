"""What every command prints under --json is as docs/cli.schema.json has it, and all times have one form."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from audience_sync_cli.frame.errors import EXIT_CODES
from audience_sync_cli.frame.screen import iso_time
from tests.command.every_command import Ran, printed
from tests.support.command_lines import commands
from tests.support.json_schema import SCHEMA, faults

NOT_SHOWN = {
    "stopped",  # more dead letters than a test can make
    "namedAt",  # identities of several events
    *("entered", "nextTry", "recorded", "sentence"),  # tests/e2e/test_send.py
}


@pytest.fixture
def printed_documents(every_command: list[Ran]) -> dict[str, list[Any]]:
    """Every command's documents, from one session with a stack."""
    found: dict[str, list[Any]] = {}
    for ran in every_command:
        found.setdefault(ran.command, []).extend(ran.documents)
    return found


def test_every_command_has_a_schema_and_the_schemas_are_valid() -> None:
    assert set(SCHEMA["commands"]) == {" ".join(path) for path, _ in commands()}, "see docs/cli.schema.json"
    for schema in (*SCHEMA["commands"].values(), *SCHEMA["$defs"].values()):
        Draft202012Validator.check_schema(schema)


def test_json_output_conforms_to_the_schema(printed_documents: dict[str, list[Any]]) -> None:
    assert set(printed_documents) == set(SCHEMA["commands"]), "add a line to SESSION"
    documents = [(name, each) for name, documents in printed_documents.items() for each in documents]
    assert [fault for name, document in documents for fault in faults(name, document)] == []


def test_every_documented_field_is_printed_by_some_command(printed_documents: dict[str, list[Any]]) -> None:
    names = set(_field_names(printed_documents))
    of_errors = {"error", "message", "exitCode", "faults"}
    documented = {*_documented(SCHEMA["commands"]), *_documented(SCHEMA["$defs"])} - of_errors
    assert documented - names == NOT_SHOWN


def test_no_time_in_json_is_a_number(printed_documents: dict[str, list[Any]]) -> None:
    """Epoch seconds of this century, and epoch milliseconds, are larger than any count in these documents."""
    assert [number for number in _numbers(printed_documents) if number >= 900_000_000] == []


def test_json_errors_conform_to_the_schema() -> None:
    schema = SCHEMA["$defs"]["error"]
    for line in ("statsu", "status --hours x", "status --local http://127.0.0.1:9"):
        Draft202012Validator(schema).validate(printed(*shlex.split(line), "--json"))
    codes = schema["properties"]["error"]["properties"]["exitCode"]["enum"]
    assert codes == [code for code in EXIT_CODES if code not in (0, 130)]


def test_json_times_are_iso_8601_in_utc() -> None:
    times = ["2026-03-04T09:15:22.118Z", "1970-01-01T00:00:00.000Z", None]
    assert [iso_time(each) for each in (1_772_615_722_118, 0, None)] == times


def _field_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _field_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _field_names(inner)


def _documented(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties":
                yield from inner
            yield from _documented(inner)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value
