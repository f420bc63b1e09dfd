"""The terms of one of Amazon's APIs, which a person accepts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.amazon_ads.answer_fields import text_or_none


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms, for the user or account whose authorization we hold."""

    accepted: bool
    agreement: str = ""  # HTML, for a person to read before accepting
    token: str = field(default="", repr=False)  # identifies the accepted text

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Read Amazon's answer."""
        agreement, token = (text_or_none(answer.get(name)) for name in ("agreementContent", "agreementToken"))
        return cls(answer.get("hasAccepted") is True, agreement or "", token or "")

    def acceptance(self) -> dict[str, Any]:
        """Build the body that accepts them."""
        return {"agreementToken": self.token, "hasAccepted": True}
