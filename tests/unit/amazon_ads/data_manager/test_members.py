"""Members as Ads Data Manager gets them."""

import json
from typing import Any

import pytest

from audience_sync.amazon_ads.apis import is_ignored, is_proof
from audience_sync.amazon_ads.data_manager.members import encode_member, has_consent
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.record import audience_record, exit_record
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Destination
from tests.support.builders import change

GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}}
DENIED = {"consent": {"amzn": {"amznUserData": "DENIED"}}}
EVERY_IDENTIFIER = {field.amazon_name: f"{number:064x}" for number, field in enumerate(IDENTIFIERS)}
THE_PERSON = {"em": 0, "ph": 1, "fn": 2, "ln": 3, "ad": 4, "cty": 5, "st": 6, "zip": 7}


def member(record: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_member(record))
    return read


def emails(count: int) -> list[dict[str, str]]:
    return [{"email": f"{number:064x}"} for number in range(count)]


def test_a_member_has_every_identifier_under_its_data_manager_name_with_country_and_consent() -> None:
    record = audience_record("m1", "CREATE", [EVERY_IDENTIFIER], "DE", {"geo": {"ipAddress": "192.0.2.1"}} | GRANTED)
    assert member(record) == {
        "externalUserId": "m1",
        "action": "CREATE",
        "userIdentity": {"hashedPiis": [{name: f"{number:064x}" for name, number in THE_PERSON.items()}]},
        "userConsent": {"geo": {"ipAddress": "192.0.2.1", "countryCode": "DE"}} | GRANTED,
    }


def test_a_member_without_country_and_consent_has_no_user_consent() -> None:
    assert "userConsent" not in member(audience_record("m1", "CREATE", emails(1), None, {}))


def test_a_member_has_at_most_10_identities() -> None:
    identities = member(audience_record("m1", "CREATE", emails(11), "US", GRANTED))["userIdentity"]["hashedPiis"]
    assert [each["em"] for each in identities] == [each["email"] for each in emails(10)]


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
    ],
)
def test_a_removal_needs_amzn_user_data_granted(consent: dict[str, Any], allows: bool) -> None:
    assert has_consent({"userConsent": consent}) is allows


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
    leaving = change("m1", "a", exits=True, record={"userConsent": consent}, destination=destination)
    assert (is_ignored(destination, leaving.record), is_proof(leaving)) == (ignored, proof)


def test_an_exit_from_a_dataset_carries_no_empty_consent() -> None:
    record = audience_record("m1", "DELETE", [], None, {})
    assert exit_record(record, Destination()) == record
    assert "userConsent" not in exit_record(record, ads_data_manager())
    denied = record | {"userConsent": {"consent": {"amzn": {"amznUserData": "DENIED"}}}}
    assert exit_record(denied, ads_data_manager()) == denied
    bare = {name: value for name, value in record.items() if name != "userConsent"}
    assert exit_record(bare, ads_data_manager()) is bare
