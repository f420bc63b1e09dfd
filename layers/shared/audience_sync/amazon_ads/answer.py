"""Reads the body of an HTTP answer within bounds: a socket timeout alone lets a trickle go on for ever."""

from collections.abc import Callable

import requests

from audience_sync.errors import OutcomeUnknown


def read_within(
    response: requests.Response, *, max_bytes: int, deadline: float, monotonic: Callable[[], float]
) -> bytes:
    """Return the whole body of an answer that was asked for with `stream=True`.

    Raises:
        OutcomeUnknown: it is longer than `max_bytes`, or did not end by `deadline` (monotonic seconds).
    """
    text = b""
    while part := response.raw.read1(65_536, decode_content=True):
        text += part
        if len(text) > max_bytes:
            raise OutcomeUnknown("the answer is too long to be one")
        if monotonic() > deadline:
            raise OutcomeUnknown("the answer did not end in time")
    return text
