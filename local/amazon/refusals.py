"""Refusals, and parsing of JSON bodies before their fields are checked."""

import json
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", strict=True)
MAX_LONG = 2**63 - 1  # Amazon declares unsigned 64-bit ids but parses them into a signed Java long


class Refusal(Exception):
    """Amazon answers with this status and message. Messages name fields, never values."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a request body. Raises Refusal unless it is one JSON object in UTF-8."""
    try:
        body = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal("Request body is not valid JSON") from None
    if type(body) is not dict:
        raise Refusal("Request body must be a JSON object")
    return body


def long_id(value: Any, field: str) -> int:
    """Read a 64-bit id: plain digits, no fraction, no exponent, no quotes. Raises Refusal.

    The wording follows a message from a live integration.
    """
    if type(value) is int:
        if 1 <= value <= MAX_LONG:
            return value
        raise Refusal(f"{field}: value is out of range for a Long")
    kind = {str: "STRING_VALUE", float: "DECIMAL_VALUE", bool: "BOOLEAN_VALUE", type(None): "NULL_VALUE"}
    raise Refusal(f"{field}: {kind.get(type(value), 'STRUCTURE')} can not be converted to a Long")


def only_fields(value: Any, allowed: AbstractSet[str], field: str) -> dict[str, Any]:
    """Read an object with no other fields than `allowed`. Raises Refusal."""
    if type(value) is not dict:
        raise Refusal(f"{field} must be an object")
    if not value.keys() <= allowed:
        raise Refusal(f"{field} has an unknown property")
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
