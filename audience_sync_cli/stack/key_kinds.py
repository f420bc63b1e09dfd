"""The kinds of Segment's credentials, under their names in the ingest secret."""

from enum import StrEnum
from typing import Any

from audience_sync.access.credentials import Keyring


class KeyKind(StrEnum):
    """The three kinds of credentials."""

    EVENT = "event"
    AUDIENCE = "audience"
    SIGNING = "signing"

    @property
    def current(self) -> str:
        """Its name in the ingest secret."""
        return {"event": "eventKey", "audience": "audienceKey", "signing": "signingSecret"}[self.value]

    @property
    def label(self) -> str:
        """Its name in sentences."""
        return "signing secret" if self is KeyKind.SIGNING else f"{self.value} key"

    @property
    def previous(self) -> str:
        """The previous value's name in the ingest secret."""
        return f"previous{self.current[0].upper()}{self.current[1:]}"


def is_strong(value: Any) -> bool:
    """Return whether the functions would accept a value as a key."""
    return Keyring.from_json({KeyKind.EVENT.current: value}).event_keys.is_usable
