"""The destinations of audiences and of their changes, and that nothing but amazon_ads knows what they hold."""

import re
from pathlib import Path
from typing import Any

import pytest

import audience_sync
from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.destination import (
    Api,
    ads_data_manager,
    amc_connection,
    api_of,
    check_target,
    destination_of_changes,
    dsp_advertiser,
    failure_domain,
    needs_consent,
    resource_of_upload,
)
from audience_sync.amazon_ads.timings import Timings
from audience_sync.errors import InvalidMessage
from audience_sync.members.membership import Audience, Destination

PACKAGE = Path(audience_sync.__file__).parent
IN_AMC, IN_AMC_AND_DSP = amc_connection("c"), amc_connection("c", dsp=True)
# Each format is written and read by one module, with the names that it has had from the start.
FORMATS = {
    "members/envelope.py",
    "members/messages.py",
    "members/job_messages.py",
    "aws/membership_rows.py",
    "aws/audience_table.py",
}


@pytest.mark.parametrize(
    ("destination", "settings", "expected"),
    [
        pytest.param(IN_AMC, {"dsp": True}, IN_AMC_AND_DSP, id="asked for"),
        pytest.param(IN_AMC, {"dsp": False}, IN_AMC, id="not wanted"),
        pytest.param(IN_AMC, {"dsp": "true"}, IN_AMC, id="only a text"),
        pytest.param(IN_AMC, {}, IN_AMC, id="not asked for"),
        pytest.param(dsp_advertiser("5"), {"dsp": True}, Destination(), id="an advertiser's audience"),
        pytest.param(ads_data_manager(), {"dsp": True}, ads_data_manager(), id="a dataset"),
    ],
)
def test_only_an_amc_audience_can_also_target_dsp(
    destination: Destination, settings: dict[str, Any], expected: Destination
) -> None:
    assert destination_of_changes(Audience("1", destination=destination, settings=settings)) == expected


@pytest.mark.parametrize(
    ("destination", "api", "domain"),
    [
        pytest.param(Destination(), Api.AUDIENCES, "dsp", id="an advertiser's audience"),
        pytest.param(IN_AMC, Api.AUDIENCES, "c", id="an audience of a connection"),
        pytest.param(ads_data_manager(), Api.DATA_MANAGER, "data-manager", id="a dataset"),
    ],
)
def test_a_destination_determines_its_api_and_failure_domain(destination: Destination, api: Api, domain: str) -> None:
    assert (api_of(destination), failure_domain(destination)) == (api, domain)


@pytest.mark.parametrize(
    ("audience_id", "destination"),
    [
        pytest.param("adm-1", Destination(), id="a dataset's id for the audience API"),
        pytest.param("1", Destination.of({"api": "new"}), id="an API of a newer version"),
    ],
)
def test_a_message_with_an_invalid_target_is_invalid(audience_id: str, destination: Destination) -> None:
    with pytest.raises(InvalidMessage):
        check_target(audience_id, destination)


def test_changes_for_an_unknown_api_are_queued_unchanged() -> None:
    new = Destination.of({"api": "new"})
    assert destination_of_changes(Audience("1", destination=new)) == new
    assert not needs_consent(new)
    assert not has_jobs(new)
    assert Timings().of(new) == Timings().datasets
    assert consent_of_exit({}, new) is None


@pytest.mark.parametrize(
    ("audience_id", "destination"),
    [("1", Destination()), ("*", Destination()), ("1", ads_data_manager()), ("adm-1", ads_data_manager())],
)
def test_a_target_of_a_known_api_is_valid(audience_id: str, destination: Destination) -> None:
    check_target(audience_id, destination)


def test_target_types_without_a_connection_are_ignored() -> None:
    assert resource_of_upload(Destination.of({"targetTypes": ["DSP"]})) == {}


def test_destinations_are_equal_whatever_the_order_of_fields_and_ignore_empty_ones() -> None:
    assert Destination.of({"b": ["x"], "a": "y"}) == Destination.of({"a": "y", "b": ["x"], "c": None, "d": []})
    assert Destination.of({"a": "", "b": ()}) == Destination()


def test_only_amazon_ads_reads_the_fields_of_a_destination() -> None:
    reads = re.compile(r"destination\.fields|connection_?id\b|target_?types", re.IGNORECASE)
    others = [path for path in PACKAGE.rglob("*.py") if "amazon_ads" not in path.parts]
    found = {path.relative_to(PACKAGE).as_posix() for path in others if reads.search(path.read_text(encoding="utf-8"))}
    # segment/signature.py lists the extras that a form may add, among them those that state a destination.
    assert found == FORMATS | {"segment/signature.py"}
