"""Reads and writes JSON with orjson: the same results as the standard library, several times as fast.

If orjson refuses, or could silently read a number differently, the standard library decides.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from audience_sync.json_input import parse_json

# orjson reads an integer beyond 64 bits as a float. It has at least 19 digits, and one of these characters before them.
# If a string in the body looks the same, the other parser reads the body, which is only slower.
_BEFORE_NUMBER = b"[,: \t\n\r-"
_SIGNS = bytes.maketrans(b"123456789" + _BEFORE_NUMBER, b"0" * 9 + b":" * len(_BEFORE_NUMBER))
_LONG_NUMBER = b"0" * 19
_LONG_NUMBER_INSIDE = b":" + _LONG_NUMBER

PART = 32 * 1024  # bytes parsed together: with their results, they fit the processor's caches
_FIRST_NAME = re.compile(rb'\[(\{"[^"\\]{1,100}":)')  # of the first object of an array; most others begin the same way


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
            pass  # or valid for us, not for orjson: half a surrogate pair, 1e400, more than 1,024 levels
    return parse_json(body.decode("utf-8"))


def read_json_in_parts(body: bytes) -> Iterator[Any]:
    """Parse a body as `read_json` does, but a long array of objects part by part: each can use the memory of the last.

    A part ends between two objects. The meaning of JSON never depends on later characters, so if everything before the
    end, closed with a bracket, is an array, these are its first elements.

    Args:
        body: JSON in UTF-8.

    Returns:
        Lists that together are the array; for anything else, the value alone.

    Raises:
        UnicodeDecodeError, ValueError, RecursionError: as `read_json`, but after the parts before the fault.
    """
    first = _FIRST_NAME.match(body)
    start = 1
    while first and len(body) - start > 2 * PART:
        end = body.find(b"}," + first[1], start + PART) + 1
        part = _array(body[start:end]) if end else None
        if not part:  # the objects begin differently, or a nested one begins the same way
            break
        yield part
        start = end + 1
    yield read_json(body if start == 1 else b"[" + body[start:])


def _array(elements: bytes) -> list[Any] | None:
    """Parse the elements of an array; None if they are not valid."""
    try:
        array: list[Any] = read_json(b"[%b]" % elements)
    except (ValueError, RecursionError):
        return None
    return array


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
