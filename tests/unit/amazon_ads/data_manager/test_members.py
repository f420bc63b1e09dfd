"""Members and identities as Ads Data Manager gets them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.apis import encode, frame_of, requests_of
from audience_sync.amazon_ads.data_manager.members import encode_identities, encode_member, has_consent
from audience_sync.amazon_ads.destination import of_data_manager
from audience_sync.amazon_ads.record import audience_record, exit_record
from audience_sync.amazon_ads.upload import Request, Target, UploadSize, cut_uploads
from audience_sync.fields import IDENTIFIERS
from audience_sync.membership import Destination
from tests.builders import change

GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}}
EVERY_IDENTIFIER = {field.amazon_name: f"{number:064x}" for number, field in enumerate(IDENTIFIERS)}
THE_PERSON = {"em": 0, "ph": 1, "fn": 2, "ln": 3, "ad": 4, "cty": 5, "st": 6, "zip": 7}


def member(record: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_member(record))
    return read


def emails(count: int) -> list[dict[str, str]]:
    return [{"email": f"{number:064x}"} for number in range(count)]


def test_a_member_carries_every_identifier_under_the_name_of_this_api_with_country_and_consent() -> None:
    record = audience_record("m1", "CREATE", [EVERY_IDENTIFIER], "DE", {"geo": {"ipAddress": "192.0.2.1"}} | GRANTED)
    assert member(record) == {
        "externalUserId": "m1",
        "action": "CREATE",
        "userIdentity": {"hashedPiis": [{name: f"{number:064x}" for name, number in THE_PERSON.items()}]},
        "userConsent": {"geo": {"ipAddress": "192.0.2.1", "countryCode": "DE"}} | GRANTED,
    }


def test_without_country_and_consent_a_member_states_neither() -> None:
    assert "userConsent" not in member(audience_record("m1", "CREATE", emails(1), None, {}))


def test_a_member_holds_the_ten_identities_named_last() -> None:
    identities = member(audience_record("m1", "CREATE", emails(11), "US", GRANTED))["userIdentity"]["hashedPiis"]
    assert [each["em"] for each in identities] == [each["email"] for each in emails(10)]


def test_a_person_is_deleted_by_member_id_and_by_every_identity_in_tens() -> None:
    entries = json.loads(b"[%b]" % encode_identities(audience_record("m1", "DELETE", emails(12), None, {})))
    first, *others = entries
    assert first == {"externalUserId": "m1"}
    assert [len(each["identity"]["hashedPiis"]) for each in others] == [10, 2]


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
def test_amazon_takes_a_removal_with_its_own_signal_granted(consent: dict[str, Any], allows: bool) -> None:
    assert has_consent({"userConsent": consent}) is allows


@pytest.mark.parametrize(
    ("consent", "erase", "requests"),
    [
        pytest.param(GRANTED, False, [Request.MEMBERS], id="an exit"),
        pytest.param({}, False, [Request.MEMBERS], id="an exit without consent: Amazon may ignore it"),
        pytest.param(GRANTED, True, [Request.MEMBERS, Request.IDENTITIES], id="a deletion notice"),
        pytest.param({}, True, [Request.IDENTITIES], id="a deletion notice of a person without consent"),
    ],
)
def test_a_removal_takes_these_requests(consent: dict[str, Any], erase: bool, requests: list[Request]) -> None:
    leaving = change("m1", "a", exits=True, record={"userConsent": consent}, destination=of_data_manager())
    assert list(requests_of(replace(leaving, erase=erase))) == requests
    assert list(requests_of(replace(leaving, erase=erase, destination=Destination()))) == [Request.RECORDS]


@pytest.mark.parametrize("request_", [Request.MEMBERS, Request.IDENTITIES])
def test_the_body_of_an_upload_is_json_whatever_its_request(request_: Request) -> None:
    target = Target("adm-1", of_data_manager())
    encoded = [encode(request_, change(f"m{number}", "a", destination=of_data_manager())) for number in range(3)]
    uploads = list(cut_uploads(target, frame_of(request_, target), encoded, UploadSize(2, 10_000)))
    (key,) = {key for upload in uploads for key in json.loads(upload.body())}
    people = [person for upload in uploads for person in json.loads(upload.body())[key] if "externalUserId" in person]
    assert [person["externalUserId"] for person in people] == ["m0", "m1", "m2"]


def test_only_an_exit_from_a_dataset_leaves_its_consent_to_the_row() -> None:
    record = audience_record("m1", "DELETE", [], None, {})
    assert exit_record(record, Destination()) == record
    assert "userConsent" not in exit_record(record, of_data_manager())
    denied = record | {"userConsent": {"consent": {"amzn": {"amznUserData": "DENIED"}}}}
    assert exit_record(denied, of_data_manager()) == denied
