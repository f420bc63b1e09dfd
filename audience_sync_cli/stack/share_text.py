"""The shares of a dataset as operators type and read them, and for scripts. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.amazon_ads.data_manager.marketplaces import BY_COUNTRY
from audience_sync.amazon_ads.data_manager.share_settings import AMC, DSP, NewShare, ShareReader
from audience_sync_cli.frame.errors import WrongUsage

_NAMES = {  # as typed: field of a share in Segment's extras
    "advertiser": "advertiserId",
    "amc": "amcInstanceId",
    "marketplace": "marketplace",
    "entity": "accountEntityId",
}
HELP = "advertiser=ID,marketplace=US for Amazon DSP, or amc=ID,marketplace=US for AMC."
_FORM = "A share must name one account and its marketplace."
_FORM_REMEDY = "Write advertiser=ID,marketplace=US or amc=ID,marketplace=US; add ,entity=ID if Amazon asks for it."
NEW_IN_DSP = "A new share makes a new DSP audience: switch the campaigns of an ended share to it."
_COUNTRIES = {market: country for country, market in BY_COUNTRY.items()}


def share_entry(text: str) -> dict[str, str]:
    """Read a share as typed, and return it as Segment's extras have it. Raises WrongUsage."""
    pairs = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in text.split(","))]
    entry = {_NAMES[name]: value for name, value in pairs if name in _NAMES and value}
    if len(entry) != len(pairs):
        raise WrongUsage(_FORM, _FORM_REMEDY)
    reader = ShareReader(entry, "")
    reader.share(frozenset())
    if [fault.field for fault in reader.faults] == ["marketplace"] and "marketplace" in entry:
        raise WrongUsage("That marketplace is not known.", f"Use its id, or one of {', '.join(BY_COUNTRY)}.")
    if reader.faults:
        raise WrongUsage(_FORM, _FORM_REMEDY)
    return entry


def new_share(text: str) -> NewShare:
    """Read a share as typed. Raises WrongUsage."""
    return ShareReader(share_entry(text), "").share(frozenset())


def account(share: Share) -> str:
    """Return the account that a share is with. One that was made elsewhere may be of another application."""
    kind = {DSP: "DSP advertiser", AMC: "AMC instance"}.get(share.application, share.application)
    return f"{kind} {share.destination}".strip()


def as_typed(shares: Iterable[Share]) -> str:
    """Return the account of the first share as `audiences share` reads it, or what to replace if there is none."""
    for each in shares:
        if kind := {DSP: "advertiser", AMC: "amc"}.get(each.application):
            return f"{kind}={each.destination},marketplace={_COUNTRIES.get(each.marketplace_id, each.marketplace_id)}"
    return "advertiser=ID,marketplace=US"


def state(share: Share) -> str:
    """Return the state of a share in words, with the party that revoked it."""
    words = share.status.replace("_", " ").lower()
    if share.status == "SHADOW":
        return "SHADOW, which Amazon does not explain"
    if not share.revoked_by or share.status.endswith(share.revoked_by):
        return words or "not known"
    return f"{words}, {share.revoked_by.replace('_', ' ').lower()}"


def rows(shares: Sequence[Share]) -> list[tuple[str, ...]]:
    """Return the rows of a table of shares; COLUMNS are its heads."""
    return [
        (
            each.share_id,
            account(each),
            _COUNTRIES.get(each.marketplace_id, each.marketplace_id),
            state(each),
            ", ".join(each.audience_ids),
        )
        for each in shares
    ]


COLUMNS = ("share id", "with", "marketplace", "state", "audience ids in DSP")


def share_json(share: Share) -> dict[str, Any]:
    """Return a share for the JSON output."""
    return {
        "shareId": share.share_id,
        "application": share.application,
        "accountId": share.destination,
        "marketplaceId": share.marketplace_id,
        "status": share.status or None,
        "revokedBy": share.revoked_by or None,
        "dspAudienceIds": list(share.audience_ids),
    }
