"""Builds the consent signals of one record (`userConsent`), and refuses additions without a required signal."""

import ipaddress
import re
from typing import Any, Literal

from audience_sync.amazon_ads.countries import CONSENT_REQUIRED, accepted_country
from audience_sync.errors import RejectedEvent
from audience_sync.fields import CONSENT_SIGNALS
from audience_sync.reasons import Reason

ConsentPolicy = Literal["require", "pass"]

MAX_SIGNAL = 16_384  # characters of a TCF or GPP string; real ones are far shorter, and a record must fit its message

_IAB = re.compile(r"[0-9A-Za-z_.~-]+")  # Base64 for URLs, sections and segments: no @, so no e-mail address
SIGNALS = tuple(signal.name for signal in CONSENT_SIGNALS)
_AMAZON_NAMES = {signal.name: signal.amazon_name for signal in CONSENT_SIGNALS}
_AMAZONS_OWN = ("amzn_user_data", "amzn_ad_storage")
_NOTHING: list[Any] = [None] * len(SIGNALS)
_GRANTED = ["GRANTED" if name in _AMAZONS_OWN else None for name in SIGNALS]


def user_consent(
    signals: list[Any], country: str | None, policy: ConsentPolicy, *, everywhere: bool = False
) -> dict[str, Any]:
    """Build `userConsent` for an addition from the mapped fields.

    Args:
        signals: the value of each of SIGNALS, in that order; empty ones are left out. An IP address is clear text,
            so it is sent only if a mapping names it.
        country: the member's country, which decides whether consent is required.
        policy: "require" refuses an addition from the UK, the EEA or Switzerland unless there is consent:
            amznUserData is granted, or there is a TCF or GPP string; "pass" leaves that to Amazon.
        everywhere: require consent in every country.

    Returns:
        {} without any signal, else {"geo": {...}, "consent": {...}}.

    Raises:
        RejectedEvent: required consent is missing, consent is denied (under any policy), or a signal is malformed.
    """
    if signals == _NOTHING:  # most members outside the EEA
        _require(policy, country, everywhere)
        return {}
    if signals == _GRANTED:  # and inside the EEA
        return _laid_out({}, {"amzn": {_AMAZON_NAMES[name]: "GRANTED" for name in _AMAZONS_OWN}}, country)
    fields = dict(zip(SIGNALS, signals, strict=True))
    answers = {name: answer for name in _AMAZONS_OWN if (answer := _granted_or_denied(fields[name]))}
    texts = {_AMAZON_NAMES[name]: text for name in ("tcf", "gpp") if (text := _signal(name, fields[name]))}
    for name, answer in answers.items():
        if answer == "DENIED":
            detail = f"{_AMAZON_NAMES[name]} denies consent; Amazon would refuse the record"
            raise RejectedEvent(Reason.CONSENT_DENIED, detail, field=name)
    amzn = {_AMAZON_NAMES[name]: answer for name, answer in answers.items()}
    # Storage alone is consent to cookies, not to the use of personal data.
    if not (texts or "amznUserData" in amzn):
        _require(policy, country, everywhere)
    ip = fields["ip"]
    geo = {_AMAZON_NAMES["ip"]: ip_address} if isinstance(ip, str) and _is_ip(ip_address := ip.strip()) else {}
    return _laid_out(geo, ({"amzn": amzn} if amzn else {}) | texts, country)


def _laid_out(geo: dict[str, str], consent: dict[str, Any], country: str | None) -> dict[str, Any]:
    if consent and (code := accepted_country(country)):
        geo["countryCode"] = code
    return ({"geo": geo} if geo else {}) | ({"consent": consent} if consent else {})


def _require(policy: ConsentPolicy, country: str | None, everywhere: bool) -> None:
    if policy == "require" and (everywhere or country in CONSENT_REQUIRED):
        raise RejectedEvent(Reason.CONSENT_MISSING)


def _is_ip(text: str) -> bool:
    if not text or "%" in text:  # the zone of an IPv6 address is arbitrary text of any length
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _granted_or_denied(value: Any) -> str | None:
    """Read one of Amazon's own signals. Only a clear yes is a yes; "unknown" and "not applicable" count as absent."""
    if value is True:
        return "GRANTED"
    if value is None:
        return None
    word = value.strip().upper() if isinstance(value, str) else value
    if word in (None, "", [], {}, "NOT_APPLICABLE", "UNKNOWN"):
        return None
    return "GRANTED" if word == "GRANTED" else "DENIED"


def _signal(name: str, value: Any) -> str | None:
    if not isinstance(value, str) or not (text := value.strip()):
        return None
    if len(text) > MAX_SIGNAL or not _IAB.fullmatch(text):
        raise RejectedEvent(
            Reason.CONSENT_INVALID,
            f"{name} is longer than {MAX_SIGNAL} characters or not an IAB string; map the IAB string itself",
            field=name,
        )
    return text
