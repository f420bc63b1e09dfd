"""Reads JSON from outside: checks media type and charset, and refuses NaN and Infinity."""

import json
from collections.abc import Mapping
from typing import Any

# JSON has no charset parameter (RFC 8259, section 11), but senders add one. The same bytes mean different text in
# another charset, so we do not guess.
_CHARSETS = ("utf-8", "utf8")


def is_json(headers: Mapping[str, str]) -> bool:
    """Return whether a body is declared as uncompressed JSON in UTF-8. Header names are in lower case."""
    media_type, *parameters = headers.get("content-type", "").split(";")
    media_type = media_type.strip().lower()
    encoding = headers.get("content-encoding", "identity").strip().lower()
    return (
        (media_type == "application/json" or media_type.endswith("+json"))
        and all(_is_utf8(parameter) for parameter in parameters)
        and encoding in ("", "identity")
    )


def _is_utf8(parameter: str) -> bool:
    """Return whether a parameter of the media type is UTF-8, or not a charset."""
    name, _, value = parameter.partition("=")
    return name.strip().lower() != "charset" or value.strip().strip('"').strip().lower() in _CHARSETS


def parse_json(text: str) -> Any:
    """Parse JSON as defined in RFC 8259: NaN and Infinity are refused.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deep.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")
