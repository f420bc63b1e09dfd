"""Requests to Amazon's sandbox for the page: a line each, and on demand the shape of one, without values."""

import json
import re
from typing import Any

from audience_sync_cli.dashboard.facts import UploadFacts
from local.amazon.ledger import RequestEntry

_KINDS = {int: "number", float: "number", bool: "true or false"}
_AUDIENCE = re.compile(rb'"audienceId"\s*:\s*(\d+)')
_IN_PATH = re.compile(r"/(?:amc/audiences/metadata|adm/audiences)/([^/]+)")
UPLOADS = re.compile(r"/amc/audiences/records|/adm/audiences/[^/]+/members")


def request_line(entry: RequestEntry) -> UploadFacts:
    """Summarize one request. Its body is searched, not parsed: it may be a megabyte, once a second."""
    raw = entry.raw or b""
    in_body, in_path = _AUDIENCE.search(raw), _IN_PATH.search(entry.path)
    audience_id = in_body[1].decode() if in_body else in_path[1] if in_path else None
    return UploadFacts(
        n=str(entry.n),
        at=entry.at,
        method=entry.method,
        path=entry.path,
        status=entry.status,
        audience_id=audience_id,
        records=raw.count(b'"externalUserId"') if UPLOADS.fullmatch(entry.path) else None,
        faults=tuple(entry.faults),
    )


def opened_request(entry: RequestEntry) -> dict[str, Any]:
    """Return address, size and shape of a request."""
    body: Any = None
    if entry.raw:
        try:
            body = shape(json.loads(entry.raw))
        except ValueError:
            body = shape(entry.raw.decode(errors="replace"))
    return {
        "request": f"{entry.method} {entry.path}",
        "status": entry.status,
        "bytes": None if entry.raw is None else len(entry.raw),
        "contentType": entry.headers.get("Content-Type", ""),
        "faults": entry.faults,
        "body": body,
    }


def shape(value: Any) -> Any:
    """Replace every value by its kind. The first entry stands for a whole list."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [*map(shape, value[:1]), *([f"and {len(value) - 1:,} more"] if len(value) > 1 else [])]
    if isinstance(value, str):
        return f"string of {len(value):,} character{'' if len(value) == 1 else 's'}"
    return _KINDS.get(type(value))
