"""The requests that create and share a dataset, for settings that people type, and the faults in them."""

import json
import re
from typing import Any

import pytest
from hypothesis import strategies as st

from audience_sync.amazon_ads.countries import ACCEPTED
from audience_sync.amazon_ads.data_manager.dataset_settings import NewDataset, new_dataset
from audience_sync.amazon_ads.data_manager.share_settings import MAX_SHARES
from audience_sync.errors import InvalidAudience
from tests.support.data_manager_schema import SCHEMA

DROP = object()  # as a value: leave the field out
DSP = {"advertiserId": "ENTITY1", "marketplace": "US"}
AMC = {"amcInstanceId": "amc1", "marketplace": "DE"}
EXTRAS: dict[str, Any] = {"audienceName": "Lapsed buyers", "countryCode": "DE", "shares": [DSP, AMC]}


def requested(**fields: Any) -> NewDataset:
    return new_dataset({name: value for name, value in (EXTRAS | fields).items() if value is not DROP})


def faults_of(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidAudience) as caught:
        requested(**fields)
    assert all(fault.remedy for fault in caught.value.faults)
    return {fault.field: fault.allowed for fault in caught.value.faults}


def test_a_dataset_and_its_shares_have_exactly_these_bodies() -> None:
    dataset = requested(externalAudienceId="lapsed-1", idRetention="true", description="d")
    body = dataset.as_body()
    assert body == {"name": body["name"], "countryCode": "DE", "description": "d", "idRetention": True}
    described = {"audienceName": "Lapsed buyers", "externalAudienceId": "lapsed-1", "description": "d"}
    assert dataset.share_bodies("ds-1") == [
        {
            "application": "DSP_AUDIENCES",
            "dataSetId": "ds-1",
            "destinationAccountId": "ENTITY1",
            "marketplaceId": "ATVPDKIKX0DER",
            "metadata": {"audienceMetadata": described},
        },
        {
            "application": "AMAZON_MARKETING_CLOUD",
            "dataSetId": "ds-1",
            "destinationAccountId": "amc1",
            "marketplaceId": "A1PA6795UKMFR9",
            "metadata": {"amcMetadata": {"amcInstanceId": "amc1"}},
        },
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("Lapsed_buyers-2", r"Lapsed_buyers-2", id="a valid name stays"),
        pytest.param("VIP-1", r"VIP-1", id="the shortest"),
        pytest.param("a" * 100, r"a{100}", id="the longest"),
        pytest.param("Lapsed buyers", r"segment-lapsed-buyers-[0-9a-f]{16}", id="a space"),
        pytest.param("VIPs", r"segment-vips-[0-9a-f]{16}", id="too short"),
        pytest.param("2026-buyers", r"segment-2026-buyers-[0-9a-f]{16}", id="a digit first"),
        pytest.param("a" * 101, r"segment-a{40}-[0-9a-f]{16}", id="too long"),
        pytest.param("山田", r"segment-[0-9a-f]{16}", id="other letters"),
    ],
)
def test_a_name_that_is_invalid_for_a_dataset_is_replaced_by_a_derived_one(name: str, expected: str) -> None:
    dataset = requested(audienceName=name)
    assert re.fullmatch(expected, dataset.name)
    assert (dataset.segment_name, requested(audienceName=name, ttl="").name) == (name, dataset.name)


@pytest.mark.parametrize(
    ("prefix", "name"), [("A-", "A-Lapsed_buyers"), ("A ", r"segment-a-lapsed-buyers-[0-9a-f]{16}")]
)
def test_a_name_prefix_does_not_change_the_external_id_of_a_dataset(prefix: str, name: str) -> None:
    fields = EXTRAS | {"audienceName": "Lapsed_buyers"}
    dataset = new_dataset(fields, name_prefix=prefix)
    assert re.fullmatch(name, dataset.name)
    assert dataset.segment_name == f"{prefix}Lapsed_buyers"
    assert dataset.external_audience_id == new_dataset(fields).external_audience_id
    with pytest.raises(InvalidAudience):
        new_dataset(fields | {"audienceName": "n" * 126}, name_prefix=prefix)


def test_derived_names_differ_between_audiences() -> None:
    """Names are unique at Amazon, and a dataset of the same name is adopted."""
    same = [requested(audienceName="VIP!"), requested(audienceName="VIP?"), requested()]
    same += [requested(externalAudienceId="x"), requested(externalAudienceId="y")]
    same += [requested(audienceName="VIP-1"), requested(audienceName="VIP-1", externalAudienceId="z")]
    assert len({dataset.name for dataset in same}) == len({each.external_audience_id for each in same}) == len(same)
    assert requested().name == requested(shares=DROP, countryCode="US").name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("VIPs", "Segment audience VIPs", id="short: lengthened"),
        pytest.param("x" * 127, "x" * 127, id="127 stay"),
    ],
)
def test_the_dsp_audience_keeps_segments_name_lengthened_to_10_characters(name: str, expected: str) -> None:
    share, _ = requested(audienceName=name).share_bodies("ds-1")
    assert share["metadata"]["audienceMetadata"]["audienceName"] == expected


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param({"description": DROP}, {"description": "Lapsed buyers"}, id="the name is the description"),
        pytest.param({"description": ""}, {"description": None}, id="an empty one is left out: Amazon allows none"),
        pytest.param({"countryCode": "unknown"}, {"countryCode": "UNKNOWN"}, id="no country"),
        pytest.param({"countryCode": "ZZ"}, {"countryCode": "ZZ"}, id="no country, in Amazon's later code"),
        pytest.param({"idRetention": "false"}, {"idRetention": False}, id="id retention off"),
        pytest.param({"ttl": "", "advertiserId": ""}, {"ttl": None}, id="empty fields of the audience API"),
    ],
)
def test_settings_are_converted_to_the_request_body(fields: dict[str, Any], body: dict[str, Any]) -> None:
    built = requested(**fields).as_body()
    assert {name: built.get(name) for name in body} == body


@pytest.mark.parametrize(
    ("shares", "destinations"),
    [
        pytest.param(DROP, [], id="none"),
        pytest.param("", [], id="an empty form field"),
        pytest.param([], [], id="an empty list"),
        pytest.param(json.dumps([DSP, AMC]), [("ENTITY1", "ATVPDKIKX0DER"), ("amc1", "A1PA6795UKMFR9")], id="JSON"),
        pytest.param(
            [{"destinationAccountId": 590071284455661235, "marketplace": "uk"}],
            [("590071284455661235", "A1F83G8C2ARO7P")],
            id="Amazon's name, a number, and a country in small letters",
        ),
        pytest.param([DSP | {"marketplace": " A21TJRUUN4KGV "}], [("ENTITY1", "A21TJRUUN4KGV")], id="a marketplace id"),
        pytest.param([DSP, {"amcInstanceId": "ENTITY1", "marketplace": "US"}], 2, id="one id in both applications"),
        pytest.param([DSP | {"advertiserId": n} for n in range(1, MAX_SHARES + 1)], MAX_SHARES, id="the most"),
    ],
)
def test_shares_are_a_list_or_a_string_of_json(shares: Any, destinations: Any) -> None:
    bodies = requested(shares=shares).share_bodies("ds-1")
    named = [(body["destinationAccountId"], body["marketplaceId"]) for body in bodies]
    assert named == destinations or len(named) == destinations


def test_the_account_entity_id_of_a_share_is_sent_if_given() -> None:
    (body,) = requested(shares=[DSP | {"accountEntityId": "ENTITY9"}]).share_bodies("ds-1")
    assert body["accountEntityId"] == "ENTITY9"


ONE_OF = "exactly one of advertiserId"


@pytest.mark.parametrize(
    ("fields", "at_fault", "allowed"),
    [
        pytest.param({"audienceName": DROP}, "audienceName", "1 to 127", id="name: absent"),
        pytest.param({"audienceName": "x" * 128}, "audienceName", "1 to 127", id="name: longer than DSP's"),
        pytest.param({"countryCode": "XX"}, "countryCode", "or UNKNOWN", id="country: not in the list"),
        pytest.param({"idRetention": "maybe"}, "idRetention", "true or false", id="id retention: in words"),
        pytest.param({"computationKey": []}, "computationKey", "1 to 256", id="computation key: a list"),
        pytest.param({"ttl": 5}, "ttl", "Ads Data Manager has no ttl", id="ttl"),
        pytest.param({"renew": True}, "renew", "no ttl", id="renew"),
        pytest.param({"cpmCents": 5}, "cpmCents", "Ads Data Manager has no fees", id="fee"),
        pytest.param({"currency": "USD"}, "currency", "no fees", id="currency"),
        pytest.param({"advertiserId": "5"}, "advertiserId", "through its shares", id="an advertiser at the top"),
        pytest.param({"connectionId": "c"}, "connectionId", "through its shares", id="a connection"),
        pytest.param({"dsp": False}, "dsp", "through its shares", id="dsp"),
        pytest.param({"shares": "ENTITY1"}, "shares", "a list of at most 20", id="shares: not JSON"),
        pytest.param({"shares": "[" * 99_999}, "shares", "a list of at most 20", id="shares: nested too deep"),
        pytest.param({"shares": DSP}, "shares", "a list of at most 20", id="shares: one without a list"),
        pytest.param({"shares": [DSP] * 21}, "shares", "a list of at most 20", id="shares: too many"),
        pytest.param({"shares": [DSP, DSP]}, "shares[1]", "no share before it", id="share: the same account"),
        pytest.param({"shares": [{"marketplace": "US"}]}, "shares[0].advertiserId, ", ONE_OF, id="share: no account"),
        pytest.param({"shares": [DSP | AMC]}, "shares[0].advertiserId, ", ONE_OF, id="share: two accounts"),
        pytest.param({"shares": [DSP | {"advertiserId": {}}]}, "shares[0].advertiserId", "1 to 256", id="share: no id"),
        pytest.param({"shares": [AMC | {"marketplace": ""}]}, "shares[0].marketplace", "US, CA", id="share: no market"),
        pytest.param({"shares": [AMC | {"marketplace": "CH"}]}, "shares[0].marketplace", "US, CA", id="share: no shop"),
        pytest.param(
            {"shares": [DSP | {"entity": "E"}]}, "shares[0]", "no fields but advertiserId", id="share: a typo"
        ),
    ],
)
def test_an_invalid_setting_names_its_allowed_values(fields: dict[str, Any], at_fault: str, allowed: str) -> None:
    ((named, stated),) = faults_of(**fields).items()
    assert named.startswith(at_fault)
    assert allowed in stated


def test_all_faults_are_reported_together_without_their_values() -> None:
    names = "audienceName countryCode externalAudienceId idRetention computationKey ttl".split()
    share = {"advertiserId": ["private"], "marketplace": "private", "accountEntityId": "private\x00"}
    private = dict.fromkeys(names, "private\x00") | {"description": ["private"], "shares": [share, "private"]}
    with pytest.raises(InvalidAudience) as caught:
        new_dataset(private)
    assert len(caught.value.faults) == 7 + 3 + 2
    answer = json.dumps([str(caught.value), *(fault.as_json() for fault in caught.value.faults)])
    assert "private" not in answer
    assert len(answer) < 8000


@pytest.mark.parametrize(
    ("share", "at_fault"),
    [
        pytest.param(DSP, None, id="an advertiser that is listed"),
        pytest.param(AMC, None, id="an instance that is listed"),
        pytest.param(DSP | {"advertiserId": "ENTITY2"}, "shares[0].advertiserId", id="another advertiser"),
        pytest.param(AMC | {"amcInstanceId": "amc2"}, "shares[0].amcInstanceId", id="another instance"),
    ],
)
def test_a_share_to_an_account_outside_allowed_targets_is_refused(share: dict[str, str], at_fault: str | None) -> None:
    allowed = frozenset({"ENTITY1", "amc1"})
    if at_fault is None:
        assert new_dataset(EXTRAS | {"shares": [share]}, allowed_targets=allowed).shares
        return
    with pytest.raises(InvalidAudience) as caught:
        new_dataset(EXTRAS | {"shares": [share]}, allowed_targets=allowed)
    ((field, stated, _),) = caught.value.faults
    assert field == at_fault
    assert "AllowedTargets" in stated
    assert "ENTITY1" not in stated, "strangers to the list do not get to see it"


def test_accepted_countries_match_amazons_schema() -> None:
    assert set(SCHEMA["$defs"]["CountryCode"]["enum"]) == ACCEPTED


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=140)
SHARES = st.lists(
    st.dictionaries(st.sampled_from([*DSP, *AMC, "accountEntityId"]), VALUES | st.sampled_from(["US", "E1"])) | VALUES
)
