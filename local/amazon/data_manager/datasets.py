"""Datasets: their settings, members and counts."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local.amazon import countries, values
from local.amazon.audiences import identifiers_by_field, is_match
from local.amazon.data_manager.answers import written_time
from local.amazon.data_manager.identity import HASHED
from local.amazon.data_manager.membership import Finding, Membership
from local.amazon.ledger import Actions
from local.amazon.records import Record
from local.amazon.refusals import Refusal, only_fields

DAY = 86_400  # seconds
FUNNEL = ("RECEIVED", "VALID", "CONSENTED", "RESOLVED")  # the order is not documented
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{4,99}")
_PERSON = {"clientName": "sandbox", "createdBy": "sandbox", "lastModifiedBy": "sandbox"}
_COLUMNS = (
    ("externalUserId", "EXTERNAL_ID", False),
    ("em", "HASHED_EMAIL_ADDRESS", True),
    ("ph", "HASHED_PHONE_NUMBER", True),
    ("fn", "HASHED_FIRST_NAME", True),
    ("ln", "HASHED_LAST_NAME", True),
    ("ad", "HASHED_ADDRESS", True),
    ("cty", "HASHED_CITY", True),
    ("st", "HASHED_STATE", True),
    ("zip", "HASHED_ZIP_CODE", True),
)
_SCHEMA = [
    {"name": name, "dataType": kind, "columnType": "DIMENSION", "isRequired": False, "requiresOneWayHashing": hashed}
    for name, kind, hashed in _COLUMNS
]


def check_new_dataset(body: dict[str, Any]) -> None:
    """Check a body of POST /adm/audiences. Raises Refusal."""
    only_fields(body, {"name", "countryCode", "description", "idRetention"}, "body")
    if not _NAME.fullmatch(values.text(body, "name")):
        raise Refusal("name must be 5 to 100 letters, digits, hyphens and underscores, and begin with a letter")
    values.one_of(body.get("countryCode"), countries.ACCEPTED, "countryCode")
    values.optional_text(body, "description", 1, 1000)
    if "idRetention" in body:
        values.flag(body, "idRetention")


@dataclass(slots=True)
class Dataset:
    """One dataset. Updating one is not possible, so uploads alone modify it."""

    dataset_id: str
    number: int  # in the order of creation
    settings: dict[str, Any]  # a checked body of its creation
    created: float  # epoch seconds
    modified: float
    match_share: float
    finding: Finding
    consent_everywhere: bool
    is_deleted: bool = False
    members: Membership = field(default_factory=Membership)
    pending: dict[str, Actions] = field(default_factory=dict)  # of uploads without effect yet, by ingressId
    counts: dict[float, Counter[str]] = field(default_factory=dict)  # by the epoch seconds of a day

    @property
    def name(self) -> str:
        """Its name, unique in its data room."""
        return str(self.settings["name"])

    def count(self, now: float, **counts: int) -> None:
        """Add to the counts of a day."""
        self.modified = now
        self.counts.setdefault(now // DAY * DAY, Counter()).update(counts)

    def apply(self, ingress_id: str, records: list[Record], now: float, request: int) -> None:
        """Let an upload take effect. Members without the consent that is needed are skipped silently."""
        del self.pending[ingress_id]
        if self.is_deleted:
            return
        consented = resolved = 0
        for record in records:
            if not self._has_consent(record):
                continue
            consented += 1
            pairs = tuple(dict.fromkeys([pair for identity in record.identities for pair in identity]))
            matched = self._is_match(record, pairs[0])
            resolved += matched
            if record.action == "CREATE":
                self.members.add(record.external_user_id, pairs, now, matched=matched, request=request)
            else:
                self.members.remove(record.external_user_id, pairs, self.finding)
        self.count(now, CONSENTED=consented, RESOLVED=resolved)

    def shown(self) -> dict[str, Any]:
        """Show its members in the format of an audience."""
        members = {
            user: {"identifiers": identifiers_by_field(member.identifiers), "since": member.since}
            for user, member in self.members.by_id.items()
        }
        return {"audienceId": self.dataset_id, "name": self.name, "size": len(members), "members": members}

    def sizes(self, _now: float) -> dict[str, int]:
        """Count its members, and the matched ones, in the format of an audience."""
        return {"receivedRecordSize": len(self.members.by_id), "idResolutionCount": self.members.matched}

    def summary(self) -> dict[str, Any]:
        """Describe it as an entry of GET /adm/audiences."""
        dates = {"dateCreated": written_time(self.created), "lastModified": written_time(self.modified)}
        return {"dataSetId": self.dataset_id, "dataSetType": "AUDIENCE"} | self.settings | dates | _PERSON

    def described(self) -> dict[str, Any]:
        """Describe it as GET /adm/audiences/{dataSetId}."""
        return self.summary() | {"schema": _SCHEMA}

    def _has_consent(self, record: Record) -> bool:
        if record.action == "DELETE" or record.consent != "absent":
            return record.consent == "given"
        country = record.country or self.settings["countryCode"]
        return not self.consent_everywhere and country not in countries.CONSENT_NEEDED

    def _is_match(self, record: Record, first: tuple[str, str]) -> bool:
        name, value = first
        digest = value if name in HASHED.values() else hashlib.sha256(value.encode()).hexdigest()
        country = record.country or self.settings["countryCode"]
        return country in countries.MATCHED and is_match(digest, self.match_share)
