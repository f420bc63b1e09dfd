"""The error for an unlisted audience. Echoes the id or key only if it cannot be personal data.

A mapping may read any field as audience id, and events may have any shape, so a value is repeated only if its form
rules out personal data.
"""

import re
from typing import Any

from audience_sync.amazon_ads.ids import audience_id
from audience_sync.errors import RejectedEvent
from audience_sync.reasons import Reason

_COMPUTATION_KEY = re.compile(r"[a-z][a-z0-9_]{0,79}")  # as Segment makes them; longer ones would leave no room
_AMAZON_ID = re.compile(r"[0-9]{16,20}")  # more digits than the fifteen of the longest phone number


def unknown_audience(mapped: Any, computation_key: str | None) -> RejectedEvent:
    """Return the rejection of an event whose audience is not listed.

    Args:
        mapped: the field audience_id, whatever it is; if empty, the audience was looked up by its key.
        computation_key: of the event.
    """
    return RejectedEvent(Reason.AUDIENCE_UNKNOWN, _by_key(computation_key) if mapped in (None, "") else _by_id(mapped))


def _by_key(key: str | None) -> str:
    named = f' "{key}"' if key and _COMPUTATION_KEY.fullmatch(key) else ""
    return f"no audience is linked to the computation key{named}; create it through Segment, or link one to the key"


def _by_id(mapped: Any) -> str:
    named_id = audience_id(mapped)
    if named_id is None:
        return "audience_id is not an Amazon id (1 to 20 digits, or a dataset's); correct the mapping of audience_id"
    named = f" {named_id}" if _AMAZON_ID.fullmatch(named_id) else ""
    return f"no audience with the mapped audience_id{named} is listed here; link that audience, or correct the mapping"
