"""Reason codes, as the command explains them. A deployed stack may be newer or older: any code is explained. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from audience_sync.reasons import Reason
from audience_sync_cli.errors import sentence


class Explained(NamedTuple):
    """A reason code in words."""

    means: str  # the end of a sentence
    remedy: str  # a sentence; empty if it passes without a person


_EXIT = Explained(
    "an exit without identifiers, of a member of whom no row is stored",
    "Drop it. If the person is in the audience, remove them at Amazon.",
)


def explained(reason: str) -> Explained:
    """Explain a reason code, also one that only another version knows."""
    if reason not in Reason:
        return Explained(f"the reason is {reason}", "See Reason codes in docs/runbook.md.")
    known = Reason(reason)
    return Explained(known.means, sentence(known.remedy) if known.remedy else "")


def parked(reason: str) -> Explained:
    """Explain why a change is in the dead letter queue."""
    return _EXIT if reason == Reason.NO_IDENTIFIER else explained(reason)


def listed(counts: Mapping[str, int]) -> str:
    """Format counts by reason code, most first: 3 consent_missing, 1 country_invalid."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{number:,} {reason}" for reason, number in ordered)


def rejection_table(rejections: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return columns and rows of rejections in the form of the answer; an audience is named if others accept."""
    columns = {"event": "index", "message": "messageId", "reason": "reason", "detail": "detail"}
    if any("audienceId" in each for each in rejections):
        columns["by audience"] = "audienceId"
    return (*columns,), [tuple(each.get(name, "") for name in columns.values()) for each in rejections]
