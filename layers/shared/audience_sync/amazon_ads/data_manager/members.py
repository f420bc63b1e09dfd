"""Encodes members of a dataset. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from audience_sync.amazon_ads.answer_fields import object_or_empty
from audience_sync.amazon_ads.destination import MAX_IN_DATASET
from audience_sync.amazon_ads.upload import Frame, Target, UploadKind, UploadSize
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Consent, Identity, MembershipChange, denies_consent
from audience_sync.quick_json import utf8_json

# Amazon accepts 10,000 members and 10 MB, and recommends 5,000 members. Larger requests take longer to repeat.
MEMBERS_SIZE = UploadSize(5_000, 2_000_000)
_FRAME = Frame(UploadKind.MEMBERS, b'{"members":[', b"]}")
_NAMES = {field.amazon_name: field.data_manager_name for field in IDENTIFIERS}


def encode_member(change: MembershipChange) -> bytes:
    """Encode one member as compact JSON, with the identities named last."""
    member: dict[str, Any] = {
        "externalUserId": change.member_id,
        "action": "DELETE" if change.exits else "CREATE",
        "userIdentity": {"hashedPiis": _hashed(change.identities[:MAX_IN_DATASET])},
    }
    if consent := _user_consent(change):
        member["userConsent"] = consent
    return utf8_json(member)


def frame_of(_target: Target) -> Frame:
    """Return the frame around the members. The dataset is in the path."""
    return _FRAME


def is_granted(consent: Consent | None) -> bool:
    """Return whether this is the consent without which Amazon ignores a removal."""
    stated = object_or_empty(_signals(consent).get("amzn"))
    return stated.get("amznUserData") == "GRANTED" and not denies_consent(consent)


def is_stated(consent: Consent | None) -> bool:
    """Return whether there is a consent signal, without which Amazon adds nobody."""
    return not denies_consent(consent) and bool(_signals(consent).keys() & {"tcf", "gpp"} or is_granted(consent))


def _signals(consent: Consent | None) -> Mapping[str, Any]:
    """Return the signals. Messages and rows promise an object for `userConsent`, and nothing within it."""
    return object_or_empty((consent or {}).get("consent"))


def _hashed(identities: Iterable[Identity]) -> list[dict[str, str]]:
    return [{_NAMES[name]: digest for name, digest in each.digests.items() if name in _NAMES} for each in identities]


def _user_consent(change: MembershipChange) -> Consent:
    stated = change.consent or {}
    if change.country:  # Amazon reads no other country of a member
        return {**stated, "geo": {**object_or_empty(stated.get("geo")), "countryCode": change.country}}
    return stated
