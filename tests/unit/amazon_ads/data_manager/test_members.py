"""Members as Ads Data Manager gets them."""

import json
from typing import Any

import pytest

from audience_sync.amazon_ads.apis import is_ignored, is_proof
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.data_manager.members import encode_member, is_granted
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Consent, Destination, Identity, MembershipChange
from tests.support.builders import change

GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}}
DENIED = {"consent": {"amzn": {"amznUserData": "DENIED"}}}
EVERY_IDENTIFIER = {field.amazon_name: f"{number:064x}" for number, field in enumerate(IDENTIFIERS)}
THE_PERSON = {"em": 0, "ph": 1, "fn": 2, "ln": 3, "ad": 4, "cty": 5, "st": 6, "zip": 7}


def member(change: MembershipChange) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_member(change))
    return read


def test_a_member_has_every_identifier_under_its_data_manager_name_with_country_and_consent() -> None:
    consent = {"geo": {"ipAddress": "192.0.2.1"}} | GRANTED
    assert member(change(identities=(Identity(1, EVERY_IDENTIFIER),), country="DE", consent=consent)) == {
        "externalUserId": "m1",
        "action": "CREATE",
        "userIdentity": {"hashedPiis": [{name: f"{number:064x}" for name, number in THE_PERSON.items()}]},
        "userConsent": {"geo": {"ipAddress": "192.0.2.1", "countryCode": "DE"}} | GRANTED,
    }


def test_a_member_without_country_and_consent_has_no_user_consent() -> None:
    assert "userConsent" not in member(change("m1", "a"))


def test_a_member_has_at_most_10_identities() -> None:
    emails = [f"{number:064x}" for number in range(11)]
    identities = member(change("m1", *emails, country="US", consent=GRANTED))["userIdentity"]["hashedPiis"]
    assert [each["em"] for each in identities] == emails[:10]


@pytest.mark.parametrize(
    ("consent", "allows"),
    [
        pytest.param(GRANTED, True, id="granted"),
        pytest.param({"consent": {"amzn": {"amznUserData": "GRANTED"}}}, True, id="granted for personal data alone"),
        pytest.param({"consent": {"amzn": {"amznUserData": "DENIED"}}}, False, id="denied"),
        pytest.param(
            {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "DENIED"}}}, False, id="denied in part"
        ),
        pytest.param({"consent": {"amzn": {"amznAdStorage": "GRANTED"}}}, False, id="granted for cookies alone"),
        pytest.param({"consent": {"tcf": "C1"}}, False, id="a TCF string alone"),
        pytest.param({}, False, id="nothing"),
        pytest.param(None, False, id="only the row knows it"),
    ],
)
def test_a_removal_needs_amzn_user_data_granted(consent: Consent | None, allows: bool) -> None:
    assert is_granted(consent) is allows


@pytest.mark.parametrize(
    ("consent", "destination", "ignored", "proof"),
    [
        pytest.param(GRANTED, ads_data_manager(), False, True, id="a dataset: granted"),
        pytest.param({}, ads_data_manager(), False, False, id="a dataset: nothing is known"),
        pytest.param(DENIED, ads_data_manager(), True, False, id="a dataset: denied"),
        pytest.param(DENIED, Destination(), False, True, id="the audience API needs no consent"),
    ],
)
def test_a_removal_of_a_denied_member_is_ignored_and_only_one_with_consent_is_proof(
    consent: dict[str, Any], destination: Destination, ignored: bool, proof: bool
) -> None:
    leaving = change("m1", "a", exits=True, consent=consent, destination=destination)
    assert (is_ignored(leaving), is_proof(leaving)) == (ignored, proof)


def test_an_exit_from_a_dataset_carries_no_empty_consent() -> None:
    assert consent_of_exit({}, Destination()) == {}
    assert consent_of_exit({}, ads_data_manager()) is None
    assert consent_of_exit(DENIED, ads_data_manager()) == DENIED
    assert consent_of_exit(None, ads_data_manager()) is None
