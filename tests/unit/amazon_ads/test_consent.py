"""Consent signals: what is sent, and which additions may not go without."""

from typing import Any

import pytest

from audience_sync.amazon_ads.consent import user_consent
from audience_sync.errors import RejectedEvent


@pytest.mark.parametrize(
    ("fields", "country", "expected"),
    [
        pytest.param({}, "US", {}, id="nothing to say"),
        pytest.param(
            {"amzn_user_data": "granted", "amzn_ad_storage": "GRANTED"},
            "DE",
            {
                "geo": {"countryCode": "DE"},
                "consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}},
            },
            id="Amazon's own signal",
        ),
        pytest.param(
            {"amzn_user_data": True},
            "US",
            {"geo": {"countryCode": "US"}, "consent": {"amzn": {"amznUserData": "GRANTED"}}},
            id="one of the two is enough",
        ),
        pytest.param(
            {"amzn_user_data": "GRANTED", "amzn_ad_storage": "no"},
            "DE",
            {"geo": {"countryCode": "DE"}, "consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "DENIED"}}},
            id="anything but a clear yes is a no",
        ),
        pytest.param(
            {"tcf": " CPx ", "gpp": "DBA"},
            "FR",
            {"geo": {"countryCode": "FR"}, "consent": {"tcf": "CPx", "gpp": "DBA"}},
            id="TCF and GPP",
        ),
        pytest.param({"amzn_user_data": "NOT_APPLICABLE"}, "US", {}, id="not applicable says nothing"),
        pytest.param(
            {"ip": "203.0.113.7"}, "US", {"geo": {"ipAddress": "203.0.113.7"}}, id="an IP address that was mapped"
        ),
        pytest.param({"ip": "not an address"}, "US", {}, id="an IP address that is none"),
    ],
)
def test_consent_is_sent_as_amazon_writes_it(fields: dict[str, Any], country: str, expected: dict[str, Any]) -> None:
    assert user_consent(fields, country, "require") == expected


@pytest.mark.parametrize("country", ["GB", "DE", "NO", "IS", "LI", "CH", "IE"])
def test_an_addition_from_where_consent_is_required_needs_a_signal(country: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        user_consent({"amzn_ad_storage": "UNKNOWN"}, country, "require")
    assert caught.value.reason == "consent_missing"
    assert user_consent({}, country, "pass") == {}


@pytest.mark.parametrize("policy", ["require", "pass"])
def test_denied_use_of_personal_data_never_leaves(policy: Any) -> None:
    with pytest.raises(RejectedEvent) as caught:
        user_consent({"amzn_user_data": "DENIED", "tcf": "CPx"}, "DE", policy)
    assert caught.value.reason == "consent_denied"


@pytest.mark.parametrize("text", ["x" * 20_000, "CP\u2028x", "CP\tx"])
def test_a_consent_string_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        user_consent({"tcf": text}, "DE", "require")
    assert caught.value.reason == "consent_invalid"
