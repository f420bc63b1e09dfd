"""The bodies that Segment posts: an event, an array of events, or the Extensible Webhook's array of them."""

from collections.abc import Iterator
from typing import Any

from audience_sync.errors import InvalidRequest, TooLarge
from audience_sync.quick_json import read_json_in_parts

MAX_BODY = 4_500_000  # bytes; safely under Lambda's 6 MB with API Gateway's envelope
MAX_EVENTS = 10_000  # in one request; Segment sends 1,000, at most 4,000


def elements(body: bytes) -> Iterator[Any]:
    """Yield the elements one at a time and release each, so that memory is reused while still in the caches.

    Raises:
        InvalidRequest: not UTF-8, not JSON, not an event or an array of them, or an empty array.
        TooLarge: more than MAX_BODY bytes, or MAX_EVENTS events.
    """
    count = 0
    for part in _parts(body):
        if isinstance(part, dict) and part:
            yield part
            return
        if part == []:
            raise InvalidRequest("the body is an empty array")
        if not isinstance(part, list):
            raise InvalidRequest("the body is neither an event nor an array of events")
        count += len(part)
        if count > MAX_EVENTS:
            raise TooLarge(f"the body holds over {MAX_EVENTS} events; lower the batch size in Segment")
        part.reverse()
        while part:
            element = part.pop()
            yield element["json"] if isinstance(element, dict) and len(element) == 1 and "json" in element else element


def _parts(body: bytes) -> Iterator[Any]:
    if len(body) > MAX_BODY:
        raise TooLarge(f"the body is over {MAX_BODY} bytes; lower the batch size in Segment")
    try:
        yield from read_json_in_parts(body)
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON" if body.strip() else "the body is empty") from None
