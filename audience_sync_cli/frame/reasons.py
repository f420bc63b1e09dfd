"""Reason codes, as the command explains them. A deployed stack may be newer or older: any code is explained. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum, auto
from typing import Any, NamedTuple

from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.members.membership import MembershipChange
from audience_sync.reasons import Reason
from audience_sync_cli.frame.errors import sentence
from audience_sync_cli.frame.unusable import SCIENTIFIC_NOTATION


class Explained(NamedTuple):
    """A reason code in words."""

    means: str  # the end of a sentence
    remedy: str  # a sentence; empty if it passes without a person


_REDRIVE = "Redrive it: a person is to leave."
_CORRECT = "If the detail names a field, correct the source and drop it: Segment's next event is sent. Else redrive it."


FORMER = {  # of dead letters from before jobs were repeated
    "job_failed": Explained("Amazon's whole job failed", "Redrive it."),
    "job_unknown": Explained("the outcome of Amazon's job is unknown", "Redrive it."),
}


class RowReason(StrEnum):
    """Reasons for which only a row of a file is left out."""

    MEMBER_ID_SCIENTIFIC = auto()
    MEMBER_ID_ADDRESS = auto()
    ERASED = auto()


ROW_REMEDIES: dict[str, str] = {  # of rows of a file: no mapping is at fault
    Reason.ROW_UNREADABLE: "give no row more cells than the first row has, or write one JSON object a line",
    Reason.MEMBER_ID_MISSING: "give every member an external user id",
    Reason.MEMBER_ID_INVALID: "an id may hold 1 to 128 letters, digits, - and _",
    RowReason.MEMBER_ID_SCIENTIFIC: f"{SCIENTIFIC_NOTATION.means}: {SCIENTIFIC_NOTATION.remedy}",
    Reason.MEMBER_ID_PLACEHOLDER: "it stands for no value, such as NULL, N/A or 0: give the member's own id",
    RowReason.MEMBER_ID_ADDRESS: "give the id that your mapping sends; if it hashes addresses with @sha256, "
    "--hash-ids does it as your mapping does",
    Reason.NO_IDENTIFIER: "give an email, a phone number or another identifier that is not empty after normalization",
    Reason.COUNTRY_INVALID: "give the country as a code, or in English or German: US, USA, Germany or Deutschland",
    Reason.CONSENT_MISSING: "the UK, the EEA, Switzerland and datasets need amzn_user_data, tcf, gpp or --consent",
    Reason.CONSENT_DENIED: "they have denied consent; import removes them from every audience",
    Reason.CONSENT_INVALID: "a consent column says yes or no, GRANTED or DENIED; tcf and gpp are the IAB string itself",
    RowReason.ERASED: "named in a deletion notice, or denied consent; --include-erased imports who has consented since",
}


def explained(reason: str) -> Explained:
    """Explain a reason code, also one that only another version knows."""
    if reason not in Reason:
        return FORMER.get(reason) or Explained(f"the reason is {reason}", "See Reason codes in docs/runbook.md.")
    known = Reason(reason)
    return Explained(known.means, sentence(known.remedy) if known.remedy else "")


def parked(reason: str, changes: Sequence[MembershipChange] = ()) -> Explained:
    """Explain why changes of one audience are in the dead letter queue, with the remedy for what they are."""
    known = explained(reason)
    if reason == Reason.ACCESS_DENIED and any(not is_of_audience_api(each.destination) for each in changes):
        return known._replace(remedy=known.remedy.replace("terms show", "terms show --api data-manager"))
    if reason in (Reason.JOB_REJECTED, Reason.REQUEST_REJECTED) and changes:
        return known._replace(remedy=_REDRIVE if any(each.exits for each in changes) else _CORRECT)
    return known


def row_remedy(reason: str) -> str:
    """Return the remedy for a row of a file that is left out."""
    return ROW_REMEDIES.get(reason) or explained(reason).remedy


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
