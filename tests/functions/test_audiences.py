"""The audiences handler, with the bodies that Segment sends, and Amazon's sandbox behind it."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.audiences import creation as audiences
from audience_sync.runtime.api_gateway import UNAUTHORIZED
from functions.audiences import handler
from functions.ingest import handler as ingest
from functions.worker import handler as worker
from local.amazon.exchange import SANDBOX
from local.resources import MANAGER_ACCOUNT
from local.sample_profiles import Person, audience_event
from local.template import ROOT
from tests.support.cloud import AUDIENCE, EVENT_KEY, Cloud, Context
from tests.support.servers import Served

EVENTS = ROOT / "events"
CREATE, GET = "POST /v1/audiences", "POST /v1/audiences/get"
AUDIENCE_KEY, PREVIOUS_KEY = "audience-key-for-the-tests-1", "audience-key-of-last-month-2"
JSON = {"content-type": "application/json"}
WITH_KEY = JSON | {"authorization": "Basic " + base64.b64encode(f"segment:{AUDIENCE_KEY}".encode()).decode()}
WITHOUT_EXTRAS, WITH_EXTRAS, GET_BODY = (
    next((EVENTS / "segment").glob(f"{number}-webhook-audiences-*.json")).read_bytes() for number in (16, 17, 18)
)
REQUEST: dict[str, Any] = json.loads(WITH_EXTRAS) | {
    "externalAudienceId": "new-one",
    "advertiserId": 590071284455661235,
}


@pytest.fixture(autouse=True)
def function(cloud: Cloud) -> Iterator[None]:
    """A new execution environment of the function."""
    keys = {"eventKey": EVENT_KEY, "audienceKey": AUDIENCE_KEY, "previousAudienceKey": PREVIOUS_KEY}
    cloud.put_secret("IngestSecret", keys)
    cloud.enter("AudiencesFunction")
    handler.dependencies.cache_clear()
    yield
    handler.dependencies.cache_clear()


def http(
    route: str, body: Any, headers: dict[str, str] | None = None, query: dict[str, str] | None = None
) -> dict[str, Any]:
    text = body.decode() if isinstance(body, bytes) else json.dumps(body)
    event = {"version": "2.0", "routeKey": route, "headers": WITH_KEY if headers is None else headers, "body": text}
    return event | {"isBase64Encoded": False} | ({"queryStringParameters": query} if query else {})


def ask(event: dict[str, Any], context: Context | None = None) -> tuple[int, dict[str, Any]]:
    answer = handler.lambda_handler(event, context or Context())
    assert len(answer["body"]) < 8000
    return answer["statusCode"], json.loads(answer["body"])


def create(**changed: Any) -> tuple[int, dict[str, Any]]:
    return ask(http(CREATE, REQUEST | changed))


def at_amazon(cloud: Cloud, method: str, path: str) -> list[dict[str, Any]]:
    listed = requests.get(f"{cloud.amazon_url}/sandbox/requests?since=0", timeout=5).json()
    return [request for request in listed if request["method"] == method and request["path"].startswith(path)]


def creations(cloud: Cloud) -> list[dict[str, Any]]:
    return at_amazon(cloud, "POST", "/amc/audiences/metadata")


def listed(cloud: Cloud) -> list[str]:
    table = cloud.audiences
    return [audience.audience_id for audience in table.all() if audience.audience_id != AUDIENCE.audience_id]


def test_segments_create_request_returns_the_audience_id_as_a_string(cloud: Cloud) -> None:
    status, answer = ask(http(CREATE, WITH_EXTRAS))
    assert (status, listed(cloud)) == (200, [answer["externalId"]])
    assert answer["externalId"].isdigit()
    assert int(answer["externalId"]) > 2**53
    (request,) = creations(cloud)
    assert request["body"] == {
        "name": "Lapsed premium buyers",
        "description": "Premium buyers quiet for 60 days",
        "countryCode": "US",
        "targetResource": {"advertiserId": 590071284455661234},
        "metadata": {"externalAudienceId": "lapsed-premium-us", "ttl": 2592000},
    }


def test_a_create_request_without_extras_names_the_missing_settings(cloud: Cloud) -> None:
    status, answer = ask(http(CREATE, WITHOUT_EXTRAS))
    assert status == 400
    assert [fault["field"] for fault in answer["faults"]] == ["advertiserId, connectionId", "countryCode"]
    assert all(fault["allowed"] and fault["remedy"] for fault in answer["faults"])
    assert creations(cloud) == []


@pytest.mark.parametrize(
    ("example", "status"), [("create", 200), ("create-without-extras", 400), ("get", 200)], ids=lambda value: value
)
def test_the_example_requests_are_served_as_they_are(cloud: Cloud, example: str, status: int) -> None:
    cloud.put_secret("IngestSecret", {"audienceKey": "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j0a1b2c3d4"})
    assert ask(json.loads((EVENTS / f"lambda/audiences-{example}.json").read_text()))[0] == status


def test_events_reach_a_new_audience_as_soon_as_amazon_has_created_it(cloud: Cloud) -> None:
    cloud.enter("IngestFunction")

    def post(audience_id: str, key: str) -> dict[str, Any]:
        event = audience_event(Person(1), enters=True, at=datetime.now(UTC), audience_id=audience_id, key=key)
        answer = ingest.lambda_handler(http("POST /v1/events", event, JSON | {"x-api-key": EVENT_KEY}), Context())
        result: dict[str, Any] = json.loads(answer["body"])
        return result

    assert post("", "new_ones")["rejections"][0]["reason"] == "audience_unknown"
    function = ingest.dependencies()
    audience_id = create(computationKey="new_ones")[1]["externalId"]
    assert ingest.dependencies() is function, "the function with the copy from before"
    assert [post(*found)["accepted"] for found in ((audience_id, "other"), ("", "new_ones"))] == [1, 1]


def test_an_amc_audience_created_with_dsp_sends_its_members_to_dsp(cloud: Cloud, amazon: Served) -> None:
    connections = amazon.app[SANDBOX].connections
    connections.accept_terms({"agreementToken": connections.terms()["agreementToken"], "hasAccepted": True})
    connection_id = connections.add({"amcInstanceId": "i", "dspAdvertiserId": "5"}, 0)
    target = {"advertiserId": "", "connectionId": connection_id, "dsp": "true"}
    audience_id = create(**target)[1]["externalId"]
    cloud.enter("IngestFunction")
    event = audience_event(Person(1), enters=True, at=datetime.now(UTC), audience_id=audience_id, key="x")
    ingest.lambda_handler(http("POST /v1/events", event, JSON | {"x-api-key": EVENT_KEY}), Context())
    (message,) = cloud.messages()
    assert (message["connectionId"], message["targetTypes"]) == (connection_id, ["DSP"])
    cloud.enter("WorkerFunction")
    record = {"messageId": "1", "receiptHandle": "r", "body": json.dumps(message)}
    assert worker.lambda_handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    (upload,) = at_amazon(cloud, "POST", "/amc/audiences/records")
    assert upload["body"]["targetResource"] == {"connectionId": connection_id, "targetTypes": ["DSP"]}


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        pytest.param(WITH_KEY, None, 200, id="Basic"),
        pytest.param(JSON, {"key": AUDIENCE_KEY}, 200, id="?key="),
        pytest.param(JSON, None, 401, id="nothing"),
        pytest.param(JSON, {"key": EVENT_KEY}, 401, id="?key= with an event key"),
        pytest.param({"authorization": "Basic !"}, None, 401, id="broken Basic, and nothing parsed further"),
    ],
)
@pytest.mark.parametrize("route", [CREATE, GET])
def test_only_an_audience_key_authenticates(
    cloud: Cloud, headers: dict[str, str], query: dict[str, str] | None, status: int, route: str
) -> None:
    body = GET_BODY if route == GET else REQUEST
    got, answer = ask(http(route, body, headers, query))
    assert got == status
    assert status == 200 or answer == UNAUTHORIZED
    assert len(creations(cloud)) == (1 if route == CREATE and status == 200 else 0)


def test_a_rotated_key_is_valid_at_once(cloud: Cloud) -> None:
    assert create()[0] == 200
    cloud.put_secret("IngestSecret", {"audienceKey": "a-new-audience-key-0001"})
    assert ask(http(GET, GET_BODY, JSON, {"key": "a-new-audience-key-0001"}))[0] == 200


@pytest.mark.parametrize(
    ("days_left", "status", "counted"),
    [
        pytest.param(-2, 401, "RequestsUnauthorized", id="expired"),
        pytest.param(7, 200, "SourceKeyExpiring", id="soon"),
    ],
)
def test_an_expired_source_key_is_refused_and_one_that_expires_soon_is_counted(
    cloud: Cloud, printed: Callable[[], str], days_left: int, status: int, counted: str
) -> None:
    key, last = "an-audience-key-of-emea-1", datetime.now(UTC).date() + timedelta(days=days_left)
    cloud.put_secret("IngestSecret", {"audienceKey.emea": {"key": key, "expiresOn": last.isoformat()}})
    assert ask(http(CREATE, REQUEST, JSON, {"key": key}))[0] == status
    lines = [json.loads(line) for line in printed().splitlines()]
    names = {"RequestsUnauthorized", "SourceKeyExpiring"}
    assert [name for line in lines for name in names & line.keys()] == [counted]


def test_an_audience_of_an_advertiser_no_longer_allowed_is_not_returned(cloud: Cloud) -> None:
    assert create()[0] == 200
    cloud.enter("AudiencesFunction", ALLOWED_TARGETS="conn-1")
    assert create()[0] == 400


@pytest.mark.parametrize("api", ["audiences", "data-manager"])
def test_two_creations_at_once_give_a_key_to_one_audience(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    cloud.enter("AudiencesFunction", DATA_MANAGER_ACCOUNT_ID=MANAGER_ACCOUNT)
    dataset: dict[str, Any] = {"api": api, "shares": [], "advertiserId": None, "ttl": None}
    target = dataset if api == "data-manager" else {}
    creating, others = AmazonAds.create_audience, list[tuple[int, dict[str, Any]]]()

    def create_audience(self: AmazonAds, body: dict[str, Any], *, timeout: float) -> str:
        others.append(create(externalAudienceId="other", computationKey="same", **target))
        return creating(self, body, timeout=timeout)

    with monkeypatch.context() as patch:
        patch.setattr(AmazonAds, "create_audience", create_audience)
        assert create(computationKey="same")[0] == 200
    assert [status for status, _ in others] == [503]
    status, answer = create(externalAudienceId="other", computationKey="same", **target)
    assert (status, [each["field"] for each in answer["faults"]]) == (400, ["computationKey"])
    assert create(externalAudienceId="other", computationKey="another", **target)[0] == 200, "the locks are released"


def test_a_request_over_64_kilobytes_is_refused_and_is_not_a_rejected_event(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    status, answer = ask(http(CREATE, b" " * 70_000))
    assert (status, "over 65536 bytes" in answer["error"], creations(cloud)) == (413, True, [])
    assert "ejected" not in printed()


def test_a_url_in_segment_that_has_lost_its_key_counts_as_unauthorized(printed: Callable[[], str]) -> None:
    for route in (CREATE, GET):
        assert ask(http(route, REQUEST, JSON | {"user-agent": "Segment (Actions)"}))[0] == 401
        assert '"RequestsUnauthorized":[1.0]' in printed().replace(" ", "")


def test_a_fee_is_refused_unless_the_operator_allows_it(cloud: Cloud) -> None:
    fee = {"cpmCents": 150, "currency": "EUR"}
    status, answer = create(**fee)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (400, ["cpmCents"])
    cloud.enter("AudiencesFunction", MAX_CPM_CENTS="150")
    handler.dependencies.cache_clear()
    assert create(**fee)[0] == 200
    assert creations(cloud)[0]["body"]["metadata"]["audienceFees"] == [fee]


def test_the_stacks_prefix_is_put_before_new_names_and_an_existing_audience_is_not_renamed(cloud: Cloud) -> None:
    first = create(audienceName="Made before the prefix")[1]
    cloud.enter("AudiencesFunction", AUDIENCE_NAME_PREFIX="Brand A - ")
    handler.dependencies.cache_clear()
    again = create(audienceName="Made before the prefix")[1]
    assert again["externalId"] == first["externalId"]
    assert [each["field"] for each in again["differs"]] == ["audienceName"]
    assert create(audienceName="Made after it", externalAudienceId="after")[1]["name"] == "Brand A - Made after it"
    assert [each["body"]["name"] for each in creations(cloud)] == ["Made before the prefix", "Brand A - Made after it"]


def test_creating_an_existing_audience_with_other_settings_names_the_differences(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    first = create(ttl=604_800)[1]
    status, answer = create(ttl=7_777, description="private words", computationKey="new_ones")
    assert (status, answer["externalId"]) == (200, first["externalId"])
    assert [each["field"] for each in answer["differs"]] == ["description", "ttl", "computationKey"]
    assert all("audience-sync audiences" in each["remedy"] for each in answer["differs"])
    assert len(creations(cloud)) == 1
    (line,) = [json.loads(line) for line in printed().splitlines() if "with other settings" in line]
    assert (line["audience_id"], line["fields"]) == (answer["externalId"], ["description", "ttl", "computationKey"])
    assert "private" not in json.dumps(answer) + json.dumps(line)


def test_a_creation_with_a_stale_lock_is_repeated_and_logged(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
) -> None:
    cloud.fault("/amc/audiences/metadata", {"close_after_apply": True})
    answer = handler.lambda_handler(http(CREATE, REQUEST), Context())
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "120")
    assert (len(creations(cloud)), listed(cloud)) == (1, [])
    monkeypatch.setattr(audiences, "STALE_LOCK_AGE", 0)
    status, found = create()
    assert (status, listed(cloud)) == (200, [found["externalId"]])
    assert "created again" in printed()
    violations = requests.get(f"{cloud.amazon_url}/sandbox/violations", timeout=5).json()
    assert [violation["kind"] for violation in violations] == ["external_audience_id_twice"]


def test_logs_and_answers_contain_no_key_no_token_and_no_sent_value(printed: Callable[[], str]) -> None:
    answers = [create(description="private words", ttl="private ttl"), create(description="private words")]
    answers.append(ask(http(CREATE, REQUEST, JSON, {"key": "private-wrong-key-0001"})))
    text = json.dumps(answers) + printed()
    for value in ("private", AUDIENCE_KEY, PREVIOUS_KEY, EVENT_KEY, "Atza|", "Atzr|", "made-up-client-secret"):
        assert value not in text


def test_a_request_from_a_disallowed_address_is_refused_before_a_secret_is_read(cloud: Cloud) -> None:
    cloud.put_secret("IngestSecret", "not json: reading it would be a 503")
    cloud.enter("AudiencesFunction", ALLOWED_SOURCES="192.0.2.7")
    for source, status in (("198.51.100.7", 401), ("192.0.2.7", 503)):
        assert ask(http(CREATE, REQUEST) | {"requestContext": {"http": {"sourceIp": source}}})[0] == status
