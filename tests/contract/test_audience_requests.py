"""What our client sends to create and change audiences and connections, against the contract with Amazon."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.audience import audience_update, new_audience
from audience_sync.amazon_ads.advertiser_audiences.audience_settings import CURRENCIES
from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.countries import ACCEPTED
from audience_sync.amazon_ads.job import Sizes
from audience_sync.amazon_ads.login import AccessTokens, Login
from audience_sync.errors import (
    InvalidAudience,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
)
from audience_sync.members.membership import Audience
from tests.contract.amazon_contract import CONTRACTS, problems
from tests.support.doubles.secrets import StoredSecret
from tests.support.sandbox_server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Amazon, sandbox

HIGH_CEILING = 10**6
OPERATIONS = CONTRACTS["Advertiser audiences"]["operations"]
CREATE, UPDATE = "POST /amc/audiences/metadata", "PUT /amc/audiences/metadata/{audienceId}"
ADVERTISER = "590071284455661235"
FULL: dict[str, Any] = {
    "audienceName": "VIP",
    "advertiserId": ADVERTISER,
    "countryCode": "uk",
    "description": "",
    "externalAudienceId": "vip-gb",
    "ttl": "0",
    "cpmCents": 0,
    "currency": "gbp",
}


@pytest.fixture(scope="module")
def amazon() -> Iterator[Amazon]:
    with sandbox() as served:
        yield served


@pytest.fixture
def client(amazon: Amazon) -> Iterator[AmazonAds]:
    requests.post(f"{amazon.url}/sandbox/reset", timeout=5).raise_for_status()
    credentials = StoredSecret({"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "refreshToken": REFRESH_TOKEN})
    with requests.Session() as session, requests.Session() as login_session:
        login = Login(login_session, f"{amazon.url}/auth/o2/token", credentials, time.time)
        yield AmazonAds(session, amazon.url, AccessTokens(StoredSecret(), login, time.time))


def received(amazon: Amazon, method: str, path: str) -> list[dict[str, Any]]:
    return [each for each in amazon.shown("requests?since=0") if (each["method"], each["path"]) == (method, path)]


TEXT = st.text(max_size=1100) | st.sampled_from(["", "VIP", " ", "x" * 10, "x" * 128, "x" * 129])
NUMBER = st.integers(-5, 40_000_000) | st.sampled_from(["", "0", "34300800", "a", None, True, 1.5])
SETTINGS = st.fixed_dictionaries(
    {
        "audienceName": TEXT,
        "countryCode": st.sampled_from(sorted(ACCEPTED)) | st.sampled_from(["uk", "XX", None]),
    },
    optional={
        "advertiserId": st.integers(-1, 2**65) | st.integers(1, 2**64 - 1).map(str) | TEXT,
        "connectionId": TEXT,
        "description": TEXT,
        "externalAudienceId": TEXT | st.integers(),
        "ttl": NUMBER,
        "cpmCents": NUMBER,
        "currency": st.sampled_from([*CURRENCIES, "usd", "CHF", ""]),
        "dsp": st.booleans() | st.sampled_from(["true", "x"]),
    },
)


@given(SETTINGS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_accepted_setting_makes_a_creation_body_that_fits_the_contract(fields: dict[str, Any]) -> None:
    try:
        body = new_audience(fields, max_cpm_cents=HIGH_CEILING).body()
    except InvalidAudience:
        return
    assert (problems(OPERATIONS[CREATE], body), len(body["targetResource"])) == ([], 1)


@given(st.dictionaries(st.sampled_from(["description", "ttl", "cpmCents", "currency"]), NUMBER | TEXT, max_size=4))
@settings(deadline=None)
def test_every_accepted_change_makes_an_update_body_that_fits_the_contract(changes: dict[str, Any]) -> None:
    try:
        body = audience_update(Audience("1"), changes, max_cpm_cents=HIGH_CEILING).body
    except InvalidAudience:
        return
    assert problems(OPERATIONS[UPDATE], body) == []


def test_an_audience_is_read_back_as_it_was_created_and_changed(client: AmazonAds) -> None:
    audience_id = client.create_audience(new_audience(FULL, max_cpm_cents=0).body())
    created = client.read_audience(audience_id)
    assert (created.audience_id, created.name, created.country, created.ttl) == (
        audience_id,
        "Segment audience VIP",
        "GB",
        0,
    )
    assert created.external_audience_id == "vip-gb"
    assert created.sizes == Sizes(), "-1 at Amazon: not known yet"
    client.update_audience(audience_id, {"description": "new", "metadata": {"ttl": 9}})
    changed = client.read_audience(audience_id)
    assert (changed.name, changed.description, changed.ttl) == ("Segment audience VIP", "new", 9)


def test_an_unknown_audience_is_not_found(client: AmazonAds) -> None:
    with pytest.raises(NotFound):
        client.read_audience("418273650912345999")
    with pytest.raises(NotFound):
        client.update_audience("418273650912345999", {"description": ""})


def test_connections_are_created_listed_and_removed_one_by_one(client: AmazonAds) -> None:
    first, second = (client.create_connection({"amcInstanceId": name}) for name in ("one", "two"))
    assert [each["connectionId"] for each in client.connections()] == [first, second]
    client.delete_connection(first)
    assert [each["connectionId"] for each in client.connections()] == [second]
    with pytest.raises(NotFound):
        client.delete_connection(first)


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_connection_id_never_reaches_amazon_which_would_remove_all(
    amazon: Amazon, client: AmazonAds, blank: str
) -> None:
    kept = client.create_connection({"amcInstanceId": "one"})
    with pytest.raises(InvalidRequest):
        client.delete_connection(blank)
    assert received(amazon, "DELETE", "/amc/audiences/connections") == []
    assert [each["connectionId"] for each in client.connections()] == [kept]


def test_a_connection_id_is_escaped_in_the_query(client: AmazonAds) -> None:
    with pytest.raises(NotFound):
        client.delete_connection("x&connectionId=")


def test_reading_the_terms_does_not_accept_them(client: AmazonAds) -> None:
    terms = client.terms()
    assert (terms.accepted, bool(terms.agreement), bool(terms.token)) == (False, True, True)
    assert terms.token not in repr(terms)
    client.accept_terms(terms)
    assert client.terms().accepted


def test_profiles_list_the_advertisers_of_an_authorization(client: AmazonAds) -> None:
    (profile,) = client.profiles()
    assert (profile["profileId"], profile["countryCode"]) == ("371552318001631925", "US")


@pytest.mark.parametrize(
    ("do", "error"),
    [
        pytest.param({"close_after_apply": True}, OutcomeUnknown, id="reset"),
        pytest.param({"status": 500}, OutcomeUnknown, id="500"),
        pytest.param({"status": 503}, ServiceUnavailable, id="503"),
        pytest.param({"status": 201, "body": ""}, OutcomeUnknown, id="an empty answer"),
        pytest.param({"status": 201, "body": '{"audienceId": "1"}'}, OutcomeUnknown, id="an id as text"),
        pytest.param({"status": 201, "body": '{"audienceId": 1e17}'}, OutcomeUnknown, id="a rounded id"),
        pytest.param({"status": 409, "body": '{"message": "exists"}'}, RequestRejected, id="409"),
    ],
)
def test_a_creation_without_a_clear_answer_has_an_unknown_outcome(
    amazon: Amazon, client: AmazonAds, do: dict[str, Any], error: type[Exception]
) -> None:
    amazon.faults({"match": {"path": "/amc/audiences/metadata"}, "do": do})
    with pytest.raises(error):
        client.create_audience(new_audience(FULL, max_cpm_cents=0).body())
    assert len(received(amazon, "POST", "/amc/audiences/metadata")) == 1
