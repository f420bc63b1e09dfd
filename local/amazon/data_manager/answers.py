"""Error bodies, and times as the API writes them."""

import json
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from local.amazon.data_manager.operations import JSON
from local.amazon.refusals import Refusal

REQUEST_ID = "Amazon-Advertising-API-RequestId"
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


class DuplicateName(Refusal):
    """A dataset of this name exists: the error carries its id."""

    def __init__(self, dataset_id: str) -> None:
        super().__init__("A dataset with this name already exists")
        self.dataset_id = dataset_id


def error_body(refusal: Refusal) -> dict[str, Any]:
    """Build the body that all errors have. Two fields of a duplicate name differ."""
    code = str(refusal.status)
    body: dict[str, Any] = {"code": code, "message": refusal.message} | details(refusal)
    if isinstance(refusal, DuplicateName):
        body |= {"code": "DuplicateDatasetName", "datasetId": refusal.dataset_id}
    return body


def details(refusal: Refusal) -> dict[str, Any]:
    """Build the fields that the error of a request and the error of one member share."""
    kind = HTTPStatus(refusal.status).name
    error = {"errorCode": refusal.status, "errorMessage": refusal.message, "errorType": kind}
    return {"details": refusal.message, "errors": [error]}


def error_answer(refusal: Refusal, n: int, media_type: str = JSON) -> web.Response:
    """Answer the n-th request with an error."""
    body = json.dumps(error_body(refusal)).encode()
    return web.Response(status=refusal.status, body=body, headers={"Content-Type": media_type} | request_id(n))


def request_id(n: int) -> dict[str, str]:
    """Return the header that leads to the entry of the request log."""
    return {REQUEST_ID: f"sandbox-{n}"}


def written_time(seconds: float) -> str:
    """Write epoch seconds as UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(value: Any, field: str) -> float:
    """Read a UTC time as epoch seconds. Raises Refusal."""
    if type(value) is str and _UTC_TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:  # the 30th of February
            pass
    raise Refusal(f"{field} is not a UTC time such as 2026-11-28T05:30:00Z")
