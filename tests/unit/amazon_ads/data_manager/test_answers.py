"""Answers of Ads Data Manager, as declared and otherwise."""

from typing import Any

import pytest

from audience_sync.amazon_ads.data_manager.answers import (
    DataRoom,
    Dataset,
    Funnel,
    Metrics,
    Share,
    dataset_id,
    datasets,
    records,
    shares,
)

SHARE = {
    "sharingRuleId": "sr-1",
    "status": "ACTIVE",
    "application": "DSP_AUDIENCES",
    "dataSetId": "ds-1",
    "destinationAccountId": "ENTITY1",
    "marketplaceId": "ATVPDKIKX0DER",
    "revokedBy": "NONE",
    "metadata": {"audienceMetadata": {"audienceId": "37", "audienceIdV2": "v2-37", "audienceName": "Lapsed buyers"}},
}
BODY = {"dataSetId": "ds-1", "application": "DSP_AUDIENCES", "destinationAccountId": "ENTITY1"}


def share(**changed: Any) -> Share:
    read = Share.from_answer(SHARE | changed)
    assert read
    return read


def test_a_share_holds_the_ids_that_the_dsp_console_lists() -> None:
    read = share()
    assert (read.audience_ids, read.audience_name, read.revoked_by) == (("37", "v2-37"), "Lapsed buyers", "")
    assert (read.destination, read.marketplace_id, read.application) == ("ENTITY1", "ATVPDKIKX0DER", "DSP_AUDIENCES")


@pytest.mark.parametrize(
    ("changed", "is_revoked", "is_for_body"),
    [
        pytest.param({}, False, True, id="active"),
        pytest.param({"status": "SHADOW"}, False, True, id="of unknown meaning"),
        pytest.param({"status": 7}, False, True, id="without a word"),
        pytest.param({"status": "REVOKED_BY_SHARING_GRANT", "revokedBy": "GRANT"}, True, False, id="revoked"),
        pytest.param({"dataSetId": "ds-2"}, False, False, id="another dataset"),
        pytest.param({"application": "AMAZON_MARKETING_CLOUD"}, False, False, id="another application"),
        pytest.param({"destinationAccountId": "ENTITY2"}, False, False, id="another destination"),
        pytest.param({"metadata": None}, False, True, id="metadata of null"),
    ],
)
def test_a_share_matches_the_request_that_created_it_unless_it_is_revoked(
    changed: dict[str, Any], is_revoked: bool, is_for_body: bool
) -> None:
    read = share(**changed)
    assert (read.is_revoked, read.is_for(BODY)) == (is_revoked, is_for_body)


@pytest.mark.parametrize("share_id", [None, 7, "", "a/b", "..", "x" * 101, "sr-1\n"])
def test_a_share_with_an_id_unfit_for_a_path_is_ignored(share_id: Any) -> None:
    assert shares({"sharingRules": [SHARE | {"sharingRuleId": share_id}, SHARE, "?"]}) == [share()]


def test_unknown_words_in_the_status_of_a_share_are_dropped() -> None:
    read = share(status="Ada Lovelace", revokedBy="ada@example.com")
    assert (read.status, read.revoked_by) == ("", "")


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("1970-01-01T00:00:05.500Z", 5.5),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_the_revocation_time_of_a_share_is_read_if_it_is_valid(value: Any, at: float | None) -> None:
    assert share(revokedTime=value).revoked_at == at


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        pytest.param([{"datasetId": "other", "records": 9}, {"datasetId": "ds-1", "records": 7.0}], 7, id="ours"),
        pytest.param([{"datasetId": "ds-1", "records": -1}], None, id="not known yet"),
        pytest.param([{"datasetId": "other", "records": 9}], None, id="a different dataset only"),
        pytest.param(None, None, id="no list"),
    ],
)
def test_the_record_count_is_that_of_the_requested_dataset(listed: Any, count: int | None) -> None:
    assert records({"datasets": listed}, "ds-1") == count


@pytest.mark.parametrize(
    ("value", "is_id"),
    [
        pytest.param("amzn1.adm.dataset:1_2", True, id="with points and colons"),
        pytest.param(371552318001631924, False, id="a number"),
        pytest.param("..", False, id="a step in a path"),
        pytest.param("a/b", False, id="two parts of a path"),
        pytest.param("a#b", False, id="a separator of our tables"),
        pytest.param("ä", False, id="another letter"),
        pytest.param("a" * 129, False, id="too long"),
    ],
)
def test_a_dataset_id_fits_our_keys_and_amazons_paths(value: Any, is_id: bool) -> None:
    assert dataset_id(value) == (value if is_id else None)


def test_datasets_without_an_id_are_ignored() -> None:
    entry = {"dataSetId": "ds-1", "name": "lapsed", "countryCode": "DE", "description": "d", "idRetention": True}
    known = Dataset("ds-1", name="lapsed", country="DE", description="d", id_retention=True)
    assert datasets({"dataSets": [entry, {"name": "x"}, None, 7]}) == [known]
    assert datasets({"dataSets": None}) == datasets({}) == []


def test_invalid_counts_of_a_dataset_are_unknown() -> None:
    answer = {
        "uploadCount": 7,
        "acceptedCount": 6.0,
        "invalidRecordCount": -1,
        "recordsWithIdentity": 5,
        "recordsResolved": 4,
        "matchRecordPercentage": 66.67,
    }
    assert Metrics.from_answer(answer) == Metrics(
        uploads=7, accepted=6, with_identity=5, resolved=4, match_percent=66.67
    )
    assert Metrics.from_answer({"matchRecordPercentage": float("nan"), "uploadCount": "7"}) == Metrics()


def test_the_funnel_sums_the_counts_of_all_periods() -> None:
    times = {"a": {"RECEIVED": 5, "VALID": 4, "OTHER": 9}, "b": {"RECEIVED": 2.0, "RESOLVED": 1, "CONSENTED": None}}
    assert Funnel.from_answer({"metrics": times | {"c": None}}) == Funnel(received=7, valid=4, resolved=1)
    assert Funnel.from_answer({"metrics": []}) == Funnel()


def test_every_field_of_a_data_room_is_optional() -> None:
    assert DataRoom.from_answer({"accountId": "a", "region": None}) == DataRoom("a")
