"""Datasets as the hourly function reads them, with the sandbox behind it."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from audience_sync.clock import Clock
from audience_sync.operations.dataset_reports import RECENTLY
from audience_sync_cli.dashboard.logs import shares_of
from functions.datasets import handler
from tests.functions.test_audiences import AUDIENCE_KEY
from tests.functions.test_data_manager import DSP, MANAGER, change, create, dataset, requests_to, run
from tests.support.cloud import EVENT_KEY, Cloud, Context
from tests.support.invocations import dataset_body


@pytest.fixture(autouse=True)
def keys(cloud: Cloud) -> None:
    cloud.put_secret("IngestSecret", {"eventKey": EVENT_KEY, "audienceKey": AUDIENCE_KEY})


def read(cloud: Cloud, account: dict[str, str] = MANAGER, *, milliseconds: int = 300_000) -> dict[str, Any]:
    cloud.enter("DatasetsFunction", **account)
    return handler.lambda_handler({"source": "aws.events"}, Context(milliseconds=milliseconds))


def lines(text: str, message: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line.get("message") == message]


def metrics(text: str, name: str) -> dict[str | None, float]:
    """The values of a metric, by audience."""
    found = [line for line in map(json.loads, text.splitlines()) if name in line]
    return {line.get("audience"): line[name][0] for line in found}


def set_status(cloud: Cloud, share: dict[str, Any], status: str) -> None:
    url = f"{cloud.amazon_url}/sandbox/shares/{share['sharingRuleId']}"
    requests.put(url, json={"status": status}, timeout=60).raise_for_status()


def test_size_and_match_rate_are_published_and_the_funnel_and_the_shares_are_logged(
    cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: began))
    audience_id = create(cloud)[1]["externalId"]
    run(cloud, dataset_body(audience_id, change("m1", 1), change("m2", 1)))
    set_status(cloud, dataset(cloud, audience_id)["shares"][1], "REVOKED_BY_SHARING_GRANT")
    assert read(cloud) == {"datasets": 1, "revoked": 1}
    text = printed()
    (line,) = lines(text, "dataset read")
    assert metrics(text, "AudienceReceived")[audience_id] == line["records"] == 2
    assert metrics(text, "AudienceMatchRate")[audience_id] == line["match_rate"]
    assert metrics(text, "SharesRevoked") == {None: 1}
    assert "AudienceProcessed" not in text
    assert line["funnel"] | {"resolved": 0} == {"received": 2, "valid": 2, "consented": 2, "resolved": 0}
    assert (line["level"], [each["status"] for each in line["shares"]]) == (
        "WARNING",
        ["REVOKED_BY_SHARING_GRANT", "ACTIVE"],
    )
    on_page = [(each.account, each.state, each.is_revoked) for each in shares_of(line)]
    assert on_page == [
        ("AMC instance amc1a2b", "revoked by sharing grant", True),
        ("DSP advertiser ENTITY2XYZ", "active", False),
    ]
    assert line["shares"][0]["revokedAt"] == pytest.approx(began, abs=600)
    read(cloud)
    text = printed()
    assert (metrics(text, "AudienceReceived"), metrics(text, "SharesRevoked")) == ({}, {None: 1}), "on the same day"


def test_a_revoked_share_that_was_created_again_is_not_counted(cloud: Cloud, printed: Callable[[], str]) -> None:
    audience_id = create(cloud)[1]["externalId"]
    set_status(cloud, dataset(cloud, audience_id)["shares"][0], "REVOKED_BY_USER")
    key = {"audienceId": {"S": audience_id}}
    cloud.client("dynamodb").delete_item(TableName=cloud.name_of("AudienceTable"), Key=key)
    create(cloud)  # a listed dataset would get no share this way
    assert read(cloud)["revoked"] == 0
    text = printed()
    assert metrics(text, "SharesRevoked") == {None: 0}, "so that the alarm is off within the hour"
    (line,) = lines(text, "dataset read")
    assert [each["status"] for each in line["shares"]] == ["ACTIVE", "ACTIVE"]


def test_a_revoked_share_without_a_time_counts_for_a_week_from_the_first_run_that_saw_it(
    cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    share = dataset(cloud, create(cloud)[1]["externalId"])["shares"][0] | {"status": "REVOKED_BY_USER"}
    began = int(time.time())

    def revoked_after(seconds: float) -> int:
        monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: began + seconds))
        cloud.fault("/adm/sharingRules/list", {"status": 200, "body": {"sharingRules": [share]}})
        return int(read(cloud)["revoked"])

    assert [revoked_after(seconds) for seconds in (0, RECENTLY - 1, RECENTLY)] == [1, 1, 0]
    line = lines(printed(), "dataset read")[-1]
    assert (line["level"], line["shares"][0]["revokedAt"]) == ("INFO", began), "the page shows it as the time"


@pytest.mark.parametrize("path", ["metrics", "metrics/aggregates"])
def test_an_unreadable_part_of_a_dataset_does_not_hide_the_other_parts(
    cloud: Cloud, printed: Callable[[], str], path: str
) -> None:
    first, second = (create(cloud, audienceName=name)[1]["externalId"] for name in ("First one", "Second one"))
    cloud.fault(f"/adm/datasets/{first}/{path}", {"status": 500}, times=9)
    assert read(cloud)["datasets"] == 2
    text = printed()
    assert {line["audience_id"] for line in lines(text, "dataset read")} == {first, second}
    (warning,) = lines(text, "dataset not read completely")
    part = "funnel" if path.endswith("aggregates") else "metrics"
    assert (warning["audience_id"], warning["unread"]) == (first, {part: "service_unavailable"})
    assert metrics(text, "AudienceReceived").keys() == {first, second}


def test_a_dsp_account_reads_shares_without_counts(cloud: Cloud, printed: Callable[[], str]) -> None:
    for name in ("First one", "Second one"):
        create(cloud, DSP, audienceName=name)
    assert read(cloud, DSP)["datasets"] == 2
    text = printed()
    assert [line["datasets"] for line in lines(text, "counts of datasets need a manager account")] == [2]
    assert [len(line["shares"]) for line in lines(text, "dataset read")] == [2, 2]
    assert lines(text, "dataset not read completely") == []


def test_a_manager_account_without_permission_is_a_warning(cloud: Cloud, printed: Callable[[], str]) -> None:
    create(cloud)
    cloud.fault("/adm/*", {"status": 403}, times=9)
    read(cloud)
    text = printed()
    (warning,) = lines(text, "dataset not read completely")
    assert set(warning["unread"].values()) == {"access_denied"}
    assert lines(text, "dataset read") == []


def test_amazon_is_not_called_without_an_account_or_a_dataset(cloud: Cloud, printed: Callable[[], str]) -> None:
    assert read(cloud, {}) == {"datasets": 0}
    assert read(cloud) == {"datasets": 0, "revoked": 0}
    assert metrics(printed(), "SharesRevoked") == {None: 0}, "a run, which the audit waits for"
    assert requests_to(cloud, "/adm/") == []


def test_a_run_without_time_left_makes_no_request_and_logs_it(cloud: Cloud, printed: Callable[[], str]) -> None:
    create(cloud)
    asked = len(requests_to(cloud, "/adm/"))
    read(cloud, milliseconds=4_000)
    assert len(requests_to(cloud, "/adm/")) == asked
    (warning,) = lines(printed(), "dataset not read completely")
    assert set(warning["unread"].values()) == {"out_of_time"}
