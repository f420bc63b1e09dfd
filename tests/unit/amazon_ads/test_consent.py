"""Consent signals: what is sent, and which additions need one."""

from typing import Any

import pytest

from audience_sync.amazon_ads.consent import SIGNALS, ConsentPolicy, user_consent
from audience_sync.errors import RejectedEvent


def consent_of(fields: dict[str, Any], country: str | None, policy: ConsentPolicy) -> dict[str, Any]:
    return user_consent([fields.get(name) for name in SIGNALS], country, policy)


GRANTED = {"amzn_user_data": "GRANTED", "amzn_ad_storage": "GRANTED"}
BOTH = {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}
STORAGE = {"amzn": {"amznAdStorage": "GRANTED"}}


@pytest.mark.parametrize(
    ("fields", "country", "consent"),
    [
        pytest.param({"amzn_user_data": "granted", "amzn_ad_storage": "GRANTED"}, "DE", BOTH, id="in small letters"),
        pytest.param(GRANTED, "DE", BOTH, id="both as Amazon writes them"),
        pytest.param({"amzn_user_data": True}, "US", {"amzn": {"amznUserData": "GRANTED"}}, id="one of the two"),
        pytest.param({"amzn_ad_storage": "GRANTED"}, "US", STORAGE, id="storage alone, where no consent is needed"),
        pytest.param({"tcf": " CPx ", "gpp": "DBA"}, "FR", {"tcf": "CPx", "gpp": "DBA"}, id="TCF and GPP"),
    ],
)
def test_consent_is_sent_in_amazons_spelling(fields: dict[str, Any], country: str, consent: dict[str, Any]) -> None:
    assert consent_of(fields, country, "require") == {"geo": {"countryCode": country}, "consent": consent}


@pytest.mark.parametrize(
    ("fields", "geo"),
    [
        pytest.param({}, None, id="no signal"),
        pytest.param({"amzn_user_data": "NOT_APPLICABLE"}, None, id="not applicable counts as absent"),
        pytest.param({"amzn_user_data": " "}, None, id="an empty signal counts as absent"),
        pytest.param({"ip": "203.0.113.7"}, {"ipAddress": "203.0.113.7"}, id="an IP address that was mapped"),
        pytest.param({"ip": " 203.0.113.7\n"}, {"ipAddress": "203.0.113.7"}, id="an IP address in white space"),
        pytest.param({"ip": "fe80::1%ada@example.com"}, None, id="an IP address with a zone, which may hold anything"),
        pytest.param({"ip": "not an address"}, None, id="an IP address that is none"),
    ],
)
def test_without_a_consent_signal_only_the_ip_address_is_sent(
    fields: dict[str, Any], geo: dict[str, str] | None
) -> None:
    assert consent_of(fields, "US", "require") == ({"geo": geo} if geo else {})


@pytest.mark.parametrize("country", ["GB", "DE", "NO", "IS", "LI", "CH", "IE"])
@pytest.mark.parametrize("given", [{}, {"amzn_ad_storage": "GRANTED"}, {"amzn_user_data": "UNKNOWN"}, {"gpp": ["DBA"]}])
def test_an_enter_from_the_eea_uk_or_switzerland_needs_consent_to_personal_data(country: str, given: Any) -> None:
    with pytest.raises(RejectedEvent) as caught:
        consent_of(given, country, "require")
    assert caught.value.reason == "consent_missing"
    assert "amzn" not in consent_of({}, country, "pass")


@pytest.mark.parametrize("policy", ["require", "pass"])
@pytest.mark.parametrize("field", ["amzn_user_data", "amzn_ad_storage"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *((no, "consent_denied") for no in ("DENIED", " denied", "no", "false", "0", False, 0)),
        *((unclear, "consent_invalid") for unclear in ("yes", "true", 1, 2, ["DENIED", "x"], {"status": "GRANTED"})),
    ],
)
def test_an_answer_other_than_granted_is_denied_or_invalid(field: str, answer: Any, reason: str, policy: Any) -> None:
    granted = GRANTED | {"tcf": "CPx"}
    for country in ("DE", "US"):
        with pytest.raises(RejectedEvent) as caught:
            consent_of(granted | {field: answer}, country, policy)
        assert (caught.value.reason, caught.value.field) == (reason, field)
        assert caught.value.detail.startswith(
            {"amzn_user_data": "amznUserData", "amzn_ad_storage": "amznAdStorage"}[field]
        )


@pytest.mark.parametrize("name", ["tcf", "gpp"])
def test_a_consent_string_has_at_most_16_384_characters(name: str) -> None:
    longest = "x" * 16_384
    assert consent_of({name: longest}, "DE", "require")["consent"] == {name: longest}
    assert consent_of({name: f" {longest} "}, "DE", "require")["consent"] == {name: longest}
    with pytest.raises(RejectedEvent, match=name) as caught:
        consent_of({name: longest + "x"}, "DE", "require")
    assert (caught.value.reason, caught.value.field) == ("consent_invalid", name)


@pytest.mark.parametrize("text", ["x" * 20_000, "CP\u2028x", "CP\tx"])
def test_a_malformed_consent_string_is_refused(text: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        consent_of({"tcf": text}, "DE", "require")
    assert caught.value.reason == "consent_invalid"
