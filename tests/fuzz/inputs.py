"""How a target reads its input: as a small HTTP message, or as JSON. Any bytes are an input."""

import json
from typing import Any, NamedTuple


class Message(NamedTuple):
    """A first line, headers, and a body: what stands before the first empty line, and what follows it."""

    first_line: str
    headers: dict[str, str]  # names in lower case; a repeated one is joined by a comma, as API Gateway does
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> "Message":
        """Read an input. Without an empty line, all of it is the head."""
        head, _, body = data.partition(b"\n\n")
        first, *lines = head.decode("latin-1").split("\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            low = name.strip().lower()
            headers[low] = f"{headers[low]},{value.strip()}" if low in headers else value.strip()
        return cls(first.strip(), headers, body)


def json_or_none(data: bytes) -> Any:
    """Return the JSON value that an input is; None where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
