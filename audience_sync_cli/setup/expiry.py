"""The expiry of a source's key, as `keys show` and `test` report it."""

from typing import Any

from audience_sync.access.credentials import StoredKey

EXPIRED, UNREADABLE = "expired, not accepted", "unreadable expiry date, not accepted"


def expiry_json(key: StoredKey, now: float) -> dict[str, Any]:
    """Return a key's last day and days left, and its state if it is refused for its expiry."""
    left = key.days_left(now)
    found: dict[str, Any] = {"expiresOn": key.expires_on and key.expires_on.isoformat(), "daysLeft": left}
    if not key.is_expiry_readable:
        return found | {"state": UNREADABLE}
    return found | ({"state": EXPIRED} if left is not None and left < 0 else {})
