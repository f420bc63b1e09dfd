"""Validation of member uploads. Written by hand for speed: an upload has thousands of members."""

from typing import Any

from local.amazon import countries
from local.amazon.data_manager.answers import details
from local.amazon.data_manager.identity import BrokenRule, read_identity
from local.amazon.records import Consent, Record
from local.amazon.refusals import Refusal, only_fields
from local.amazon.values import entries

MAX_MEMBERS = 10_000
_MEMBER_FIELDS = frozenset({"externalUserId", "action", "userIdentity", "userConsent"})
_CONSENT_VALUES = frozenset({"DENIED", "GRANTED", "NOT_APPLICABLE", "UNKNOWN"})


def read_members(body: dict[str, Any]) -> tuple[list[Record], dict[int, Refusal]]:
    """Read an upload: its valid members, and why others are rejected, by position. Raises Refusal for all of it."""
    only_fields(body, {"members"}, "body")
    records: list[Record] = []
    rejected: dict[int, Refusal] = {}
    for position, member in enumerate(entries(body, "members", 1, MAX_MEMBERS)):
        try:
            records.append(_member(member))
        except BrokenRule as broken:
            rejected[position] = broken
        except Refusal as refusal:
            raise Refusal(f"members[{position}]: {refusal.message}") from None
    return records, rejected


def member_errors(rejected: dict[int, Refusal], index_base: int) -> list[dict[str, Any]]:
    """Build the errors of an answer. They have no message, unlike the error of a request."""
    return [
        {"index": position + index_base, "code": str(refusal.status)} | details(refusal)
        for position, refusal in sorted(rejected.items())
    ]


def _member(member: Any) -> Record:
    if type(member) is not dict or not member.keys() <= _MEMBER_FIELDS:
        raise Refusal("unknown property, or not an object")
    user, action = member.get("externalUserId"), member.get("action")
    if type(user) is not str:
        raise Refusal("externalUserId must be a string")
    if action not in ("CREATE", "DELETE"):
        raise Refusal("action must be CREATE or DELETE")
    signals, country = _consent(member["userConsent"]) if "userConsent" in member else ({}, None)
    identities = read_identity(member.get("userIdentity"), "userIdentity")
    if not user:
        raise BrokenRule("externalUserId is empty")
    return Record(user, action, identities, country, _stated(signals, action), country)


def _consent(value: Any) -> tuple[dict[str, Any], str | None]:
    stated = only_fields(value, {"geo", "consent"}, "userConsent")
    geo = only_fields(stated.get("geo", {}), {"countryCode", "ipAddress"}, "userConsent.geo")
    signals = only_fields(stated.get("consent", {}), {"amzn", "tcf", "gpp"}, "userConsent.consent")
    amazon = only_fields(signals.get("amzn", {}), {"amznAdStorage", "amznUserData"}, "userConsent.consent.amzn")
    country = geo.get("countryCode")
    if "countryCode" in geo and (type(country) is not str or country not in countries.ACCEPTED):
        raise Refusal("userConsent.geo.countryCode is not an accepted country")
    if any(type(given) is not str or given not in _CONSENT_VALUES for given in amazon.values()):
        raise Refusal("userConsent.consent.amzn holds an unknown value")
    texts = {"ipAddress": geo, "tcf": signals, "gpp": signals}
    held = [(field, holder[field]) for field, holder in texts.items() if field in holder]
    if any(type(given) is not str for _, given in held):
        raise Refusal("userConsent: ipAddress, tcf and gpp must be strings")
    empty = [field for field, given in held if not given]
    if empty:
        raise BrokenRule(f"userConsent: {empty[0]} is empty")
    return signals, country


def _stated(signals: dict[str, Any], action: str) -> Consent:
    """Read the signals. A removal holds only with Amazon's own signal, an addition with any one."""
    amazon = signals.get("amzn", {})
    if action == "DELETE":
        return "given" if amazon.get("amznUserData") == "GRANTED" else "absent"
    if "DENIED" in amazon.values():
        return "denied"
    is_given = amazon.get("amznUserData") == "GRANTED" or "tcf" in signals or "gpp" in signals
    return "given" if is_given else "absent"
