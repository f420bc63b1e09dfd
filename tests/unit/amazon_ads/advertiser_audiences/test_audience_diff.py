"""The settings of a creation request that the existing audience does not have, each with how to change it."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences.audience import new_audience
from audience_sync.amazon_ads.advertiser_audiences.audience_diff import mismatches
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.members.membership import Audience

REQUEST: dict[str, Any] = {"audienceName": "Lapsed premium buyers", "connectionId": "c-1", "countryCode": "US"}
LISTED = Audience(
    "1",
    name="Lapsed premium buyers",
    country="US",
    destination=amc_connection("c-1"),
    computation_key="lapsed",
    settings={"description": "as changed since", "ttl": 604_800, "dsp": True, "cpmCents": 100, "currency": "USD"},
)


def fields(changes: dict[str, Any], listed: Audience = LISTED) -> list[str]:
    return [each.field for each in mismatches(new_audience(REQUEST | changes, max_cpm_cents=500), listed)]


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        pytest.param({}, [], id="a setting left out of the request"),
        pytest.param({"ttl": "604800", "dsp": "true", "cpmCents": 100, "currency": "usd"}, [], id="the same as text"),
        pytest.param({"renew": False, "description": "as changed since"}, [], id="off and never set are the same"),
        pytest.param({"description": ""}, ["description"], id="description: emptied"),
        pytest.param({"ttl": 0}, ["ttl"], id="ttl: 0 is one"),
        pytest.param({"cpmCents": 200, "currency": "USD"}, ["cpmCents"], id="fee: the price"),
        pytest.param({"cpmCents": 100, "currency": "EUR"}, ["currency"], id="fee: the currency"),
        pytest.param({"dsp": False}, ["dsp"], id="dsp"),
        pytest.param({"renew": True}, ["renew"], id="renew"),
    ],
)
def test_a_setting_that_differs_from_the_request_is_a_mismatch(changes: dict[str, Any], differing: list[str]) -> None:
    assert fields(changes) == differing


def test_an_audience_linked_without_settings_mismatches_every_requested_setting() -> None:
    bare = replace(LISTED, settings={}, country=None, computation_key=None)
    changes = {"ttl": 604_800, "computationKey": "lapsed", "dsp": False}
    assert fields(changes, bare) == ["countryCode", "ttl", "computationKey"]


def test_a_mismatch_has_a_remedy_and_shows_no_value() -> None:
    changes = {"audienceName": "private name", "countryCode": "GB", "ttl": 77_777, "computationKey": "private_key"}
    found = mismatches(new_audience(REQUEST | changes, max_cpm_cents=0), LISTED)
    remedies = {each.field: each.remedy for each in found}
    assert "Amazon never changes it" in remedies["audienceName"]
    assert "Amazon never changes it" in remedies["countryCode"]
    assert "audiences update" in remedies["ttl"]
    assert "audiences link" in remedies["computationKey"]
    assert not any(value in str(found) for value in ("private", "77777", "Lapsed"))
