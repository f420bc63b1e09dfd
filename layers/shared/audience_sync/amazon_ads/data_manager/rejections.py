"""Reads which members of an upload Amazon has refused, and why. Pure."""

from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.answer_fields import count_or_none, object_or_empty, objects
from audience_sync.amazon_ads.redaction import redact
from audience_sync.errors import RequestRejected

_BAD_REQUEST = 400


def rejected_members(
    answer: Mapping[str, Any], sent: int, first: int | None = None
) -> tuple[dict[int, RequestRejected], int | None]:
    """Return the refused members by place, from 0, and Amazon's first place, if it is known. The others are accepted.

    Amazon does not document whether `index` counts from 0 or from 1. It shows if 0 occurs, or the number sent.

    Args:
        answer: to POST /adm/audiences/{dataSetId}/members.
        sent: the number of members.
        first: the first place, if an earlier answer has shown it.

    Raises:
        RequestRejected: some members are refused, and nobody can say which. As with a 400, sending fewer at a time
            finds them: of a single member, any error is its own.
    """
    listed = answer.get("errors") or []
    errors = [object_or_empty(each) for each in (listed if isinstance(listed, list) else [listed])]
    places = [count_or_none(error.get("index")) for error in errors]
    if sent in places:
        first = 1
    elif 0 in places:
        first = 0
    if sent == 1 and errors:
        return {0: _rejection(errors[0])}, first
    by_place = {place - (first or 0): error for place, error in zip(places, errors, strict=True) if place is not None}
    is_clear = first is not None or not errors
    if not is_clear or None in places or not all(0 <= place < sent for place in by_place):
        raise RequestRejected(
            "Amazon refuses members of the upload, but its answer does not say which ones", status=_BAD_REQUEST
        )
    return {place: _rejection(error) for place, error in by_place.items()}, first


def _rejection(error: Mapping[str, Any]) -> RequestRejected:
    """Build the error of one member, with Amazon's codes and the known words of its messages."""
    reasons = objects(error.get("errors"))
    status = error.get("code")
    numbers = [str(number) for each in reasons if (number := count_or_none(each.get("errorCode"))) is not None]
    texts = [each.get(name) for each in reasons for name in ("errorType", "errorMessage")] + [error.get("details")]
    codes = [number for number in numbers if len(number) <= 6]  # longer ones may be part of the member
    quoted = dict.fromkeys([*codes, *(redact(text) for text in texts if isinstance(text, str))])
    message = " ".join(filter(None, quoted))[:200]
    is_status = isinstance(status, str) and status.isascii() and status.isdecimal() and len(status) == 3
    return RequestRejected(
        f"Amazon refuses the member{f': {message}' if message else ''}",
        status=int(status) if is_status and isinstance(status, str) else _BAD_REQUEST,
    )
