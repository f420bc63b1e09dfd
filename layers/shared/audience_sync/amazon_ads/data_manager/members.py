"""Encodes members of a dataset, from the same records as for the audience API. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from audience_sync.amazon_ads.answer_fields import object_or_empty
from audience_sync.amazon_ads.destination import MAX_IN_DATASET
from audience_sync.amazon_ads.upload import Frame, Target, UploadKind, UploadSize
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import denies_consent
from audience_sync.quick_json import utf8_json

# Amazon accepts 10,000 members and 10 MB, and recommends 5,000 members. Larger requests take longer to repeat.
MEMBERS_SIZE = UploadSize(5_000, 2_000_000)
_FRAME = Frame(UploadKind.MEMBERS, b'{"members":[', b"]}")
_NAMES = {field.amazon_name: field.data_manager_name for field in IDENTIFIERS}


def encode_member(record: Mapping[str, Any]) -> bytes:
    """Encode one member as compact JSON, with the identities named last."""
    member: dict[str, Any] = {
        "externalUserId": record["externalUserId"],
        "action": record["action"],
        "userIdentity": {"hashedPiis": _hashed(record["hashedPII"][:MAX_IN_DATASET])},
    }
    if consent := _user_consent(record):
        member["userConsent"] = consent
    return utf8_json(member)


def frame_of(_target: Target) -> Frame:
    """Return the frame around the members. The dataset is in the path."""
    return _FRAME


def has_consent(record: Mapping[str, Any]) -> bool:
    """Return whether a record carries the consent without which Amazon ignores a removal."""
    return _amazons(record).get("amznUserData") == "GRANTED" and not denies_consent(record)


def states_consent(record: Mapping[str, Any]) -> bool:
    """Return whether a record carries a consent signal, without which Amazon adds nobody."""
    texts = object_or_empty(record.get("userConsent", {}).get("consent")).keys() & {"tcf", "gpp"}
    return not denies_consent(record) and bool(texts or has_consent(record))


def _amazons(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return Amazon's own signals. Messages and rows promise an object for `userConsent`, and nothing within it."""
    return object_or_empty(object_or_empty(record.get("userConsent", {}).get("consent")).get("amzn"))


def _hashed(identities: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{_NAMES[name]: digest for name, digest in identity.items() if name in _NAMES} for identity in identities]


def _user_consent(record: Mapping[str, Any]) -> dict[str, Any]:
    stated: dict[str, Any] = record.get("userConsent", {})
    if country := record.get("countryCode"):  # Amazon reads no other country of a member
        return stated | {"geo": {**object_or_empty(stated.get("geo")), "countryCode": country}}
    return stated
