"""Builds the consent signals of one record (`userConsent`), and finds denied and missing consent."""

import ipaddress
import re
from typing import Any, Literal

from audience_sync.amazon_ads.countries import CONSENT_REQUIRED, accepted_country
from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.errors import RejectedEvent
from audience_sync.fields import CONSENT_SIGNALS
from audience_sync.members.membership import Consent, Destination
from audience_sync.reasons import Reason

ConsentPolicy = Literal["require", "pass"]

MAX_SIGNAL = 16_384  # characters of a TCF or GPP string; real ones are far shorter, and a record must fit its message

_IAB = re.compile(r"[0-9A-Za-z_.~-]+")  # Base64 for URLs, sections and segments: no @, so no e-mail address
SIGNALS = tuple(signal.name for signal in CONSENT_SIGNALS)
_AMAZON_NAMES = {signal.name: signal.amazon_name for signal in CONSENT_SIGNALS}
_AMAZONS_OWN = ("amzn_user_data", "amzn_ad_storage")
_PLACES = [(name, SIGNALS.index(name)) for name in _AMAZONS_OWN]
_DENIED = (False, "DENIED", "NO", "FALSE", "0")  # 0 equals False
_NOTHING: list[Any] = [None] * len(SIGNALS)
_GRANTED = ["GRANTED" if name in _AMAZONS_OWN else None for name in SIGNALS]


def user_consent(
    signals: list[Any], country: str | None, policy: ConsentPolicy, *, everywhere: bool = False
) -> dict[str, Any]:
    """Build `userConsent` for an addition from the mapped fields.

    Args:
        signals: the value of each of SIGNALS, in that order; empty ones are left out. An IP address is plain text,
            so it is sent only if a mapping names it.
        country: the member's country, which decides whether consent is required.
        policy: "require" refuses an addition from the UK, the EEA or Switzerland unless there is consent:
            amznUserData is granted, or there is a TCF or GPP string; "pass" leaves that to Amazon.
        everywhere: require consent in every country.

    Returns:
        {} without any signal, else {"geo": {...}, "consent": {...}}.

    Raises:
        RejectedEvent: consent is denied (under any policy), required consent is missing, or a signal is malformed.
    """
    if signals == _NOTHING:  # most members outside the EEA
        _require(policy, country, everywhere)
        return {}
    if signals == _GRANTED:  # and inside the EEA
        return _laid_out({}, {"amzn": {_AMAZON_NAMES[name]: "GRANTED" for name in _AMAZONS_OWN}}, country)
    require_no_denial(signals)
    fields = dict(zip(SIGNALS, signals, strict=True))
    amzn = {_AMAZON_NAMES[name]: "GRANTED" for name in _AMAZONS_OWN if _is_granted(name, fields[name])}
    texts = {_AMAZON_NAMES[name]: text for name in ("tcf", "gpp") if (text := _signal(name, fields[name]))}
    # Storage alone is consent to cookies, not to the use of personal data.
    if not (texts or "amznUserData" in amzn):
        _require(policy, country, everywhere)
    ip = fields["ip"]
    geo = {_AMAZON_NAMES["ip"]: ip_address} if isinstance(ip, str) and _is_ip(ip_address := ip.strip()) else {}
    return _laid_out(geo, ({"amzn": amzn} if amzn else {}) | texts, country)


def consent_of_exit(stated: Consent | None, destination: Destination) -> Consent | None:
    """Return the consent of an exit, given what it states: from a dataset, nothing counts as the row's consent.

    Ads Data Manager removes a member only with consent: that under which the member was added.
    """
    return stated if stated or is_of_audience_api(destination) else None


def require_no_denial(signals: list[Any]) -> None:
    """Raise RejectedEvent if one of Amazon's own signals denies consent. Only a clear no does."""
    if signals == _NOTHING:  # as in most events
        return
    for name, place in _PLACES:
        value = signals[place]
        if value is not None and value != "GRANTED" and _word(value) in _DENIED:
            raise RejectedEvent(Reason.CONSENT_DENIED, f"{_AMAZON_NAMES[name]} denies consent", field=name)


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


def _is_granted(name: str, value: Any) -> bool:
    """Read one of Amazon's own signals, not a denial. "unknown" and "not applicable" count as absent.

    Anything else is neither a yes nor a no: it lets nobody enter, and ends no membership.
    """
    if value is None:
        return False
    word = _word(value)
    if word in ("", [], {}, "NOT_APPLICABLE", "UNKNOWN"):
        return False
    if word != "GRANTED" and value is not True:
        raise RejectedEvent(
            Reason.CONSENT_INVALID, f"{_AMAZON_NAMES[name]} is neither GRANTED nor DENIED; map one of them", field=name
        )
    return True


def _word(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


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
