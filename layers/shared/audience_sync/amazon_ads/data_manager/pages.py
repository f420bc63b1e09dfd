"""Reads the lists of Ads Data Manager page by page."""

from collections.abc import Callable, Iterator
from typing import Any

from audience_sync.amazon_ads.answer_fields import require_object, text_or_none
from audience_sync.errors import OutcomeUnknown

PAGE = 100  # entries; Amazon's most
MAX_PAGES = 100  # then a list does not end


def pages(read: Callable[[dict[str, str]], Any]) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list, each read with the token of the one before.

    Raises:
        OutcomeUnknown: the list does not end.
    """
    token: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        answer = require_object(read(token))
        yield answer
        if not (following := text_or_none(answer.get("nextToken"))):
            return
        token = {"nextToken": following}
    raise OutcomeUnknown(f"a list of Amazon's does not end after {MAX_PAGES} pages")
