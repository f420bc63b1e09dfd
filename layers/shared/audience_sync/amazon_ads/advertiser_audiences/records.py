"""Encodes records of the audience API, and builds the frame around them in an upload. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.destination import resource_of_upload
from audience_sync.amazon_ads.upload import Frame, Target, UploadKind
from audience_sync.fields import FIELDS
from audience_sync.members.membership import MembershipChange
from audience_sync.quick_json import utf8_json

_AUDIENCE_ID = next(field.sent_name for field in FIELDS if field.name == "audience_id")
_RENAMED = {field.amazon_name: field.sent_as for field in FIELDS if field.sent_as}


def encode_record(change: MembershipChange) -> bytes:
    """Encode a change as one record, in compact JSON. Consent is left out if it is empty, or of a removal."""
    record: dict[str, Any] = {"externalUserId": change.member_id}
    if change.country:
        record["countryCode"] = change.country
    record["action"] = "DELETE" if change.exits else "CREATE"
    record["hashedPII"] = [digests for _, digests in change.identities]
    if change.consent and not change.exits:
        record["userConsent"] = change.consent
    return utf8_json(renamed(record, _RENAMED) if _RENAMED else record)


def renamed(part: Any, names: Mapping[str, str]) -> Any:
    """Return a record, or a part of one, with its fields under the names that Amazon reads today."""
    if isinstance(part, Mapping):
        return {names.get(name, name): renamed(value, names) for name, value in part.items()}
    return [renamed(value, names) for value in part] if isinstance(part, list) else part


def frame_of(target: Target) -> Frame:
    """Return the frame around the records. The audience id becomes a JSON integer only here."""
    resource = resource_of_upload(target.destination)
    after = f'],"targetResource":{json.dumps(resource, separators=(",", ":"))}}}' if resource else "]}"
    before = f'{{"{_AUDIENCE_ID}":{int(target.audience_id)},"records":['
    return Frame(UploadKind.RECORDS, before.encode(), after.encode())
