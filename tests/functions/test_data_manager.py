"""An audience of Ads Data Manager through the functions, with the sandbox behind them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.data_manager.share_settings import MAX_SHARES
from audience_sync.audiences import creation
from audience_sync.members.dead_letters import DeadLetter
from functions.audiences import handler as audiences
from functions.ingest import handler as ingest
from local.resources import MANAGER_ACCOUNT
from local.sample_profiles import Person, audience_event
from tests.functions.test_audiences import AUDIENCE_KEY, CREATE, GET, JSON, ask, http
from tests.support.api_description import MAX_ANSWER
from tests.support.cloud import AUDIENCE, EVENT_KEY, Cloud, Context
from tests.support.invocations import EMAIL, GRANTED, check_jobs, dataset_body, deliver, notice, take

MANAGER = {"DATA_MANAGER_ACCOUNT_ID": MANAGER_ACCOUNT, "DATA_MANAGER_SECONDS": "0", "LATE_SECONDS": "0"}
DSP = {"DATA_MANAGER_ACCOUNT_ID": "ENTITY1ABC", "DATA_MANAGER_SECONDS": "0", "LATE_SECONDS": "0"}
SHARES = [{"advertiserId": "ENTITY2XYZ", "marketplace": "US"}, {"amcInstanceId": "amc1a2b", "marketplace": "DE"}]
REQUEST = {"audienceName": "Lapsed premium buyers", "api": "data-manager", "countryCode": "DE", "shares": SHARES}


@pytest.fixture(autouse=True)
def keys(cloud: Cloud) -> None:
    cloud.put_secret("IngestSecret", {"eventKey": EVENT_KEY, "audienceKey": AUDIENCE_KEY})


def run(cloud: Cloud, *bodies: str, account: dict[str, str] = MANAGER) -> list[str]:
    """Deliver as if every upload had taken effect at once, the longest job also."""
    return deliver(cloud, *bodies, context=None, **account, LONGEST_JOB_SECONDS="0")


def create(cloud: Cloud, account: dict[str, str] = MANAGER, **changed: Any) -> tuple[int, dict[str, Any]]:
    cloud.enter("AudiencesFunction", **account)
    return ask(http(CREATE, REQUEST | changed))


def dataset(cloud: Cloud, audience_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = requests.get(f"{cloud.amazon_url}/sandbox/audiences/{audience_id}", timeout=60).json()
    return shown


def change(member: str, at: int, *, exits: bool = False, consent: dict[str, Any] | None = None) -> dict[str, Any]:
    record: dict[str, Any] = {"externalUserId": member, "countryCode": "DE", "hashedPII": [{"email": EMAIL}]}
    record |= {"action": "DELETE"} if exits else {"action": "CREATE", "userConsent": GRANTED}
    return {"at": at, "id": f"id-{at}", "record": record | ({} if consent is None else {"userConsent": consent})}


def requests_to(cloud: Cloud, path: str) -> list[dict[str, Any]]:
    listed = requests.get(f"{cloud.amazon_url}/sandbox/requests?since=0", timeout=60).json()
    return [each for each in listed if each["path"].startswith(path)]


def dead_letters(cloud: Cloud) -> list[DeadLetter]:
    return [DeadLetter.from_body(each) for each in take(cloud, "DeadLetterQueue")]


def test_a_dataset_is_created_shared_with_every_target_listed_and_found_again(cloud: Cloud) -> None:
    status, answer = create(cloud, computationKey="new_ones")
    assert (status, answer["name"]) == (200, answer["externalAudienceId"])
    listed = cloud.audiences.by_id(answer["externalId"])
    assert listed
    assert (listed.name, listed.computation_key) == (REQUEST["audienceName"], "new_ones")
    assert listed.destination.fields == {"api": "data-manager"}
    shown = dataset(cloud, answer["externalId"])
    assert [each["application"] for each in shown["shares"]] == ["DSP_AUDIENCES", "AMAZON_MARKETING_CLOUD"]
    assert ask(http(GET, {"externalId": answer["externalId"]})) == (200, {"externalId": answer["externalId"]})
    assert create(cloud, computationKey="new_ones") == (status, answer), "the same audience"
    assert len(dataset(cloud, answer["externalId"])["shares"]) == len(SHARES)


def test_the_audience_key_creates_so_many_datasets_a_day_and_none_for_the_key_of_an_unlinked_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
) -> None:
    monkeypatch.setattr(creation, "MAX_CREATED_A_DAY", 1)
    _, answer = create(cloud, computationKey="new_ones")
    assert "at most 1 audiences a day" in create(cloud, audienceName="Another")[1]["error"]
    assert create(cloud, computationKey="new_ones") == (200, answer), "it is found"
    assert printed().count('"AudiencesCreated":[1.0]') == 2, "also the one over the limit"
    unlink(cloud, answer["externalId"])
    (fault,) = create(cloud, audienceName="Another", computationKey="new_ones")[1]["faults"]
    assert fault["field"] == "computationKey"


def test_concurrent_create_requests_share_the_dataset_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segment gives up after ten seconds, and repeats its request."""
    repeated: list[tuple[int, dict[str, Any]]] = []
    listed = DataManager.shares

    def shares(self: DataManager, dataset_id: str, **options: Any) -> list[Share]:
        found = [*listed(self, dataset_id, **options)]
        monkeypatch.setattr(DataManager, "shares", listed)
        repeated.append(create(cloud))
        return found

    monkeypatch.setattr(DataManager, "shares", shares)
    status, answer = create(cloud)
    assert (status, repeated[0][0], len(dataset(cloud, answer["externalId"])["shares"])) == (200, 503, len(SHARES))
    assert create(cloud) == (200, answer), "the lock is released"


def test_a_repeated_create_request_lists_the_shares_with_one_call(cloud: Cloud) -> None:
    """Asking for each in turn, it might have no time to create the missing ones, however often it is repeated."""
    create(cloud)
    before = len(requests_to(cloud, "/adm/sharingRules"))
    create(cloud)
    assert len(requests_to(cloud, "/adm/sharingRules")) == before + 1


def forget(cloud: Cloud, audience_id: str) -> None:
    """Make a dataset one that this stack never had, as if another tool had created it."""
    table = cloud.name_of("AudienceTable")
    cloud.client("dynamodb").delete_item(TableName=table, Key={"audienceId": {"S": audience_id}})


def test_an_empty_dataset_of_the_name_is_listed_instead_of_creating_one(cloud: Cloud) -> None:
    audience_id = create(cloud)[1]["externalId"]
    forget(cloud, audience_id)
    assert create(cloud)[1]["externalId"] == audience_id
    assert len([each for each in requests_to(cloud, "/adm/audiences") if each["method"] == "POST"]) == 1


def unlink(cloud: Cloud, audience_id: str) -> None:
    assert cloud.audiences.unlink(audience_id, at=0)


@pytest.mark.parametrize(
    ("leave", "is_filled", "field"),
    [
        pytest.param(forget, True, "audienceName", id="filled by another tool"),
        pytest.param(unlink, True, "externalAudienceId", id="filled and unlinked"),
        pytest.param(unlink, False, "externalAudienceId", id="unlinked, perhaps with changes under way"),
    ],
)
def test_a_create_request_neither_lists_nor_shares_a_dataset_that_may_have_members(
    cloud: Cloud, leave: Callable[[Cloud, str], None], is_filled: bool, field: str
) -> None:
    audience_id = create(cloud)[1]["externalId"]
    if is_filled:
        run(cloud, dataset_body(audience_id, change("m1", 1)))
    leave(cloud, audience_id)
    cloud.fault("/adm/datasets/list", {"status": 403})
    for shares in ([], [{"advertiserId": "ENTITY9", "marketplace": "US"}]):  # counts are denied, then shown
        status, answer = create(cloud, computationKey="another", shares=shares)
        assert (status, [fault["field"] for fault in answer["faults"]]) == (400, [field])
    assert len(dataset(cloud, audience_id)["shares"]) == len(SHARES)
    assert ask(http(GET, {"externalId": audience_id}))[0] == 404


@pytest.mark.parametrize(("allowed", "status"), [("ENTITY2XYZ", 400), ("ENTITY2XYZ,amc1a2b", 200), ("", 200)])
def test_a_dataset_is_adopted_only_if_its_shares_are_all_allowed(cloud: Cloud, allowed: str, status: int) -> None:
    forget(cloud, create(cloud)[1]["externalId"])
    assert create(cloud, MANAGER | {"ALLOWED_TARGETS": allowed}, shares=[])[0] == status


def test_a_listed_dataset_gets_no_share_from_a_repeated_create_request(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    audience_id = create(cloud)[1]["externalId"]
    status, answer = create(cloud, shares=[*SHARES, {"advertiserId": "ENTITY9", "marketplace": "US"}])
    assert (status, [each["field"] for each in answer["differs"]]) == (200, ["shares"])
    assert "audiences share" in answer["differs"][0]["remedy"]
    assert len(dataset(cloud, audience_id)["shares"]) == len(SHARES)
    assert '"fields":["shares"]' in printed()


def test_segment_cannot_have_amazon_retain_ids(cloud: Cloud) -> None:
    status, answer = create(cloud, idRetention=True)
    assert (status, [fault["field"] for fault in answer["faults"]]) == (400, ["idRetention"])


@pytest.mark.parametrize(
    ("changed", "account", "named"),
    [
        pytest.param({"ttl": 0}, MANAGER, "ttl", id="a setting of the audience API"),
        pytest.param({"api": "adm"}, MANAGER, "api", id="an API that does not exist"),
        pytest.param({}, {}, "DataManagerAccountId", id="a stack without an account"),
    ],
)
def test_settings_that_a_dataset_cannot_have_are_refused(
    cloud: Cloud, changed: dict[str, Any], account: dict[str, str], named: str
) -> None:
    status, answer = create(cloud, account, **changed)
    assert (status, named in str(answer["faults"])) == (400, True)


def test_a_form_full_of_faults_gets_a_short_answer(cloud: Cloud) -> None:
    status, answer = create(cloud, shares=[{"marketplace": "?", "accountEntityId": " ", "extra": 1}] * MAX_SHARES)
    assert status == 400
    assert len(json.dumps(answer)) < MAX_ANSWER


def test_creating_a_dataset_in_a_dsp_account_warns_that_nobody_is_deleted(cloud: Cloud) -> None:
    assert "warning" not in create(cloud)[1]
    assert "Amazon deletes nobody" in create(cloud, DSP, audienceName="Another audience")[1]["warning"]


def test_an_event_without_consent_is_rejected_whatever_the_country(cloud: Cloud) -> None:
    audience_id = create(cloud, countryCode="US", computationKey="new_ones")[1]["externalId"]
    cloud.enter("IngestFunction")
    event = audience_event(Person(1), enters=True, at=datetime.now(UTC), audience_id=audience_id, key="new_ones")
    answer = ingest.lambda_handler(http("POST /v1/events", event, JSON | {"x-api-key": EVENT_KEY}), Context())
    assert json.loads(answer["body"])["rejections"][0]["reason"] == "consent_missing"


def send(cloud: Cloud, person: int, audience_id: str, *, enters: bool = True, consent: str = "") -> dict[str, Any]:
    """Send the event of a person, deliver what it makes, and have the jobs checked. Returns the answer."""
    cloud.enter("IngestFunction")
    key = str(AUDIENCE.computation_key)
    at = datetime.now(UTC)
    event = audience_event(Person(person), enters=enters, at=at, audience_id=audience_id, key=key, consent=consent)
    answer = ingest.lambda_handler(http("POST /v1/events", event, JSON | {"x-api-key": EVENT_KEY}), Context())
    assert run(cloud, *take(cloud, "ChangeQueue")) == []
    check_jobs(cloud, milliseconds=180_000, **MANAGER, LONGEST_JOB_SECONDS="0")
    found: dict[str, Any] = json.loads(answer["body"])
    return found


def test_an_event_reaches_the_audiences_of_both_apis_that_share_its_key(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    dataset_id, main = create(cloud)[1]["externalId"], AUDIENCE.audience_id
    table = cloud.audiences
    listed = table.by_id(dataset_id)
    assert listed
    table.put(replace(listed, computation_key=AUDIENCE.computation_key, also=True), created=0)

    def members() -> tuple[list[int], list[int]]:
        held = cloud.members(), dataset(cloud, dataset_id)["members"]
        of_main, of_dataset = (sorted(int(member.removeprefix("cust_")) for member in some) for some in held)
        return of_main, of_dataset

    for person, named in ((1, main), (2, dataset_id)):
        assert send(cloud, person, named, consent="GRANTED")["accepted"] == 1
    assert members() == ([1, 2], [1, 2])
    rows = cloud.client("dynamodb").scan(TableName=cloud.name_of("MembershipTable"), ConsistentRead=True)["Items"]
    assert sum(not row["audienceShard"]["S"].startswith("#") for row in rows) == 4
    uploads = [json.loads(line) for line in printed().splitlines() if '"upload accepted"' in line]
    assert [(each["audience_id"], each["records"]) for each in uploads].count((dataset_id, 1)) == 2 == len(uploads) / 2

    send(cloud, 2, main, enters=False)
    answer = send(cloud, 3, main)
    assert (answer["accepted"], answer["partlyRejected"]) == (1, 1)
    assert members() == ([1, 3], [1]), "the dataset needs consent, the audience does not"

    assert table.mark(main, also=True, moved_to=dataset_id)
    assert table.unlink(main, at=0)
    send(cloud, 1, main, enters=False)
    send(cloud, 4, main, consent="GRANTED")
    assert members() == ([1, 3], [4]), "events with the id of a moved audience reach the other one alone"


@pytest.mark.parametrize("consent", [{"consent": "yes"}, {"consent": {"amzn": "yes"}}, {"geo": "DE"}, None])
@pytest.mark.parametrize("exits", [False, True], ids=["enter", "notice"])
def test_malformed_consent_does_not_block_other_members(
    cloud: Cloud, consent: dict[str, Any] | None, exits: bool
) -> None:
    audience_id = create(cloud)[1]["externalId"]
    odd = change("m1", 1, exits=exits, consent=consent) | {"erase": exits}
    assert run(cloud, dataset_body(audience_id, odd), dataset_body(audience_id, change("m2", 1))) == []
    assert "m2" in dataset(cloud, audience_id)["members"]


def test_with_a_dsp_account_a_notice_removes_the_person_but_requests_no_deletion(cloud: Cloud) -> None:
    audience_id = create(cloud, DSP)[1]["externalId"]
    run(cloud, dataset_body(audience_id, change("m1", 1)), account=DSP)
    run(cloud, notice("m1", 2), account=DSP)
    run(cloud, account=DSP)
    assert (dataset(cloud, audience_id)["members"], dead_letters(cloud)) == ({}, [])
    assert [body for body in take(cloud, "JobQueue") if "deletions" in body] == []


def test_changes_for_a_dataset_wait_if_no_account_is_set(cloud: Cloud) -> None:
    waiting = dataset_body("adm-1", change("m1", 1))
    assert deliver(cloud, waiting) == [waiting]


@pytest.fixture(autouse=True)
def fresh() -> None:
    audiences.dependencies.cache_clear()
