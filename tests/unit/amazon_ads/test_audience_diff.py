"""What is said of settings that were asked for too late: those, and only those, with how to change them."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.audience import new_audience
from audience_sync.amazon_ads.audience_diff import mismatches
from audience_sync.membership import Audience

LAST_SENT: dict[str, Any] = {"audienceName": "Lapsed premium buyers", "connectionId": "c-1", "countryCode": "US"}
LISTED = Audience(
    "1",
    name="Lapsed premium buyers",
    country="US",
    connection_id="c-1",
    computation_key="lapsed",
    settings={"description": "as changed since", "ttl": 604_800, "dsp": True, "cpmCents": 100, "currency": "USD"},
)


def fields(told: dict[str, Any], listed: Audience = LISTED) -> list[str]:
    return [each.field for each in mismatches(new_audience(LAST_SENT | told, max_cpm_cents=500), listed)]


@pytest.mark.parametrize(
    ("told", "differing"),
    [
        pytest.param({}, [], id="what is not asked for may have been changed since"),
        pytest.param({"ttl": "604800", "dsp": "true", "cpmCents": 100, "currency": "usd"}, [], id="the same as text"),
        pytest.param({"renew": False, "description": "as changed since"}, [], id="off is what was never set"),
        pytest.param({"audienceName": "Lapsed buyers"}, ["audienceName"], id="name"),
        pytest.param({"countryCode": "DE"}, ["countryCode"], id="country"),
        pytest.param({"description": ""}, ["description"], id="description: emptied"),
        pytest.param({"ttl": 0}, ["ttl"], id="ttl: 0 is one"),
        pytest.param({"cpmCents": 200, "currency": "USD"}, ["cpmCents"], id="fee: the price"),
        pytest.param({"cpmCents": 100, "currency": "EUR"}, ["currency"], id="fee: the currency"),
        pytest.param({"dsp": False}, ["dsp"], id="dsp"),
        pytest.param({"renew": True}, ["renew"], id="renew"),
        pytest.param({"computationKey": "other"}, ["computationKey"], id="computation key"),
        pytest.param({"ttl": 5, "renew": "false", "countryCode": "GB"}, ["countryCode", "ttl"], id="several"),
    ],
)
def test_what_was_asked_for_and_is_not_in_force_is_named(told: dict[str, Any], differing: list[str]) -> None:
    assert fields(told) == differing


def test_of_an_audience_that_was_linked_without_settings_nothing_is_taken_for_granted() -> None:
    bare = replace(LISTED, settings={}, country=None, computation_key=None)
    told = {"ttl": 604_800, "computationKey": "lapsed", "dsp": False}
    assert fields(told, bare) == ["countryCode", "ttl", "computationKey"]


def test_each_has_a_remedy_and_shows_no_value() -> None:
    told = {"audienceName": "private name", "countryCode": "GB", "ttl": 77_777, "computationKey": "private_key"}
    found = mismatches(new_audience(LAST_SENT | told, max_cpm_cents=0), LISTED)
    remedies = {each.field: each.remedy for each in found}
    assert "Amazon never changes it" in remedies["audienceName"]
    assert "Amazon never changes it" in remedies["countryCode"]
    assert "audiences update" in remedies["ttl"]
    assert "audiences link" in remedies["computationKey"]
    assert not any(value in str(found) for value in ("private", "77777", "Lapsed"))
