"""Our client of Ads Data Manager against the sandbox, at the wire."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.data_manager.answers import Funnel
from audience_sync.amazon_ads.data_manager.client import NO_UPLOAD_ID, DataManager
from audience_sync.amazon_ads.data_manager.members import frame_of
from audience_sync.amazon_ads.data_manager.pages import MAX_PAGES
from audience_sync.amazon_ads.login import AccessTokens, Login
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
    Throttled,
)
from local.amazon.options import Options
from tests.support.aws_fixtures import CREDENTIALS, build_sandbox
from tests.support.doubles.secrets import StoredSecret
from tests.support.servers import Served, serve

MANAGER, ADVERTISER = Account("amzn1.ads1.ma1.x"), Account("ENTITY9")
NEW = {"name": "lapsed-buyers", "countryCode": "DE", "description": "d"}
MEMBERS_PATH = "/adm/audiences/*/members"
SHARES_PATH = "/adm/sharingRules"
CONSENT = {"geo": {"countryCode": "DE"}, "consent": {"amzn": {"amznUserData": "GRANTED"}}}


def member(user: str = "m1", **changed: Any) -> bytes:
    identity = {"hashedPiis": [{"em": "a" * 64}]}
    fields = {"externalUserId": user, "action": "CREATE", "userIdentity": identity, "userConsent": CONSENT}
    return json.dumps(fields | changed).encode()


@dataclass
class Connection:
    """Our client, connected to a sandbox, with one dataset."""

    url: str
    amazon: DataManager
    dataset_id: str = ""

    def fault(self, do: dict[str, Any], *, times: int = 1, path: str = MEMBERS_PATH) -> None:
        self.faults({"match": {"path": path}, "do": do, "times": times})

    def faults(self, *rules: dict[str, Any]) -> None:
        requests.put(f"{self.url}/sandbox/faults", json=rules, timeout=5).raise_for_status()

    def received(self, path: str) -> list[dict[str, Any]]:
        listed = requests.get(f"{self.url}/sandbox/requests?since=0", timeout=5).json()
        return [request for request in listed if request["path"].endswith(path)]

    def upload(self, *members: bytes) -> Upload:
        target = Target(self.dataset_id)
        return Upload(target, frame_of(target), members or (member(),))

    def share(self, **changed: str) -> dict[str, Any]:
        return {
            "application": "DSP_AUDIENCES",
            "dataSetId": self.dataset_id,
            "destinationAccountId": "ENTITY1",
            "marketplaceId": "ATVPDKIKX0DER",
            "metadata": {"audienceMetadata": {"audienceName": "Lapsed buyers"}},
        } | changed


@contextmanager
def connected(
    served: Served, account: Account = MANAGER, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Connection]:
    requests.post(f"{served.url}/sandbox/reset", timeout=5).raise_for_status()
    credentials = StoredSecret(dict(CREDENTIALS))
    with requests.Session() as login_session, requests.Session() as session:
        login = Login(login_session, f"{served.url}/auth/o2/token", credentials, time.time)
        tokens = AccessTokens(StoredSecret(), login, time.time)
        yield Connection(served.url, DataManager(session, served.url, tokens, account, monotonic))


@contextmanager
def sandbox_with(**switches: Any) -> Iterator[Served]:
    with serve(lambda: build_sandbox(Options(**switches))) as served:
        yield served


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Served]:
    with sandbox_with() as served:
        yield served


@pytest.fixture
def connection(sandbox: Served) -> Iterator[Connection]:
    with connected(sandbox) as made:
        made.dataset_id = made.amazon.create_dataset(NEW)
        yield made


@pytest.mark.parametrize("account", [MANAGER, ADVERTISER], ids=["manager", "advertiser"])
def test_terms_and_data_room_are_set_up_before_the_first_dataset(account: Account) -> None:
    not_set_up = {"data_manager_terms_accepted": False, "data_room_exists": False}
    with sandbox_with(**not_set_up) as served, connected(served, account) as made:
        amazon = made.amazon
        with pytest.raises(AccessDenied, match="terms"):
            amazon.create_dataset(NEW)
        terms = amazon.terms()
        assert not terms.accepted
        assert "<h1>" in terms.agreement
        amazon.accept_terms(terms)
        assert amazon.terms().accepted
        assert amazon.data_room() is None
        room = amazon.make_data_room()
        assert (room, room.account_id) == (amazon.data_room(), account.account_id)
        assert amazon.create_dataset(NEW)
        (request, *_) = made.received("/adm/terms")
        headers = {name.lower(): value for name, value in request["headers"].items()}
        named = headers.get("amazon-ads-manager-account-id"), headers.get("amazon-ads-accountid")
        assert [each for each in named if each] == [account.account_id], "exactly one"


def test_creating_a_dataset_whose_name_exists_returns_the_existing_one(connection: Connection) -> None:
    amazon = connection.amazon
    assert amazon.create_dataset(NEW) == connection.dataset_id, "the name is taken: the id of the dataset that has it"
    found = amazon.dataset_named("lapsed-buyers")
    assert found == amazon.dataset(connection.dataset_id)
    assert (found.name, found.country, found.description) == ("lapsed-buyers", "DE", "d")
    assert amazon.dataset_named("another") is None
    with pytest.raises(NotFound):
        amazon.dataset("unknown")


@pytest.mark.parametrize(
    ("answer", "adopted"),
    [
        pytest.param({"status": 400, "body": {"datasetId": "ds-7", "code": "400"}}, "ds-7", id="a status as its code"),
        pytest.param(
            {"status": 400, "body": {"datasetId": "ds-7", "code": "Duplicate"}}, "ds-7", id="a word as its code"
        ),
        pytest.param({"status": 409, "body": {"datasetId": "ds-7"}}, RequestRejected, id="another status"),
        pytest.param({"status": 403, "body": {"datasetId": "ds-7"}}, AccessDenied, id="no permission"),
        pytest.param({"status": 429, "body": {"datasetId": "ds-7"}}, Throttled, id="too many requests"),
        pytest.param({"status": 201, "body": {"dataSetId": "ds-7"}}, "ds-7", id="the sample answer of Amazon's guide"),
        pytest.param({"status": 400, "body": {"code": "400"}}, RequestRejected, id="another refusal"),
        pytest.param({"status": 400, "body": {"datasetId": None}}, RequestRejected, id="an empty id"),
        pytest.param({"status": 400, "body": {"datasetId": 7}}, OutcomeUnknown, id="a number"),
        pytest.param({"status": 400, "body": {"datasetId": "../x"}}, OutcomeUnknown, id="an id that no path can hold"),
        pytest.param({"status": 201, "body": {}}, OutcomeUnknown, id="created, without an id"),
        pytest.param({"status": 500, "body": {"datasetId": "ds-7"}}, ServiceUnavailable, id="a server error"),
    ],
)
def test_a_creation_adopts_the_dataset_named_in_its_refusal(
    connection: Connection, answer: dict[str, Any], adopted: str | type[AudienceSyncError]
) -> None:
    connection.fault(answer, path="/adm/audiences")
    if isinstance(adopted, str):
        assert connection.amazon.create_dataset(NEW) == adopted
    else:
        with pytest.raises(adopted):
            connection.amazon.create_dataset(NEW)


def test_every_page_of_a_list_is_read(connection: Connection) -> None:
    for number in range(120):
        connection.amazon.create_dataset(NEW | {"name": f"dataset-{number}"})
    assert len({dataset.dataset_id for dataset in connection.amazon.datasets()}) == 121
    assert connection.amazon.dataset_named("dataset-119")


def test_a_list_whose_pages_never_end_is_an_unknown_outcome(connection: Connection) -> None:
    connection.fault({"status": 200, "body": {"dataSets": [], "nextToken": "again"}}, path="/adm/audiences", times=999)
    with pytest.raises(OutcomeUnknown, match="does not end"):
        connection.amazon.dataset_named("lapsed-buyers")
    assert len(connection.received("/adm/audiences")) == MAX_PAGES + 1


def test_the_answer_to_an_upload_names_the_rejected_members(connection: Connection) -> None:
    empty = member("m2", userIdentity={"hashedPiis": [{"em": "ada@example.com"}]})
    submitted = connection.amazon.send_members(connection.upload(empty, member("m1"), member("m3")))
    assert submitted.job_id != NO_UPLOAD_ID
    assert submitted.rejected.keys() == {0}
    assert submitted.rejected[0].status == 400
    assert "userIdentity.hashedPiis" in str(submitted.rejected[0])
    assert not submitted.counted_from_one
    (request,) = connection.received("/members")
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert headers["content-type"] == headers["accept"] == "application/vnd.admAudiences.v1+json"


def test_an_answer_whose_indices_start_at_one_is_recognized() -> None:
    with sandbox_with(index_base=1) as served, connected(served) as made:
        made.dataset_id = made.amazon.create_dataset(NEW)
        submitted = made.amazon.send_members(made.upload(member("m1"), member("", externalUserId="")))
        assert ({*submitted.rejected}, submitted.counted_from_one) == ({1}, True)
        submitted = made.amazon.send_members(made.upload(member("", externalUserId=""), member("m1")))
        assert ({*submitted.rejected}, submitted.counted_from_one) == ({0}, True), "as the answer before has shown"


@pytest.mark.parametrize(
    ("body", "job_id"),
    [
        pytest.param({}, NO_UPLOAD_ID, id="nothing"),
        pytest.param({"ingressId": ""}, NO_UPLOAD_ID, id="an empty id"),
        pytest.param({"ingressId": "a b"}, NO_UPLOAD_ID, id="an id that is not logged"),
        pytest.param({"ingressId": ".."}, NO_UPLOAD_ID, id="an id that leads out of its path"),
        pytest.param({"ingressId": "in-1", "errors": []}, "in-1", id="no errors"),
    ],
)
def test_an_upload_without_a_usable_id_counts_as_accepted(
    connection: Connection, body: dict[str, Any], job_id: str
) -> None:
    connection.fault({"status": 200, "body": body})
    assert connection.amazon.send_members(connection.upload()).job_id == job_id


def test_an_answer_may_reject_all_5_000_members(connection: Connection) -> None:
    errors = [{"index": index, "code": "400", "details": "value " * 150} for index in range(5_000)]
    connection.fault({"status": 200, "body": {"errors": errors}})
    assert len(connection.amazon.send_members(connection.upload(*[member()] * 5_000)).rejected) == 5_000


@pytest.mark.parametrize(
    ("do", "error"),
    [
        pytest.param({"status": 400}, RequestRejected, id="400"),
        pytest.param({"status": 500}, ServiceUnavailable, id="500: members can be sent again"),
        pytest.param({"close_after_apply": True}, OutcomeUnknown, id="reset"),
        pytest.param({"status": 200, "body": ""}, OutcomeUnknown, id="accepted, without a body"),
        pytest.param({"status": 200, "body": {"errors": [{}]}}, RequestRejected, id="refused, nobody knows who"),
    ],
)
def test_a_failed_upload_raises_one_of_our_errors(
    connection: Connection, do: dict[str, Any], error: type[AudienceSyncError]
) -> None:
    connection.fault(do)
    with pytest.raises(error) as caught:
        connection.amazon.send_members(connection.upload(member("m1"), member("m2")))
    assert type(caught.value) is error


def test_an_error_carries_amazons_request_id(connection: Connection) -> None:
    with pytest.raises(NotFound) as caught:
        connection.amazon.dataset("unknown")
    assert caught.value.request_id.startswith("sandbox-")


def test_people_are_deleted_by_id_alone(connection: Connection) -> None:
    connection.amazon.delete_people(["m1", "m2"])
    (request,) = connection.received("/adm/identities/delete")
    assert request["body"] == {"targetIdentities": [{"externalUserId": "m1"}, {"externalUserId": "m2"}]}


def test_a_dsp_account_is_refused_manager_calls_before_the_request(sandbox: Served) -> None:
    with connected(sandbox, ADVERTISER) as made:
        with pytest.raises(InvalidRequest, match="DataManagerAccountId"):
            made.amazon.delete_people(["m1"])
        with pytest.raises(InvalidRequest, match="DataManagerAccountId"):
            made.amazon.revoke_share("sr-1")
        assert not made.received("/delete") + made.received("/revoke")


def test_a_share_is_created_once(connection: Connection) -> None:
    amazon = connection.amazon
    first = amazon.create_share(connection.share())
    assert (first.destination, first.dataset_id) == ("ENTITY1", connection.dataset_id)
    assert first.audience_ids
    assert amazon.create_share(connection.share()).share_id == first.share_id
    second = amazon.create_share(connection.share(destinationAccountId="ENTITY2"))
    other = amazon.create_dataset(NEW | {"name": "other"})
    third = amazon.create_share(connection.share(dataSetId=other))
    assert len({first.share_id, second.share_id, third.share_id}) == 3
    assert {share.share_id for share in amazon.shares(connection.dataset_id)} == {first.share_id, second.share_id}


def test_creating_a_share_has_one_timeout_for_all_its_calls(sandbox: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda would stop the function, which would hold the lock of the creation."""
    now, timeouts, request = [0.0], [], requests.Session.request

    def slow(session: requests.Session, *args: Any, **options: Any) -> requests.Response:
        timeouts.append(options["timeout"][1])
        now[0] += 4
        return request(session, *args, **options)

    with connected(sandbox, monotonic=lambda: now[0]) as made:
        made.dataset_id = made.amazon.create_dataset(NEW)
        made.fault({"close_before_read": True}, path=SHARES_PATH)
        monkeypatch.setattr(requests.Session, "request", slow)
        with pytest.raises(OutcomeUnknown):
            made.amazon.create_share(made.share(), timeout=10.0)
    assert timeouts == [10.0, 6.0, 2.0]


def test_a_revoked_share_is_listed_as_such_and_another_is_created(connection: Connection) -> None:
    amazon = connection.amazon
    first = amazon.create_share(connection.share())
    amazon.revoke_share(first.share_id)
    (listed,) = amazon.shares(connection.dataset_id)
    assert (listed.is_revoked, listed.status, listed.revoked_by) == (True, "REVOKED_BY_USER", "USER")
    assert amazon.create_share(connection.share()).share_id != first.share_id


@pytest.mark.parametrize(
    "do",
    [
        pytest.param({"close_after_apply": True}, id="reset"),
        pytest.param({"status": 504, "apply": True}, id="504"),
        pytest.param({"status": 503, "apply": True}, id="503"),
        pytest.param({"status": 200, "body": {}}, id="an answer without an id"),
    ],
)
def test_a_share_whose_creation_was_not_answered_is_found(connection: Connection, do: dict[str, Any]) -> None:
    connection.fault(do, path=SHARES_PATH)
    created = connection.amazon.create_share(connection.share())
    assert [created] == list(connection.amazon.shares(connection.dataset_id))
    assert len(connection.received(SHARES_PATH)) == 1


@pytest.mark.parametrize(
    ("do", "error"),
    [
        pytest.param({"close_before_read": True}, OutcomeUnknown, id="reset"),
        pytest.param({"status": 500}, OutcomeUnknown, id="500"),
        pytest.param({"status": 503}, ServiceUnavailable, id="503"),
        pytest.param({"status": 400}, RequestRejected, id="400"),
    ],
)
def test_a_share_that_was_not_created_is_not_retried_within_the_call(
    connection: Connection, do: dict[str, Any], error: type[AudienceSyncError]
) -> None:
    connection.fault(do, path=SHARES_PATH)
    with pytest.raises(error):
        connection.amazon.create_share(connection.share())
    assert len(connection.received(SHARES_PATH)) == 1
    assert connection.amazon.create_share(connection.share())


def test_an_unknown_outcome_is_reported_even_if_the_list_of_shares_fails(connection: Connection) -> None:
    connection.faults(
        {"match": {"path": SHARES_PATH}, "do": {"close_after_apply": True}, "times": 1},
        {"match": {"path": f"{SHARES_PATH}/list", "nth": 2}, "do": {"status": 429}},
    )
    with pytest.raises(OutcomeUnknown):
        connection.amazon.create_share(connection.share())
    assert len(connection.received(f"{SHARES_PATH}/list")) == 2


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda each: list(each.amazon.datasets(timeout=0)), id="datasets"),
        pytest.param(lambda each: each.amazon.dataset_named("n", timeout=0), id="dataset_named"),
        pytest.param(lambda each: each.amazon.create_dataset(NEW, timeout=0), id="create_dataset"),
        pytest.param(lambda each: each.amazon.dataset("ds", timeout=0), id="dataset"),
        pytest.param(lambda each: each.amazon.send_members(each.upload(), timeout=0), id="send_members"),
        pytest.param(lambda each: each.amazon.delete_people(["m1"], timeout=0), id="delete_people"),
        pytest.param(lambda each: list(each.amazon.shares("ds", timeout=0)), id="shares"),
        pytest.param(lambda each: each.amazon.create_share(each.share(), timeout=0), id="create_share"),
    ],
)
def test_no_call_is_made_without_time_left(connection: Connection, call: Callable[[Connection], Any]) -> None:
    with pytest.raises(ServiceUnavailable, match="no time is left"):
        call(connection)


def test_the_counts_of_a_dataset_are_read(connection: Connection) -> None:
    amazon = connection.amazon
    amazon.send_members(connection.upload(member("", externalUserId=""), member("m1")))
    metrics = amazon.metrics(connection.dataset_id)
    assert (metrics.uploads, metrics.accepted, metrics.invalid) == (2, 1, 1)
    assert metrics.match_percent is not None
    funnel = amazon.aggregates(connection.dataset_id, "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    assert (funnel.received, funnel.valid) == (2, 1)
    assert amazon.aggregates(connection.dataset_id, "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z") == Funnel()
    with pytest.raises(RequestRejected):
        amazon.metrics("unknown")
