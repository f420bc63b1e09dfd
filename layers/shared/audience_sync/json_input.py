"""Reads JSON of strangers: its media type, and its text without what JSON does not have."""

import json
from collections.abc import Mapping
from typing import Any


def is_json(headers: Mapping[str, str]) -> bool:
    """Tell whether a body is announced as JSON, and not compressed. Header names are in lower case."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = headers.get("content-encoding", "identity").strip().lower()
    return (media_type == "application/json" or media_type.endswith("+json")) and encoding in ("", "identity")


def parse_json(text: str) -> Any:
    """Parse JSON as RFC 8259 has it: NaN and Infinity are refused.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deep.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")
