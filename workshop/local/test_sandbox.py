import gzip
from typing import Any

import pytest

from local.amazon.sandbox import Options
from tests.support.builders import sha256
from tests.support.sandbox_server import AUDIENCES, CONNECTIONS, JOB_DELAY, Amazon, member, new_audience, sandbox
from tests.support.steps import counted_steps

METADATA, RECORDS = "/amc/audiences/metadata", "/amc/audiences/records"
LINKS, TERMS = "/amc/audiences/connections", "/amc/audiences/connections/terms"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": None}, 401, id="no token"),
        pytest.param({"Authorization": "Bearer Atza|made-up"}, 401, id="unknown token"),
        pytest.param({"Authorization": "Basic Zm9vOmJhcg=="}, 401, id="another scheme"),
        pytest.param({"Amazon-Advertising-API-ClientId": None}, 401, id="no client id"),
        pytest.param({"Amazon-Advertising-API-ClientId": "another"}, 401, id="another client id"),
        pytest.param({"Accept": "text/html"}, 406, id="unacceptable type"),
        pytest.param({"Accept": "application/json"}, 406, id="plain JSON wanted"),
        pytest.param({"Accept": CONNECTIONS}, 406, id="type of the other endpoints"),
        pytest.param({"Content-Type": "application/json"}, 415, id="plain JSON sent"),
        pytest.param({"Content-Type": CONNECTIONS}, 415, id="type of the other endpoints sent"),
        pytest.param({"Content-Type": None}, 415, id="no content type"),
    ],
)
def test_the_front_end_refuses(amazon: Amazon, headers: dict[str, Any], status: int) -> None:
    answer = amazon.call("POST", METADATA, new_audience(), headers=headers)
    assert answer.status_code == status
    assert answer.json().keys() == {"message"}


@pytest.mark.parametrize("body", [gzip.compress(b"{}"), b"not gzip at all", b""], ids=["gzip", "broken", "empty"])
def test_an_encoded_body_is_refused(amazon: Amazon, body: bytes) -> None:
    assert amazon.call("POST", METADATA, body, headers={"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Accept": "*/*"}, id="any type wanted"),
        pytest.param({"Accept": f"text/html, {AUDIENCES};q=0.9"}, id="one of several types"),
        pytest.param({"Content-Type": f"{AUDIENCES}; charset=utf-8"}, id="type with a parameter"),
        pytest.param({"Amazon-Advertising-API-Scope": "5", "X-Other": "y"}, id="headers that are not needed"),
    ],
)
def test_the_front_end_accepts(amazon: Amazon, headers: dict[str, Any]) -> None:
    assert amazon.call("POST", f"{METADATA}?unknown=1", new_audience(), headers=headers).status_code == 201


def test_a_token_is_good_for_an_hour(amazon: Amazon) -> None:
    amazon.clock.sleep(3599)
    assert amazon.call("GET", "/v2/profiles").status_code == 200
    amazon.clock.sleep(1)
    assert amazon.call("GET", "/v2/profiles").status_code == 401


def test_a_body_above_the_size_limit_is_a_413() -> None:
    with sandbox(Options(max_body=1_000)) as amazon:
        audience_id = amazon.create_audience()
        assert amazon.send(audience_id, *[member(f"m{n}") for n in range(20)]).status_code == 413
        assert amazon.send(audience_id, *[member(f"m{n}") for n in range(5)]).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", f"{METADATA}/418273650912345679", 404, id="unknown audience"),
        pytest.param("GET", f"{METADATA}/lapsed", 400, id="audience id that is no number"),
        pytest.param("GET", f"{RECORDS}/5f0c", 404, id="unknown job"),
        pytest.param("DELETE", f"{LINKS}?connectionId=unknown", 404, id="unknown connection"),
        pytest.param("GET", METADATA, 405, id="there is no list of audiences"),
        pytest.param("GET", "/amc/connections/terms", 404, id="the misprinted path of the terms"),
    ],
)
def test_an_unknown_id_or_path_is_refused(amazon: Amazon, method: str, path: str, status: int) -> None:
    assert amazon.call(method, path).status_code == status


def test_audience_ids_exceed_double_precision_and_depend_on_the_seed() -> None:
    ids = []
    for seed in (1, 1, 2):
        with sandbox(seed=seed) as amazon:
            ids.append(amazon.create_audience())
    assert ids[0] == ids[1] != ids[2]
    assert all(int(float(audience_id)) != audience_id > 2**53 for audience_id in ids)


def test_a_second_audience_with_an_external_id_is_created_and_reported(amazon: Amazon) -> None:
    assert amazon.create_audience() != amazon.create_audience()
    assert [noted["kind"] for noted in amazon.shown("violations")] == ["external_audience_id_twice"]


def test_an_upload_takes_effect_when_its_job_ends(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    answer = amazon.send(audience_id, member("ada"))
    assert answer.status_code == 202
    job_id = answer.json()["jobRequestId"]
    amazon.clock.sleep(JOB_DELAY - 0.01)
    assert amazon.job(job_id) == {"jobRequestId": job_id, "jobState": "PENDING"}
    assert amazon.members(audience_id) == {}
    amazon.settle()
    assert amazon.job(job_id)["jobState"] == "SUCCEEDED"
    assert amazon.job(job_id)["successful"] == {"recordsProcessedRate": 100.0}
    assert amazon.members(audience_id)["ada"]["identifiers"] == {"email": [sha256("ada")]}


def test_jobs_of_one_sweep_end_in_a_shuffled_order() -> None:
    with sandbox(seed=3) as amazon:
        audience_id = amazon.create_audience()
        for number in range(20):
            amazon.send(audience_id, member(f"m{number}"))
        amazon.settle()
        assert list(amazon.members(audience_id)) != [f"m{number}" for number in range(20)]


def test_jobs_of_different_sweeps_end_in_order_of_arrival(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    for number in range(20):
        amazon.send(audience_id, member(f"m{number}"))
        amazon.clock.sleep(JOB_DELAY / 4)
    amazon.settle()
    assert list(amazon.members(audience_id)) == [f"m{number}" for number in range(20)]


def test_a_removal_removes_only_the_identifiers_it_names(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    old, new = {"email": sha256("old")}, {"email": sha256("new"), "phone": sha256("1")}
    for action, identity in (("CREATE", old), ("CREATE", new), ("DELETE", new)):
        amazon.send(audience_id, member("ada", action, identity))
        amazon.settle()
    assert amazon.members(audience_id)["ada"]["identifiers"] == {"email": [sha256("old")]}
    amazon.send(audience_id, member("ada", "DELETE", old))
    amazon.settle()
    assert amazon.members(audience_id) == {}


def test_removing_a_stranger_without_consent_and_adding_a_member_twice_are_harmless(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    for record in (member("bob", "DELETE", countryCode="DE"), member("ada"), member("ada")):
        job_id = amazon.send(audience_id, record).json()["jobRequestId"]
        amazon.settle()
        assert amazon.job(job_id)["jobState"] == "SUCCEEDED"
    assert amazon.shown(f"audiences/{audience_id}")["size"] == 1


def test_members_expire_with_the_ttl_and_return_when_it_is_raised(amazon: Amazon) -> None:
    audience_id = amazon.create_audience(metadata={"externalAudienceId": "x", "ttl": 100})
    amazon.send(audience_id, member("ada"))
    amazon.settle()
    amazon.clock.sleep(80)
    amazon.send(audience_id, member("bob"))
    amazon.settle()
    amazon.clock.sleep(50)
    assert list(amazon.members(audience_id)) == ["bob"]
    amazon.call("PUT", f"{METADATA}/{audience_id}", {"metadata": {"ttl": 0}})
    assert amazon.members(audience_id) == {}
    amazon.call("PUT", f"{METADATA}/{audience_id}", {"metadata": {"ttl": 1000}})
    assert list(amazon.members(audience_id)) == ["ada", "bob"]


def test_seventy_percent_of_members_match_and_reach_dsp_after_a_delay(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    amazon.send(audience_id, *[member(f"m{number}") for number in range(1000)])
    amazon.settle()
    sizes = amazon.call("GET", f"{METADATA}/{audience_id}").json()["metadata"]["audienceSize"]
    assert sizes["receivedRecordSize"] == 1000
    assert 650 < sizes["idResolutionCount"] < 750
    assert sizes["dspAudienceSize"] == -1
    amazon.clock.sleep(900)
    sizes = amazon.call("GET", f"{METADATA}/{audience_id}").json()["metadata"]["audienceSize"]
    assert sizes["dspAudienceSize"] == sizes["idResolutionCount"]


def test_members_in_countries_without_matching_are_kept_but_not_matched(amazon: Amazon) -> None:
    audience_id = amazon.create_audience(countryCode="IE")
    granted = {"consent": {"amzn": {"amznUserData": "GRANTED"}}}
    amazon.send(audience_id, *[member(f"m{number}", userConsent=granted) for number in range(50)])
    amazon.settle()
    sizes = amazon.call("GET", f"{METADATA}/{audience_id}").json()["metadata"]["audienceSize"]
    assert (sizes["receivedRecordSize"], sizes["idResolutionCount"]) == (50, 0)


def test_an_unknown_audience_fails_in_the_job_not_in_the_request(amazon: Amazon) -> None:
    answer = amazon.send(418273650912345679, member("ada"))
    assert answer.status_code == 202
    amazon.settle()
    job = amazon.job(answer.json()["jobRequestId"])
    assert job["jobState"] == "FAILED"
    assert job["invalidRecords"] == [
        {"audienceId": "418273650912345679", "externalId": "ada", "error": "Audience is invalid"}
    ]


@pytest.mark.parametrize(
    ("record", "is_in"),
    [
        pytest.param(member("ada", countryCode="US"), True, id="US needs none"),
        pytest.param(member("ada", countryCode="DE"), False, id="Germany needs some"),
        pytest.param(member("ada", userConsent={"geo": {"countryCode": "GB"}}), False, id="UK by geo needs some"),
        pytest.param(member("ada", countryCode="DE", userConsent={"consent": {"tcf": "CPX"}}), True, id="TCF will do"),
        pytest.param(
            member("ada", countryCode="DE", userConsent={"consent": {"amzn": {"amznUserData": "UNKNOWN"}}}),
            False,
            id="an unknown one will not do",
        ),
        pytest.param(
            member("ada", userConsent={"consent": {"amzn": {"amznUserData": "DENIED"}}}), False, id="denied anywhere"
        ),
    ],
)
def test_additions_need_consent_in_the_eea_and_the_uk(amazon: Amazon, record: dict[str, Any], *, is_in: bool) -> None:
    audience_id = amazon.create_audience()
    job_id = amazon.send(audience_id, record, member("bob")).json()["jobRequestId"]
    amazon.settle()
    assert ("ada" in amazon.members(audience_id)) is is_in
    job = amazon.job(job_id)
    assert [invalid["externalId"] for invalid in job["invalidRecords"]] == ([] if is_in else ["ada"])
    assert job["successful"]["recordsProcessedRate"] == (100 if is_in else 50)


def connect(amazon: Amazon, **fields: Any) -> str:
    answer = amazon.call("POST", LINKS, {"amcInstanceId": "amc1"} | fields)
    assert answer.status_code == 201
    return str(answer.json()["connectionId"])


def accept_terms(amazon: Amazon) -> None:
    token = amazon.call("GET", TERMS).json()["agreementToken"]
    assert amazon.call("PATCH", TERMS, {"agreementToken": token, "hasAccepted": True}).status_code == 204


def test_there_is_always_one_default_connection(amazon: Amazon) -> None:
    first, second = connect(amazon), connect(amazon, isDefault=True)
    listed = amazon.call("GET", f"{LINKS}?isDefault=true").json()["connections"]
    assert [known["connectionId"] for known in listed] == [second]
    assert amazon.call("DELETE", f"{LINKS}?connectionId={second}").status_code == 204
    listed = amazon.call("GET", LINKS).json()["connections"]
    assert [(known["connectionId"], known["isDefault"]) for known in listed] == [(first, True)]


@pytest.mark.parametrize("query", ["", "?connectionId="])
def test_a_delete_without_a_connection_id_deletes_all_and_is_reported(amazon: Amazon, query: str) -> None:
    connect(amazon)
    connect(amazon)
    assert amazon.call("DELETE", LINKS + query).status_code == 204
    assert amazon.call("GET", LINKS).json() == {"connections": []}
    assert [noted["kind"] for noted in amazon.shown("violations")] == ["all_connections_removed"]


def test_uploads_to_amc_wait_for_the_terms(amazon: Amazon) -> None:
    target = {"connectionId": connect(amazon)}
    audience_id = amazon.create_audience(targetResource=target)
    body = {"audienceId": audience_id, "records": [member("ada")], "targetResource": target}
    assert amazon.call("POST", RECORDS, body).status_code == 403
    accept_terms(amazon)
    assert amazon.call("GET", TERMS).json() == {"hasAccepted": True}
    assert amazon.call("POST", RECORDS, body).status_code == 202


def test_terms_are_accepted_only_with_their_token(amazon: Amazon) -> None:
    answer = amazon.call("PATCH", TERMS, {"agreementToken": "made up", "hasAccepted": True})
    assert answer.status_code == 400
    assert answer.json().keys() == {"message", "requestId"}


def test_an_upload_must_name_the_connection_of_its_audience(amazon: Amazon) -> None:
    accept_terms(amazon)
    amc, other, dsp = connect(amazon), connect(amazon), connect(amazon, dspAdvertiserId="5")
    to_amc = amazon.create_audience(targetResource={"connectionId": amc})
    to_dsp = amazon.create_audience(targetResource={"connectionId": dsp})
    to_advertiser = amazon.create_audience()

    def status(audience_id: int, target: dict[str, Any] | None) -> int:
        body = {"audienceId": audience_id, "records": [member("ada")]}
        return amazon.call("POST", RECORDS, body | ({"targetResource": target} if target else {})).status_code

    assert status(to_amc, {"connectionId": amc}) == 202
    assert status(to_amc, {"connectionId": amc, "targetTypes": []}) == 202
    assert status(to_amc, {"connectionId": other}) == 400
    assert status(to_amc, {"connectionId": "unknown"}) == 400
    assert status(to_amc, {"connectionId": amc, "targetTypes": ["DSP"]}) == 400, "it has no DSP advertiser"
    assert status(to_dsp, {"connectionId": dsp, "targetTypes": ["DSP"]}) == 202
    assert status(to_advertiser, {"connectionId": amc}) == 400
    assert status(to_advertiser, None) == 202
    assert status(to_amc, None) == 202, "the default connection happens to be the right one"
    assert status(to_dsp, None) == 400, "the default connection is another"
    assert {noted["kind"] for noted in amazon.shown("violations")} >= {"default_connection"}


def test_discouraged_uploads_are_reported_as_violations(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    amazon.send(audience_id, member("ada"), member("bob"), member("ada"))
    amazon.send(audience_id, member("bob", "DELETE"))
    noted = [(one["kind"], one["externalUserId"]) for one in amazon.shown("violations")]
    assert noted == [("member_twice", "ada"), ("opposite_actions_pending", "bob")]


def test_a_removal_after_the_addition_took_effect_is_allowed(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    amazon.send(audience_id, member("ada"))
    amazon.settle()
    amazon.send(audience_id, member("ada", "DELETE"))
    assert amazon.shown("violations") == []


def test_the_ledger_holds_each_record_in_the_order_of_arrival(amazon: Amazon) -> None:
    one, other = amazon.create_audience(), amazon.create_audience()
    amazon.send(one, member("ada"), member("bob"))
    amazon.send(other, member("ada"))
    amazon.send(one, member("ada", "DELETE"))
    shown = [(entry["n"], entry["externalUserId"], entry["action"]) for entry in amazon.shown(f"ledger?audience={one}")]
    assert shown == [(1, "ada", "CREATE"), (2, "bob", "CREATE"), (4, "ada", "DELETE")]
    entry = amazon.shown(f"ledger?audience={one}&member=ada&since=1")[0]
    assert entry["audienceId"] == str(one)
    assert entry["hashedPII"] == [{"email": sha256("ada")}]


def test_the_request_log_shows_everything_but_secrets(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    amazon.send(audience_id, member("ada"))
    login, created, sent = amazon.shown("requests")
    assert (login["n"], login["path"], login["status"]) == (1, "/auth/o2/token", 200)
    assert (created["method"], created["path"], created["status"]) == ("POST", METADATA, 201)
    assert sent["body"] == {"audienceId": audience_id, "records": [member("ada")]}
    assert sent["headers"]["Authorization"].startswith("Bearer sha256:")
    answers = str([login, created, sent])
    assert amazon.token not in answers
    assert "a secret of the sandbox" not in answers
    assert "Atzr|" not in answers
    assert [entry["n"] for entry in amazon.shown("requests?since=2")] == [3]


def test_a_reset_forgets_everything_but_the_token(amazon: Amazon) -> None:
    first = amazon.create_audience()
    amazon.send(first, member("ada"))
    amazon.faults({"do": {"status": 500}})
    amazon.session.post(f"{amazon.url}/sandbox/reset", timeout=5).raise_for_status()
    assert (amazon.shown("requests"), amazon.shown("ledger"), amazon.shown("faults")) == ([], [], [])
    assert amazon.create_audience() == first, "ids start over"


def test_handling_an_upload_is_linear_in_its_records(amazon: Amazon) -> None:
    audience_id = amazon.create_audience()
    records = [member(f"user-{number:08}") for number in range(6_000)]
    with counted_steps(threads=True) as steps:  # the sandbox runs in a thread of this process
        answer = amazon.send(audience_id, *records, timeout=60)
    assert steps.lines < 6_000 * 100, "some 30 lines of Python for each record"
    assert answer.status_code == 202
    assert len(answer.request.body or b"") > 900_000
