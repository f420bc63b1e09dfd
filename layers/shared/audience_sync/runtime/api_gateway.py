"""HTTP of the functions behind API Gateway: requests in, answers and error answers out."""

import base64
import json
import math
import time
from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.errors import (
    AudienceSyncError,
    InvalidAudience,
    InvalidRequest,
    OutOfTime,
    RequestRejected,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from audience_sync.json_input import is_json, parse_json

MIN_LEFT = 1.0  # seconds that must be left to begin
RETRY_AFTER = 5  # seconds, at least
MAX_FAULTS = 12  # described in an answer; its error names the fields of all. Segment's client hangs on large bodies
# The same for every cause, and for every route: it tells nobody what was wrong.
UNAUTHORIZED = {
    "error": "unauthorized",
    "message": "send Authorization: Bearer and the event key; to /v1/audiences, the audience key",
}

type Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as API Gateway's event describes it."""

    route: str  # "POST /v1/events"
    headers: dict[str, str] = field(repr=False)  # lower-case names
    query: dict[str, str] = field(repr=False)  # may hold a key
    body: bytes = field(repr=False)  # exactly as received
    source: str = ""  # the sender's address

    @classmethod
    def of(cls, event: dict[str, Any]) -> Self:
        """Read an event of payload version 2.0."""
        body = event.get("body") or ""
        return cls(
            event.get("routeKey", ""),
            {name.lower(): value for name, value in (event.get("headers") or {}).items()},
            dict(event.get("queryStringParameters") or {}),
            base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(errors="surrogatepass"),
            event.get("requestContext", {}).get("http", {}).get("sourceIp", ""),
        )

    def json_object(self, *, max_bytes: int) -> dict[str, Any]:
        """Read the body as one JSON object.

        Raises:
            TooLarge, UnsupportedMediaType, InvalidRequest: it is not one.
        """
        if len(self.body) > max_bytes:
            raise TooLarge(f"the body is over {max_bytes} bytes")
        if not is_json(self.headers):
            raise UnsupportedMediaType("send application/json in UTF-8, not compressed")
        try:
            parsed = parse_json(self.body.decode())
        except (ValueError, RecursionError):
            raise InvalidRequest("the body is not JSON in UTF-8") from None
        if not isinstance(parsed, dict):
            raise InvalidRequest("the body is not a JSON object")
        return parsed


def deadline(context: Any, budget: float) -> float:
    """Return the monotonic second by which the answer must be on its way.

    Args:
        context: Lambda's.
        budget: seconds that a request may take.

    Raises:
        TransientError: there is no time to begin.
    """
    left = (
        context.get_remaining_time_in_millis() / 1000 if hasattr(context, "get_remaining_time_in_millis") else math.inf
    )
    if left < MIN_LEFT:
        raise OutOfTime("not enough time left")
    return time.monotonic() + min(budget, left - MIN_LEFT / 2)


def error_answer(error: AudienceSyncError) -> Answer:
    """Return the answer to a request that failed or was only partly done."""
    match error:
        case Unauthorized():
            return answer(401, UNAUTHORIZED)
        case TooLarge():
            return answer(413, {"error": str(error)})
        case UnsupportedMediaType():
            return answer(415, {"error": str(error)})
        case InvalidAudience():
            return answer(400, {"error": str(error), "faults": [each.as_json() for each in error.faults[:MAX_FAULTS]]})
        case InvalidRequest() | RequestRejected():  # even if it is Amazon that refuses it
            return answer(400, {"error": str(error)})
        case _:  # our own failure: the whole request may be sent again, which is harmless
            wait = max(RETRY_AFTER, math.ceil(getattr(error, "retry_after", None) or 0))
            return answer(503, {"error": "temporarily unavailable"}, {"Retry-After": str(wait)})


_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    """Build an answer in API Gateway's format."""
    return {
        "statusCode": status,
        "headers": _HEADERS | (headers or {}),
        "body": json.dumps(body, separators=(",", ":")),
    }
