"""Reason codes, as the command explains them. A deployed stack may be newer or older: any code is explained. Pure."""

from collections.abc import Mapping

from audience_sync.reasons import Reason
from audience_sync_cli.errors import sentence


def meaning(reason: str) -> str:
    """Return what a reason code means: the end of a sentence."""
    return Reason(reason).means if reason in Reason else f"the reason is {reason}"


def remedy(reason: str) -> str:
    """Return what to do, as a sentence; empty if it passes without a person."""
    found = Reason(reason).remedy if reason in Reason else "see Reason codes in docs/runbook.md"
    return sentence(found) if found else ""


def listed(counts: Mapping[str, int]) -> str:
    """Format counts by reason code, most first: 3 consent_missing, 1 country_invalid."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{number:,} {reason}" for reason, number in ordered)
