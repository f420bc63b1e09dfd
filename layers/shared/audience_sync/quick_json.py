"""Reads and writes JSON with orjson, several times as fast as the standard library, and with the same outcome.

Where orjson refuses, or could read a number otherwise without saying so, the standard library decides.
"""

import json
from typing import Any

import orjson

from audience_sync.json_input import parse_json

# orjson reads an integer beyond 64 bits as a float. It has at least 19 digits, and one of these characters before them.
# Where a text of the body holds the same, the other parser reads the body, which is only slower.
_BEFORE_NUMBER = b"[,: \t\n\r-"
_SIGNS = bytes.maketrans(b"123456789" + _BEFORE_NUMBER, b"0" * 9 + b":" * len(_BEFORE_NUMBER))
_LONG_NUMBER = b"0" * 19
_LONG_NUMBER_INSIDE = b":" + _LONG_NUMBER


def read_json(body: bytes) -> Any:
    """Parse a body as `parse_json` does: NaN and Infinity are refused, integers keep all digits.

    Raises:
        UnicodeDecodeError: not UTF-8.
        ValueError: not JSON.
        RecursionError: nested too deep.
    """
    signs = body.translate(_SIGNS)
    if signs.rfind(_LONG_NUMBER_INSIDE) < 0 and not signs.startswith(_LONG_NUMBER):  # from the left it takes longer
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # or what orjson refuses and we do not: half a surrogate pair, 1e400, more than 1,024 levels
    return parse_json(body.decode("utf-8"))


def compact_json(value: Any) -> str:
    """Write a value as JSON in ASCII, without white space. NaN is written as `NaN`, as the standard library does."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, half a surrogate pair, or nested too deep for orjson
        text = b""
    # orjson writes other characters as UTF-8, and NaN as null.
    if text and text.isascii() and text.rfind(b"null") < 0:
        return text.decode("ascii")
    return json.dumps(value, separators=(",", ":"))


def utf8_json(value: Any) -> bytes:
    """Write a value as JSON in UTF-8, without white space; NaN becomes null."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # as in compact_json
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
