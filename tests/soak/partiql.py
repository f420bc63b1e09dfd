"""The two PartiQL statements that the membership table takes: INSERT of a row, and UPDATE of one revision of it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tests.soak.expressions import Row

_INSERT = re.compile(r"""\s*INSERT\s+INTO\s+"([^"]+)"\s+VALUE\s+\{(.*)\}\s*""", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r"""\s*'([^']+)'\s*:\s*\?\s*""")
_UPDATE = re.compile(r"""\s*UPDATE\s+"([^"]+)"\s+SET\s+(.*?)\s+WHERE\s+(.*?)\s*""", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"""\s*"?(\w+)"?\s*=\s*\?\s*""")
_AND = re.compile(r"\s+AND\s+", re.IGNORECASE)


class Statement(NamedTuple):
    """One statement with its parameters."""

    table: str
    is_insert: bool
    attributes: Row  # set or inserted
    where: Row  # equal to; empty for an INSERT


def read_statement(text: str, parameters: Sequence[dict[str, Any]]) -> Statement:
    """Read a statement of one of the two forms; anything else is an error of the test or of the product."""
    table, names, conditions = _parsed(text)
    assert len(parameters) == len(names) + len(conditions), f"{len(parameters)} parameters for {text}"
    attributes = dict(zip(names, parameters, strict=False))
    where = dict(zip(conditions, parameters[len(names) :], strict=True))
    return Statement(table, not conditions, attributes, where)


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    if insert := _INSERT.fullmatch(text):
        return insert[1], _all(_FIELD, insert[2].split(","), text), ()
    update = _UPDATE.fullmatch(text)
    assert update, f"not known here: {text}"
    return (
        update[1],
        _all(_ASSIGNMENT, update[2].split(","), text),
        _all(_ASSIGNMENT, _AND.split(update[3]), text),
    )


def _all(pattern: re.Pattern[str], parts: Sequence[str], text: str) -> tuple[str, ...]:
    found = [pattern.fullmatch(part) for part in parts]
    assert all(found), f"not known here: {text}"
    return tuple(match[1] for match in found if match)
