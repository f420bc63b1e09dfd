"""Finds cells that are not the member id that they seem to be. If ids are hashed here, no later rule can see it."""

from typing import Any

from audience_sync.amazon_ads.placeholders import is_placeholder
from audience_sync.reasons import Reason
from audience_sync_cli.frame.reasons import RowReason
from audience_sync_cli.frame.unusable import is_scientific


def mistaken_id(value: Any, *, is_hashed: bool, exits: bool) -> Reason | RowReason | None:
    """Return why a cell is not a member id; None if the rules for events decide.

    `is_hashed` is whether ids are hashed here, so that an address is one. A member who exits may have a placeholder.
    """
    text = str(value).strip() if type(value) in (str, int) else ""
    if text and is_placeholder(text) and not exits:
        return Reason.MEMBER_ID_PLACEHOLDER
    if is_scientific(text) and not text.isalnum():  # 4E11 may be an id in hexadecimal digits
        return RowReason.MEMBER_ID_SCIENTIFIC
    return None if is_hashed or "@" not in text else RowReason.MEMBER_ID_ADDRESS
