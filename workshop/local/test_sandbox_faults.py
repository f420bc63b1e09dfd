import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.sandbox_server import CLIENT_ID, JOB_DELAY, Amazon, member

RECORDS = "/amc/audiences/records"


@pytest.fixture
def audience_id(amazon: Amazon) -> int:
    return amazon.create_audience()


def raw_answer(amazon: Amazon, path: str) -> bytes:
    """Ask for a path and return every byte that comes until the connection ends."""
    address = urlsplit(amazon.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {amazon.token}\r\n"
        head += f"Amazon-Advertising-API-ClientId: {CLIENT_ID}\r\n\r\n"
        connection.sendall(head.encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


def effects(amazon: Amazon, audience_id: int) -> list[str]:
    amazon.settle()
    return list(amazon.members(audience_id))


def test_delay_holds_the_answer_back_after_the_request_took_effect(amazon: Amazon, audience_id: int) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"delay": 0.4}, "times": 2})
    assert amazon.send(audience_id, member("ada")).elapsed.total_seconds() >= 0.4
    with pytest.raises(requests.ReadTimeout):
        amazon.send(audience_id, member("bob"), timeout=0.1)
    assert sorted(effects(amazon, audience_id)) == ["ada", "bob"]


def test_close_before_read_can_be_about_one_audience(amazon: Amazon, audience_id: int) -> None:
    amazon.faults({"match": {"path": RECORDS, "audience": audience_id}, "do": {"close_before_read": True}})
    with pytest.raises(requests.ConnectionError):
        amazon.send(audience_id, member("ada"))
    assert effects(amazon, audience_id) == []
    assert amazon.send(amazon.create_audience(), member("ada")).status_code == 202


def test_close_after_apply_resets_the_connection(amazon: Amazon) -> None:
    amazon.faults({"do": {"close_after_apply": True}})
    with pytest.raises(ConnectionResetError):
        raw_answer(amazon, "/v2/profiles")


def test_apply_late_can_answer_with_a_status(amazon: Amazon, audience_id: int) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"apply_late": 30, "status": 504}})
    assert amazon.send(audience_id, member("ada")).status_code == 504
    assert effects(amazon, audience_id) == []
    amazon.clock.sleep(30)
    assert effects(amazon, audience_id) == ["ada"]


def test_redirect_points_elsewhere_without_effect(amazon: Amazon, audience_id: int) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"redirect": "http://127.0.0.1:9/elsewhere"}})
    answer = amazon.send(audience_id, member("ada"))
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")
    assert effects(amazon, audience_id) == []


@pytest.mark.parametrize(
    ("fault", "state", "invalid", "members"),
    [
        pytest.param({"state": "FAILED"}, "FAILED", [], [], id="failed"),
        pytest.param({"failed": ["bob"]}, "SUCCEEDED", ["bob"], ["ada", "cy", "dee"], id="one member"),
        pytest.param({"failed": 2}, "SUCCEEDED", ["ada", "bob"], ["cy", "dee"], id="the first two"),
        pytest.param({"failed": 0.25}, "SUCCEEDED", ["ada"], ["bob", "cy", "dee"], id="a quarter"),
        pytest.param({"failed": 4}, "FAILED", ["ada", "bob", "cy", "dee"], [], id="all of them"),
        pytest.param(
            {"state": "PARTIALLYSUCCEEDED", "failed": ["ada"]},
            "PARTIALLYSUCCEEDED",
            ["ada"],
            ["bob", "cy", "dee"],
            id="partly",
        ),
        pytest.param({"state": "COMPLETED"}, "COMPLETED", [], ["ada", "bob", "cy", "dee"], id="unexplained state"),
        pytest.param({"state": "ARCHIVED"}, "ARCHIVED", [], ["ada", "bob", "cy", "dee"], id="unknown state"),
    ],
)
def test_job_sets_the_outcome(
    amazon: Amazon, audience_id: int, fault: dict[str, Any], state: str, invalid: list[str], members: list[str]
) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"job": fault}})
    job_id = amazon.send(audience_id, *map(member, ("ada", "bob", "cy", "dee"))).json()["jobRequestId"]
    assert effects(amazon, audience_id) == members
    job = amazon.job(job_id)
    assert job["jobState"] == state
    assert [record["externalId"] for record in job["invalidRecords"]] == invalid


@pytest.mark.parametrize(("job", "state"), [({"state": "PENDING"}, "PENDING"), ({"delay": 100}, "SUCCEEDED")])
def test_a_job_stays_pending_for_ever_or_for_longer(
    amazon: Amazon, audience_id: int, job: dict[str, Any], state: str
) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"job": job}})
    job_id = amazon.send(audience_id, member("ada")).json()["jobRequestId"]
    amazon.clock.sleep(99)
    assert amazon.job(job_id)["jobState"] == "PENDING"
    amazon.clock.sleep(1)
    assert amazon.job(job_id)["jobState"] == state


def test_job_can_end_in_reverse_order_even_across_sweeps(amazon: Amazon, audience_id: int) -> None:
    amazon.faults({"match": {"path": RECORDS}, "do": {"job": {"order": "reverse"}}})
    for number in range(6):
        amazon.send(audience_id, member(f"m{number}"))
        amazon.clock.sleep(JOB_DELAY / 2)
    assert effects(amazon, audience_id) == [f"m{number}" for number in reversed(range(6))]


def test_token_sets_a_shorter_lifetime(amazon: Amazon) -> None:
    amazon.faults({"match": {"path": "/auth/o2/token"}, "do": {"token": {"lifetime": 5}}})
    answer = amazon.login().json()
    assert answer["expires_in"] == 5
    amazon.token = answer["access_token"]
    assert amazon.call("GET", "/v2/profiles").status_code == 200
    amazon.clock.sleep(5)
    assert amazon.call("GET", "/v2/profiles").status_code == 401


@pytest.mark.parametrize("stated", ["soon", 0, -1, 3600.5, []])
def test_token_states_an_invalid_lifetime(amazon: Amazon, stated: Any) -> None:
    amazon.faults({"do": {"token": {"expires_in": stated}}})
    assert amazon.login().json()["expires_in"] == stated


def test_token_can_be_refused_after_some_requests(amazon: Amazon) -> None:
    amazon.faults({"do": {"token": {"refuse_after": 2}}, "times": 1})
    amazon.token = amazon.login().json()["access_token"]
    assert [amazon.call("GET", "/v2/profiles").status_code for _ in range(4)] == [200, 200, 401, 401]


def test_probability_follows_the_seed(amazon: Amazon) -> None:
    amazon.faults({"match": {"probability": 0.5}, "do": {"status": 500}})
    hit = sum(amazon.call("GET", "/v2/profiles").status_code == 500 for _ in range(100))
    assert 30 < hit < 70


def test_a_rule_matches_path_method_audience_content_and_size(amazon: Amazon, audience_id: int) -> None:
    other = amazon.create_audience()
    amazon.faults(
        {"match": {"path": RECORDS + "/*"}, "do": {"status": 590}},
        {"match": {"method": "PUT"}, "do": {"status": 591}},
        {"match": {"audience": audience_id}, "do": {"status": 592}},
        {"match": {"contains": '"poison"'}, "do": {"status": 593}},
        {"match": {"over": 1000}, "do": {"status": 594}},
    )
    assert amazon.call("GET", f"{RECORDS}/5f0c").status_code == 590
    assert amazon.call("PUT", f"/amc/audiences/metadata/{audience_id}", {}).status_code == 591
    assert amazon.call("GET", f"/amc/audiences/metadata/{audience_id}").status_code == 592
    assert amazon.send(audience_id, member("ada")).status_code == 592
    assert amazon.send(other, member("poison")).status_code == 593
    assert amazon.send(other, *map(member, "abcdefghij")).status_code == 594
    assert amazon.send(other, member("ada")).status_code == 202


def test_rules_show_how_often_they_fired_until_they_are_cleared(amazon: Amazon) -> None:
    amazon.faults({"match": {"nth": 2}, "do": {"status": 500}})
    for _ in range(3):
        amazon.call("GET", "/v2/profiles")
    assert [(rule["matched"], rule["fired"]) for rule in amazon.shown("faults")] == [(2, 1)]
    assert amazon.session.delete(f"{amazon.url}/sandbox/faults", timeout=5).status_code == 204
    assert amazon.shown("faults") == []


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({}, id="no list"),
        pytest.param([5], id="no rule"),
        pytest.param([{"when": {}}], id="unknown part"),
        pytest.param([{"match": {"host": "x"}}], id="unknown condition"),
        pytest.param([{"do": {"explode": True}}], id="unknown effect"),
        pytest.param([{"match": {"nth": "3"}}], id="text for a number"),
        pytest.param([{"do": {"headers": {"Retry-After": [2]}}}], id="list for a header"),
        pytest.param([{"do": {"status": 1}}], id="no status of HTTP"),
        pytest.param([{"do": {"trickle": True}}], id="truth for seconds"),
        pytest.param([{"do": {"delay": -1}}], id="seconds below zero"),
        pytest.param([{"match": {"probability": 5}}], id="more than certain"),
        pytest.param([{"match": {"nth": 0}}], id="before the first"),
        pytest.param([{"times": -1}], id="less than never"),
        pytest.param([{"do": {"job": {"result": "FAILED"}}}], id="unknown effect on the job"),
    ],
)
def test_an_invalid_rule_is_refused_and_the_active_ones_stay(amazon: Amazon, written: Any) -> None:
    amazon.faults({"do": {"status": 500}})
    assert amazon.session.put(f"{amazon.url}/sandbox/faults", json=written, timeout=5).status_code == 400
    assert len(amazon.shown("faults")) == 1
