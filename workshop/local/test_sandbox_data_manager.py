"""Every exchange of these tests is checked against the schema, and most run under both settings of the switches."""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from local.amazon.sandbox import Options
from tests.support.builders import sha256
from tests.support.data_manager_schema import OPERATIONS, check_exchange
from tests.support.sandbox_server import JOB_DELAY, MANAGER_ACCOUNT, Amazon, sandbox
from tests.support.steps import counted_steps

MANAGER, ADVERTISER = "Amazon-Ads-Manager-Account-ID", "Amazon-Ads-AccountId"
AS_ADVERTISER = {MANAGER: None, ADVERTISER: "ENTITY1"}
GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED"}}}
SWITCHES = [
    pytest.param(Options(), id="by id, from 0"),
    pytest.param(
        Options(delete_finds_member="identity", index_base=1, consent_required_everywhere=False),
        id="by identity, from 1",
    ),
]


@contextmanager
def checked(options: Options) -> Iterator[Amazon]:
    with sandbox(options) as running:
        running.session.hooks["response"].append(check_exchange)
        yield running


@pytest.fixture(params=SWITCHES)
def options(request: pytest.FixtureRequest) -> Options:
    switches: Options = request.param
    return switches


@pytest.fixture
def amazon(options: Options) -> Iterator[Amazon]:
    with checked(options) as running:
        yield running


@pytest.fixture
def dataset(amazon: Amazon) -> str:
    return create(amazon)


def create(amazon: Amazon, name: str = "lapsed", **fields: Any) -> str:
    answer = amazon.adm("POST", "audiences", {"name": name, "countryCode": "US"} | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["dataSetId"])


def person(user: str, action: str = "CREATE", *sets: dict[str, str], **fields: Any) -> dict[str, Any]:
    identity = {"hashedPiis": list(sets) or [{"em": sha256(user)}]}
    member = {"externalUserId": user, "action": action, "userIdentity": identity, "userConsent": GRANTED} | fields
    return {name: value for name, value in member.items() if value is not None}


def send(amazon: Amazon, dataset: str, *members: dict[str, Any], **options: Any) -> requests.Response:
    return amazon.adm("POST", f"audiences/{dataset}/members", {"members": list(members)}, **options)


def share(dataset: str, **fields: Any) -> dict[str, Any]:
    metadata = {"audienceMetadata": {"audienceName": "Lapsed buyers"}}
    to = {"application": "DSP_AUDIENCES", "destinationAccountId": "ENTITY1", "marketplaceId": "ATVPDKIKX0DER"}
    return to | {"dataSetId": dataset, "metadata": metadata} | fields


def example(operation: dict[str, Any], dataset: str) -> dict[str, Any]:
    """Return the arguments of a call that passes the front end."""
    bodies = {"audiences": {"name": "other", "countryCode": "US"}, "sharingRules": share(dataset)}
    path = operation["path"].removeprefix("/adm/").replace("{dataSetId}", dataset).replace("{sharingRuleId}", "sr-1")
    bodies |= {f"audiences/{dataset}/members": {"members": [person("ada")]}}
    bodies |= {"identities/delete": {"targetIdentities": [{"externalUserId": "ada"}]}}
    bodies |= {"terms": {"agreementToken": "x", "hasAccepted": True}}
    body = bodies.get(path) if operation.get("needsBody") else None
    return {"method": operation["method"], "path": path, "body": body}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": None}, 401, id="no token"),
        pytest.param({"Amazon-Advertising-API-ClientId": "other"}, 401, id="another application"),
        pytest.param({MANAGER: None}, 400, id="no account"),
        pytest.param({MANAGER: ""}, 400, id="empty account"),
        pytest.param({ADVERTISER: "ENTITY1"}, 400, id="both accounts"),
        pytest.param({"Accept": "application/json"}, 406, id="plain JSON wanted"),
        pytest.param({"Accept": "application/vnd.admaudiences.v1+json"}, 406, id="wanted in lower case"),
        pytest.param({"Content-Type": "application/json"}, 415, id="plain JSON sent"),
        pytest.param({"Content-Type": "application/vnd.admaudiences.v1+json"}, 415, id="sent in lower case"),
        pytest.param({"Content-Encoding": "compress"}, 415, id="encoded body"),
    ],
)
def test_the_front_end_refuses(amazon: Amazon, dataset: str, headers: dict[str, Any], status: int) -> None:
    answer = send(amazon, dataset, person("ada"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, str(status))
    amazon.settle()
    assert amazon.shown(f"audiences/{dataset}")["size"] == 0


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each['method']} {each['path']}")
def test_each_operation_needs_a_permission_of_its_mode(operation: dict[str, Any]) -> None:
    def status(permissions: list[str], headers: dict[str, Any], **switches: Any) -> int:
        with checked(Options(permissions=frozenset(permissions), **switches)) as amazon:
            return amazon.adm(**example(operation, "adm-ds-1"), headers=headers).status_code

    managers, advertisers = operation["managers"], operation["advertisers"]
    assert 403 not in [status([each], {}) for each in managers]
    assert status(["account_owner", *({*advertisers} - {*managers})], {}) == 403
    assert 403 not in [status([each], AS_ADVERTISER) for each in advertisers]
    assert status(managers, AS_ADVERTISER) == 403
    assert status([*managers, *advertisers], AS_ADVERTISER, advertiser_mode=False) == 403


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each['method']} {each['path']}")
def test_operations_need_accepted_terms_and_a_data_room(operation: dict[str, Any]) -> None:
    before_terms = operation["path"] == "/adm/terms" or (operation["method"], operation["path"]) == (
        "GET",
        "/adm/datarooms",
    )
    with checked(Options(data_manager_terms_accepted=False)) as amazon:
        answer = amazon.adm(**example(operation, "adm-ds-1"))
        assert (answer.status_code == 403) is not before_terms
    with checked(Options(data_room_exists=False)) as amazon:
        answer = amazon.adm(**example(operation, "adm-ds-1"))
        needs_room = operation["path"] != "/adm/terms" and answer.status_code != 201
        assert ("data room" in answer.text) is needs_room


@pytest.mark.parametrize("recipe", ["data-terms", "data-room"])
def test_a_recipe_withholds_terms_or_data_room_until_they_are_restored(recipe: str) -> None:
    def set_recipe(amazon: Amazon, name: str) -> list[str]:
        amazon.session.put(f"{amazon.url}/sandbox/faults", json={"recipe": name}, timeout=5).raise_for_status()
        return [each["name"] for each in amazon.shown("recipes") if each["active"]]

    for is_known in (False, True):
        for ends in ("by the operator", "off"):
            with checked(Options()) as amazon:
                if is_known:
                    assert amazon.adm("GET", "audiences").status_code == 200
                assert set_recipe(amazon, recipe) == [recipe]
                assert amazon.adm("GET", "audiences").status_code == {"data-terms": 403, "data-room": 404}[recipe]
                if ends == "off":
                    assert set_recipe(amazon, "off") == []
                elif recipe == "data-terms":
                    token = amazon.adm("GET", "terms").json()["agreementToken"]
                    amazon.adm("PATCH", "terms", {"agreementToken": token, "hasAccepted": True})
                else:
                    amazon.adm("POST", "datarooms")
                assert amazon.adm("GET", "audiences").status_code == 200
                assert not any(each["active"] for each in amazon.shown("recipes"))


def test_terms_need_their_token_and_a_data_room_is_created_once() -> None:
    with checked(Options(data_manager_terms_accepted=False, data_room_exists=False)) as amazon:
        terms = amazon.adm("GET", "terms").json()
        wrong = {"agreementToken": "made up", "hasAccepted": True}
        assert amazon.adm("PATCH", "terms", wrong).status_code == 400
        accepted = {"agreementToken": terms["agreementToken"], "hasAccepted": True}
        assert amazon.adm("PATCH", "terms", accepted).status_code == 204
        assert amazon.adm("GET", "terms").json() == {"hasAccepted": True}
        assert amazon.adm("GET", "datarooms").status_code == 404
        made = amazon.adm("POST", "datarooms").json()
        amazon.clock.sleep(60)
        again = amazon.adm("POST", "datarooms", {}, headers={"Content-Type": "application/json"})
        assert made == again.json() == amazon.adm("GET", "datarooms").json()
        assert made["accountId"] == MANAGER_ACCOUNT
        assert amazon.adm("POST", "datarooms", {"region": "eu-west-1"}).status_code == 400


def test_creating_a_dataset_twice_returns_the_first(amazon: Amazon, dataset: str) -> None:
    assert re.fullmatch(r"adm-ds-[a-z0-9]{10}", dataset)
    again = amazon.adm("POST", "audiences", {"name": "lapsed", "countryCode": "DE"})
    assert (again.status_code, again.json()["datasetId"]) == (400, dataset)
    assert [each["dataSetId"] for each in amazon.adm("GET", "audiences").json()["dataSets"]] == [dataset]
    read = amazon.adm("GET", f"audiences/{dataset}").json()
    assert (read["name"], read["countryCode"], read["dataSetType"]) == ("lapsed", "US", "AUDIENCE")
    other = amazon.adm("GET", f"audiences/{dataset}", headers={MANAGER: "amzn1.ads1.ma1.other"})
    assert other.status_code == 404, "each account has a data room of its own"


def test_a_deleted_dataset_is_gone_and_its_name_is_free(amazon: Amazon, dataset: str) -> None:
    send(amazon, dataset, person("ada"))
    assert amazon.adm("DELETE", f"datasets/{dataset}").status_code == 204
    amazon.settle()
    statuses = [
        amazon.adm("GET", f"audiences/{dataset}").status_code,
        send(amazon, dataset, person("ada")).status_code,
        amazon.adm("DELETE", f"datasets/{dataset}").status_code,
        amazon.session.get(f"{amazon.url}/sandbox/audiences/{dataset}", timeout=5).status_code,
        amazon.adm("GET", f"datasets/{dataset}/metrics").status_code,
    ]
    assert statuses == [404, 404, 404, 404, 400], "metrics declare no 404"
    assert create(amazon) != dataset


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("audiences", "limit", "dataSets"),
        ("datasets/list", "maxResults", "datasets"),
        ("sharingRules/list", "", "sharingRules"),
    ],
)
def test_lists_are_paged(amazon: Amazon, path: str, query: str, field: str) -> None:
    for number in range(5):
        dataset = create(amazon, f"lapsed{number}")
        amazon.adm("POST", "sharingRules", share(dataset))
    seen: list[Any] = []
    token: dict[str, str] | None = {}
    while token is not None:
        page = {query or "maxResults": 2} | token
        answer = amazon.adm("POST", path, page) if not query else None
        method = "GET" if path == "audiences" else "POST"
        answer = answer or amazon.adm(method, path, params=page)
        shown = answer.json()
        seen += shown[field]
        token = {"nextToken": shown["nextToken"]} if "nextToken" in shown else None
    names = [each.get("name") or each["dataSetName"] for each in seen]
    assert names == [f"lapsed{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "audiences?limit=0"),
        ("GET", "audiences?limit=ten"),
        ("GET", "audiences?nextToken=made-up"),
        ("GET", f"audiences?nextToken={base64.b64encode(b'rules 1').decode()}"),
        ("POST", "datasets/list?maxResults=101"),
    ],
)
def test_an_invalid_page_size_or_token_is_refused(amazon: Amazon, method: str, path: str) -> None:
    assert amazon.adm(method, path).status_code == 400


def test_an_upload_takes_effect_after_the_job_delay(amazon: Amazon, dataset: str) -> None:
    sets = [{"em": sha256("a"), "zip": sha256("1")}, {"em": sha256("b")}]
    assert "errors" not in send(amazon, dataset, person("ada", "CREATE", *sets)).json()
    amazon.clock.sleep(JOB_DELAY - 0.01)
    assert amazon.shown(f"audiences/{dataset}")["members"] == {}
    amazon.settle()
    shown = amazon.shown(f"audiences/{dataset}")
    identifiers = {"email": sorted([sha256("a"), sha256("b")]), "postal": [sha256("1")]}
    assert shown["members"]["ada"]["identifiers"] == identifiers
    assert (shown["audienceId"], shown["name"], shown["size"], shown["shares"]) == (dataset, "lapsed", 1, [])


def test_uploads_of_one_sweep_take_effect_in_a_shuffled_order(amazon: Amazon, dataset: str) -> None:
    for number in range(20):
        send(amazon, dataset, person(f"m{number:02}"))
    amazon.settle()
    members = list(amazon.members(dataset))
    assert len(members) == 20
    assert members != sorted(members)


def test_a_body_above_the_limit_is_refused() -> None:
    assert Options().body_limit("/adm/audiences/x/members") == 10_000_000
    with checked(Options(max_data_manager_body=1_000)) as amazon:
        dataset = create(amazon)
        assert send(amazon, dataset, *[person(f"m{number}") for number in range(10)]).status_code == 413
        assert send(amazon, dataset, person("ada")).status_code == 200


def amzn(**values: str) -> dict[str, Any]:
    return {"consent": {"amzn": values}}


@pytest.mark.parametrize(
    ("consent", "country", "strict", "lenient"),
    [
        pytest.param(GRANTED, "US", True, True, id="granted"),
        pytest.param({"consent": {"tcf": "CPX"}}, "DE", True, True, id="TCF"),
        pytest.param(None, "US", False, True, id="none in the US"),
        pytest.param(None, "DE", False, False, id="none in Germany"),
        pytest.param({"geo": {"countryCode": "GB"}}, "US", False, False, id="none in the UK by geo"),
        pytest.param(amzn(amznUserData="DENIED"), "US", False, False, id="denied"),
        pytest.param(amzn(amznUserData="GRANTED", amznAdStorage="DENIED"), "US", False, False, id="storage denied"),
    ],
)
def test_additions_without_the_consent_they_need_are_skipped_silently(
    amazon: Amazon, options: Options, consent: Any, country: str, *, strict: bool, lenient: bool
) -> None:
    dataset = create(amazon, countryCode=country)
    assert "errors" not in send(amazon, dataset, person("ada", userConsent=consent)).json()
    amazon.settle()
    assert bool(amazon.members(dataset)) is (strict if options.consent_required_everywhere else lenient)
    counted = amazon.adm("POST", f"datasets/{dataset}/metrics/aggregates").json()["metrics"]
    assert [day["VALID"] for day in counted.values()] == [1]


@pytest.mark.parametrize("consent", [None, amzn(amznUserData="DENIED"), {"consent": {"tcf": "CPX"}}])
def test_a_removal_without_amazons_consent_signal_is_ignored_and_reported(
    amazon: Amazon, dataset: str, consent: Any
) -> None:
    for action, given in (("CREATE", GRANTED), ("DELETE", consent)):
        assert "errors" not in send(amazon, dataset, person("ada", action, userConsent=given)).json()
        amazon.settle()
    assert list(amazon.members(dataset)) == ["ada"]
    assert [noted["kind"] for noted in amazon.shown("violations")] == ["removal_without_consent"]


@pytest.mark.parametrize(
    ("removal", "by_id", "by_identity"),
    [
        pytest.param(person("ada", "DELETE", {"em": sha256("a")}, {"ph": sha256("1")}), "b", "b", id="all of hers"),
        pytest.param(person("ada", "DELETE", {"em": sha256("a")}), "b", "ab", id="one identifier"),
        pytest.param(person("ada", "DELETE", {"em": sha256("?")}), "b", "ab", id="an unknown identifier"),
        pytest.param(person("eve", "DELETE", {"em": sha256("b")}), "ab", "a", id="an identifier of someone else"),
        pytest.param(person("ada", "DELETE", {"em": sha256("b")}), "b", "a", id="her id, the identifier of another"),
    ],
)
def test_a_removal_finds_its_member_by_id_or_by_identity(
    amazon: Amazon, options: Options, dataset: str, removal: dict[str, Any], by_id: str, by_identity: str
) -> None:
    ada = person("ada", "CREATE", {"em": sha256("a")}, {"ph": sha256("1")})
    for upload in ([ada, person("bob", "CREATE", {"em": sha256("b")})], [removal]):
        send(amazon, dataset, *upload)
        amazon.settle()
    left = "".join(sorted(user[0] for user in amazon.members(dataset)))
    assert left == (by_id if options.delete_finds_member == "id" else by_identity)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param({"externalUserId": "ada"}, id="by id"),
        pytest.param({"identity": {"hashedPiis": [{"em": sha256("ada")}]}}, id="by identity"),
        pytest.param({"identity": {"externalIdentities": [{"liveRampId": "r"}]}}, id="in part"),
    ],
)
def test_deleting_an_identity_removes_it_from_every_dataset_after_a_delay(
    amazon: Amazon, target: dict[str, Any]
) -> None:
    datasets = [create(amazon, name) for name in ("lapsed", "loyal")]
    for dataset in datasets:
        send(amazon, dataset, person("ada"), person("bob"))
    amazon.settle()
    assert amazon.adm("POST", "identities/delete", {"targetIdentities": [target]}).status_code == 200
    amazon.clock.sleep(1.9)
    assert [len(amazon.members(dataset)) for dataset in datasets] == [2, 2]
    amazon.clock.sleep(0.1)
    left = {"bob"} if "liveRampId" not in str(target) else {"ada", "bob"}
    assert [amazon.members(dataset).keys() for dataset in datasets] == [left, left]


@pytest.mark.parametrize(("reaches", "left"), [(False, ["ada"]), (True, [])])
def test_a_deletion_reaches_later_uploads_only_if_set_so(reaches: bool, left: list[str]) -> None:
    with checked(Options(identity_deletion_delay=60, deletion_reaches_later_uploads=reaches)) as amazon:
        dataset = create(amazon)
        amazon.adm("POST", "identities/delete", {"targetIdentities": [{"externalUserId": "ada"}]})
        send(amazon, dataset, person("ada"))
        amazon.clock.sleep(60)
        assert list(amazon.members(dataset)) == left


def rule_of(amazon: Amazon, **filters: Any) -> dict[str, Any]:
    (rule,) = amazon.adm("POST", "sharingRules/list", filters or None).json()["sharingRules"]
    return dict(rule)


def revoke(amazon: Amazon, rule: dict[str, Any], _: str) -> int:
    return amazon.adm("PATCH", f"sharingRules/{rule['sharingRuleId']}/revoke").status_code


def delete(amazon: Amazon, _: dict[str, Any], dataset: str) -> int:
    return amazon.adm("DELETE", f"datasets/{dataset}").status_code


def withdraw(amazon: Amazon, rule: dict[str, Any], _: str) -> int:
    url = f"{amazon.url}/sandbox/shares/{rule['sharingRuleId']}"
    amazon.session.put(url, json={"status": "REVOKED_BY_SHARING_GRANT"}, timeout=5).raise_for_status()
    return 204


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (revoke, "REVOKED_BY_USER", "USER"),
        (delete, "REVOKED_BY_DATASET", "DATASET"),
        (withdraw, "REVOKED_BY_SHARING_GRANT", "SHARING_GRANT"),
    ],
)
def test_a_share_is_pending_then_active_then_revoked(
    amazon: Amazon, dataset: str, end: Callable[[Amazon, dict[str, Any], str], int], status: str, reason: str
) -> None:
    created = amazon.adm("POST", "sharingRules", share(dataset)).json()
    assert (created["status"], created["revokedBy"]) == ("PENDING", "NONE")
    assert "activationTime" not in created
    send(amazon, dataset, person("ada"))
    amazon.settle()
    assert rule_of(amazon, statuses=["ACTIVE"])["metadata"]["audienceMetadata"]["audienceName"] == "Lapsed buyers"
    assert [(one["status"], one["size"]) for one in amazon.shown(f"audiences/{dataset}")["shares"]] == [("ACTIVE", 1)]
    assert end(amazon, created, dataset) == 204
    ended = rule_of(amazon, datasetIds=[dataset])
    assert (ended["status"], ended["revokedBy"]) == (status, reason)
    assert ended.keys() >= {"revokedTime", "activationTime"}
    assert revoke(amazon, created, dataset) == 400, "it is revoked already"


def test_a_revoked_share_keeps_its_members_in_dsp_and_loses_them_in_amc(amazon: Amazon, dataset: str) -> None:
    amc = {"application": "AMAZON_MARKETING_CLOUD", "metadata": {"amcMetadata": {"amcInstanceId": "amc1"}}}
    rules = [amazon.adm("POST", "sharingRules", share(dataset, **fields)).json() for fields in ({}, amc)]
    send(amazon, dataset, person("ada"))
    amazon.settle()
    for rule in rules:
        revoke(amazon, rule, dataset)
    send(amazon, dataset, person("ada", "DELETE"))
    amazon.settle()
    assert [one["size"] for one in amazon.shown(f"audiences/{dataset}")["shares"]] == [1, 0]


def test_a_share_of_an_unknown_dataset_is_refused(amazon: Amazon) -> None:
    assert amazon.adm("POST", "sharingRules", share("adm-ds-unknown")).status_code == 404


def test_shares_are_filtered_and_a_duplicate_is_reported(amazon: Amazon, dataset: str) -> None:
    for destination in ("ENTITY1", "ENTITY2", "ENTITY1"):
        amazon.adm("POST", "sharingRules", share(dataset, destinationAccountId=destination))
    assert [noted["kind"] for noted in amazon.shown("violations")] == ["share_twice"]
    assert rule_of(amazon, destinationAccountId="ENTITY2")["marketplaceId"] == "ATVPDKIKX0DER"
    for filters in ({"datasetIds": ["other"]}, {"application": "AMAZON_MARKETING_CLOUD"}, {"statuses": ["ACTIVE"]}):
        assert amazon.adm("POST", "sharingRules/list", filters).json() == {"sharingRules": []}


def test_metrics_count_received_valid_and_consented_members_by_day(amazon: Amazon, dataset: str) -> None:
    sent = [person(f"m{number}") for number in range(400)]
    send(amazon, dataset, *sent, person("x", userIdentity={}), person("y", userConsent=amzn(amznUserData="DENIED")))
    amazon.settle()
    amazon.clock.sleep(86_400)
    amazon.token = amazon.login().json()["access_token"]
    send(amazon, dataset, person("bob"))
    amazon.settle()
    amazon.adm("POST", "sharingRules", share(dataset))
    amazon.settle()
    total = amazon.adm("GET", f"datasets/{dataset}/metrics").json()
    resolved = total["recordsResolved"]
    assert (total["uploadCount"], total["acceptedCount"], total["invalidRecordCount"]) == (403, 402, 1)
    assert 0.6 < resolved / 401 < 0.8
    assert total["matchRecordPercentage"] == round(100 * resolved / 402, 2)
    path = f"datasets/{dataset}/metrics/aggregates"
    first, second = amazon.adm("POST", path).json()["metrics"].items()
    assert [first[1][name] for name in ("RECEIVED", "VALID", "CONSENTED")] == [402, 401, 400]
    wanted = {"startDate": second[0], "metrics": ["RECEIVED"]}
    assert amazon.adm("POST", path, wanted).json() == {"metrics": {second[0]: {"RECEIVED": 1}}}
    (listed,) = amazon.adm("POST", "datasets/list?search=LAPS", {"datasetIds": [dataset, "other"]}).json()["datasets"]
    assert (listed["records"], listed["activeDestinations"], listed["source"]) == (401, 1, "API")
    totals = amazon.adm("GET", "datarooms/metadata").json()
    assert (totals["totalDataSets"], totals["dataSetsInUse"], totals["activeDestinations"]) == (1, 1, 1)


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each['method']} {each['path']}")
def test_an_injected_fault_has_the_response_format_of_its_operation(
    amazon: Amazon, dataset: str, operation: dict[str, Any], status: int
) -> None:
    path = "*" + operation["path"].partition("{")[0] + "*"
    amazon.faults({"match": {"path": path}, "do": {"status": status, "headers": {"Retry-After": "2"}}, "times": 1})
    answer = amazon.adm(**example(operation, dataset))
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (status, str(status), "2")


def test_faults_reject_delay_and_lose_members(amazon: Amazon, options: Options, dataset: str) -> None:
    def under(**do: Any) -> dict[str, Any]:
        amazon.faults({"match": {"path": "/adm/audiences/*/members"}, "do": do, "times": 1})
        answer: dict[str, Any] = send(amazon, dataset, person(f"{do}-1"), person(f"{do}-2")).json()
        return answer

    rejected = under(job={"failed": 1})
    assert [error["index"] for error in rejected["errors"]] == [options.index_base]
    assert "errors" not in under(job={"state": "FAILED"})
    under(job={"delay": 60})
    with pytest.raises(requests.ConnectionError):
        under(apply_late=30)
    sizes = []
    for wait in (0, JOB_DELAY + 1, 30, 30):
        amazon.clock.sleep(wait)
        sizes.append(len(amazon.members(dataset)))
    assert sizes == [0, 1, 3, 5]


def test_discouraged_uploads_are_reported_as_violations(amazon: Amazon, dataset: str) -> None:
    many = [person(f"m{number}") for number in range(5_001)]
    for upload in ([person("ada"), person("ada")], [person("ada", "DELETE")], many):
        send(amazon, dataset, *upload)
    kinds = [noted["kind"] for noted in amazon.shown("violations")]
    assert kinds == ["member_twice", "opposite_actions_pending", "more_members_than_recommended"]


def test_the_logs_show_data_manager_calls_and_a_reset_clears_them(amazon: Amazon, dataset: str) -> None:
    ingress_id = send(amazon, dataset, person("ada")).json()["ingressId"]
    assert amazon.shown("requests")[-1]["body"] == {"members": [person("ada")]}
    (entry,) = amazon.shown(f"ledger?audience={dataset}")
    assert (entry["jobRequestId"], entry["hashedPII"]) == (ingress_id, [{"email": sha256("ada")}])
    amazon.session.post(f"{amazon.url}/sandbox/reset", timeout=5).raise_for_status()
    assert amazon.adm("GET", "audiences").json() == {"dataSets": []}
    assert create(amazon) == dataset, "ids start over"


def test_an_unknown_method_is_refused_in_the_format_of_this_api(amazon: Amazon) -> None:
    answer = amazon.adm("PUT", "audiences", {})
    assert (answer.status_code, answer.json()["code"]) == (405, "405")


def test_handling_a_dataset_upload_is_linear_in_its_members(amazon: Amazon, dataset: str) -> None:
    amazon.session.hooks["response"].clear()  # the schema takes far more
    for action in ("CREATE", "DELETE"):
        members = [person(f"user-{number:04}", action) for number in range(2_000)]
        with counted_steps(threads=True) as steps:  # the sandbox runs in a thread of this process
            assert send(amazon, dataset, *members, timeout=60).status_code == 200
            amazon.settle()
            amazon.shown("requests?bodies=no")
        assert steps.lines < 2_000 * 200, "some 110 lines of Python for each member"
    assert amazon.members(dataset) == {}
