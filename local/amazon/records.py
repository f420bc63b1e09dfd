"""Validation of uploads. Written by hand for speed: an upload has thousands of records."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from local.amazon import countries
from local.amazon.refusals import Refusal, long_id, only_fields

MAX_RECORDS = 10_000
MAX_IDENTITIES = 100  # objects in one record's hashedPII

type Identity = tuple[tuple[str, str], ...]  # (field, digest) pairs of one hashedPII object
type Consent = Literal["absent", "given", "denied"]

_UPLOAD_FIELDS = frozenset({"audienceId", "records", "targetResource"})
_RECORD_FIELDS = frozenset({"externalUserId", "action", "countryCode", "hashedPII", "userConsent", "measurements"})
_LEDGER_NAMES = {  # by the names in an upload
    name: name for name in ("email", "phone", "firstname", "lastname", "address", "city", "state", "postal")
}
_CONSENT_VALUES = frozenset({"DENIED", "GRANTED", "NOT_APPLICABLE", "UNKNOWN"})
_USER_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Record(NamedTuple):
    """One valid member of an upload."""

    external_user_id: str
    action: Literal["CREATE", "DELETE"]
    identities: tuple[Identity, ...]
    country: str | None
    consent: Consent
    consent_country: str | None


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """A valid body of POST /amc/audiences/records."""

    audience_id: int
    records: list[Record]
    connection_id: str | None  # None without a targetResource
    to_dsp: bool


def read_upload(body: dict[str, Any]) -> ReceivedUpload:
    """Read an upload. Raises Refusal (400) naming the first record and field at fault."""
    only_fields(body, _UPLOAD_FIELDS, "body")
    audience_id = long_id(body.get("audienceId"), "audienceId")
    listed = body.get("records")
    if type(listed) is not list or not 1 <= len(listed) <= MAX_RECORDS:
        raise Refusal(f"records must hold 1 to {MAX_RECORDS} entries")
    connection_id, to_dsp = _target(body["targetResource"]) if "targetResource" in body else (None, False)
    records: list[Record] = []
    try:
        records.extend(
            map(_record, listed)
        )  # on a refusal, extend keeps the records before it: their number is the position
    except Refusal as refusal:
        raise Refusal(f"records[{len(records)}].{refusal.message}") from None
    return ReceivedUpload(audience_id, records, connection_id, to_dsp)


def _record(record: Any) -> Record:
    if type(record) is not dict or not record.keys() <= _RECORD_FIELDS:
        raise Refusal("unknown property, or not an object")
    user_id, action = record.get("externalUserId"), record.get("action")
    if type(user_id) is not str or not _USER_ID.fullmatch(user_id):
        raise Refusal("externalUserId does not match ^[0-9a-zA-Z\\-\\_]{1,128}$")
    if action not in ("CREATE", "DELETE"):
        raise Refusal("action must be CREATE or DELETE")
    country = record.get("countryCode")
    if "countryCode" in record and not _is_country(country):
        raise Refusal("countryCode is not an accepted country")
    if "measurements" in record and type(record["measurements"]) is not dict:
        raise Refusal("measurements must be an object")
    identities = _identities(record.get("hashedPII"))
    consent, consent_country = _consent(record["userConsent"]) if "userConsent" in record else ("absent", None)
    return Record(user_id, action, identities, country, consent, consent_country)


def _identities(listed: Any) -> tuple[Identity, ...]:
    if type(listed) is not list or not 1 <= len(listed) <= MAX_IDENTITIES:
        raise Refusal(f"hashedPII must hold 1 to {MAX_IDENTITIES} entries")
    for identity in listed:
        if type(identity) is not dict or not identity or not identity.keys() <= _LEDGER_NAMES.keys():
            raise Refusal("hashedPII entry is empty or has an unknown property")
        for field, digest in identity.items():
            if type(digest) is not str or not _SHA256.fullmatch(digest) or digest == _SHA256_OF_NOTHING:
                raise Refusal(f"hashedPII.{field} is not the lowercase SHA-256 of a value")
    return tuple([tuple([(_LEDGER_NAMES[name], digest) for name, digest in identity.items()]) for identity in listed])


def _consent(value: Any) -> tuple[Consent, str | None]:
    stated = only_fields(value, frozenset({"geo", "consent"}), "userConsent")
    geo = only_fields(stated.get("geo", {}), frozenset({"countryCode", "ipAddress"}), "userConsent.geo")
    if "countryCode" in geo and not _is_country(geo["countryCode"]):
        raise Refusal("userConsent.geo.countryCode is not an accepted country")
    signals = only_fields(stated.get("consent", {}), frozenset({"amzn", "tcf", "gpp"}), "userConsent.consent")
    amazon = only_fields(
        signals.get("amzn", {}), frozenset({"amznAdStorage", "amznUserData"}), "userConsent.consent.amzn"
    )
    if any(type(given) is not str or given not in _CONSENT_VALUES for given in amazon.values()):
        raise Refusal("userConsent.consent.amzn holds an unknown value")
    for holder, field in ((geo, "ipAddress"), (signals, "tcf"), (signals, "gpp")):
        if field in holder and (type(holder[field]) is not str or not holder[field]):
            raise Refusal(f"userConsent: {field} must be a string with content")
    country = geo.get("countryCode")
    if "DENIED" in amazon.values():
        return "denied", country
    is_given = amazon.get("amznUserData") == "GRANTED" or "tcf" in signals or "gpp" in signals
    return ("given" if is_given else "absent"), country


def _target(value: Any) -> tuple[str, bool]:
    target = only_fields(value, frozenset({"connectionId", "targetTypes"}), "targetResource")
    connection_id, kinds = target.get("connectionId"), target.get("targetTypes", [])
    if type(connection_id) is not str or not connection_id:
        raise Refusal("targetResource.connectionId is required")
    if kinds not in ([], ["DSP"]):
        raise Refusal("targetResource.targetTypes may hold DSP, once, and nothing else")
    return connection_id, bool(kinds)


def _is_country(value: Any) -> bool:
    return type(value) is str and value in countries.ACCEPTED
