"""Marked people and marked secrets go through the functions, whatever goes wrong; then all that is left is searched."""

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from local.template import ROOT
from tests.faults.proxy import Call, Effect, hang_up
from tests.functions.conftest import AUDIENCE
from tests.privacy.conftest import (
    CLIENT_ID,
    DIGESTS,
    PERSON,
    SECRETS,
    UNMAPPED,
    Stage,
    Step,
    marks_of_the_digests,
    marks_of_the_person,
    marks_of_the_secrets,
)

JSON = {"content-type": "application/json"}
WITH_KEY = JSON | {"authorization": f"Bearer {SECRETS['eventKey']}"}
KEY = AUDIENCE.computation_key or ""
UPLOADS, LOGIN = "/amc/audiences/records", "/auth/o2/token"
EVERYTHING = json.dumps([PERSON, DIGESTS, SECRETS, CLIENT_ID])


def event(**changed: Any) -> dict[str, Any]:
    """An entry with every trait marked, among them some that no mapping reads."""
    personas = {"computation_class": "audience", "computation_key": KEY, "external_audience_id": AUDIENCE.audience_id}
    return {
        "type": "track",
        "event": "Audience Entered",
        "messageId": "personas_marked",
        "userId": "cust_marked",
        "anonymousId": UNMAPPED,
        "context": {"personas": personas, "traits": {"email": PERSON["email"]}, "ip": UNMAPPED},
        "properties": {KEY: True, "password": UNMAPPED} | PERSON,
    } | changed


def http(body: Any, headers: dict[str, str] = WITH_KEY) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    encoded = base64.b64encode(raw).decode()
    told = {"routeKey": "POST /v1/events", "headers": headers, "body": encoded, "isBase64Encoded": True}
    return lambda: told | {"rawQueryString": f"key={SECRETS['audienceKey']}"}


def echo(code: str = "ValidationException", status: int = 400) -> Effect:
    """An AWS error that quotes what it was sent."""

    async def effect(call: Call) -> web.Response:
        return web.json_response({"__type": code, "message": json.dumps(call.parameters)}, status=status)

    return effect


def assert_clean(stage: Stage) -> None:
    assert stage.left.holding(marks_of_the_person()) == []
    assert stage.left.holding(marks_of_the_secrets()) == []
    assert stage.left.holding(marks_of_the_digests(), everywhere=False) == []


ODD = [
    pytest.param({"userId": PERSON["email"]}, 400, id="e-mail address as user id"),
    pytest.param({"userId": PERSON["phone"]}, 400, id="phone number as user id"),
    pytest.param({"userId": {PERSON["email"]: PERSON["phone"]}}, 400, id="object as user id"),
    pytest.param({"messageId": PERSON["email"]}, 200, id="e-mail address as message id"),
    pytest.param({"messageId": [PERSON]}, 200, id="object as message id"),
    pytest.param({"type": [PERSON["email"]]}, 400, id="mistyped type"),
    pytest.param({"properties": PERSON["email"]}, 400, id="mistyped properties"),
    pytest.param({"context": {"personas": [PERSON["email"]]}}, 400, id="mistyped personas"),
    pytest.param({"timestamp": PERSON["email"]}, 400, id="unreadable time"),
    pytest.param({"countryCode": PERSON["city"]}, 400, id="unknown country"),
    pytest.param({"countryCode": "DE"}, 400, id="no consent"),
    pytest.param({"properties": {KEY: PERSON["email"]} | PERSON}, 400, id="undecided membership"),
    pytest.param({"properties": {KEY: True, "tcf": f"{PERSON['last_name']}é"}}, 400, id="consent beyond ASCII"),
    pytest.param({"event": "Audience Exited"}, 400, id="contradictory membership"),
    pytest.param({PERSON["email"]: PERSON, "__class__": PERSON, "raw": PERSON}, 200, id="marked and magic keys"),
]


def test_ingest_leaves_nothing_of_a_person_but_digests(stage: Stage) -> None:
    steps = [http(event()), http([event(userId=f"cust_{number}") for number in range(3)])]
    cases: list[Any] = [case.values for case in ODD]
    odd = [http(event(**changed)) for changed, _ in cases]
    answers = stage.run("IngestFunction", [*steps, *odd, http([event(**changed) for changed, _ in cases])])
    assert [answer["statusCode"] for answer in answers] == [200, 200, *(status for _, status in cases), 200]
    assert any(DIGESTS["email"] in text for text in stage.left.stored), "the markers do travel"
    assert any("member_id_invalid" in line for line in stage.left.printed), "the log is read"
    assert_clean(stage)


def test_ingest_tells_no_stranger_and_no_log_what_was_shown_or_expected(stage: Stage) -> None:
    body = json.dumps(event()).encode()
    wrong = SECRETS["strangersKey"]
    basic = base64.b64encode(f"any:{wrong}".encode()).decode()
    signed = hmac.new(SECRETS["signingSecret"].encode(), body, hashlib.sha1).hexdigest()
    headers = [
        {"authorization": f"Bearer {wrong}"},
        {"authorization": f"Basic {basic}"},
        {"authorization": SECRETS["eventKey"]},
        {"authorization": f"Bearer {SECRETS['audienceKey']}"},
        {"x-api-key": wrong},
        {"x-signature": wrong},
        {"x-signature": "0" * 40},
        {},
    ]
    refused = stage.run("IngestFunction", [http(body, JSON | each) for each in headers])
    assert {(answer["statusCode"], answer["body"]) for answer in refused} == {(401, '{"error":"unauthorized"}')}
    good = [http(body, JSON | {"x-signature": signed}), http(body, JSON | {"x-api-key": SECRETS["previousEventKey"]})]
    assert [answer["statusCode"] for answer in stage.run("IngestFunction", good)] == [200, 200]
    useless = [
        (body[:-1], WITH_KEY, 400),
        (body + b"\xff", WITH_KEY, 400),
        (PERSON["email"].encode(), WITH_KEY, 400),
        (body, WITH_KEY | {"content-type": PERSON["email"]}, 415),
        (body, WITH_KEY | {"content-encoding": SECRETS["eventKey"]}, 415),
        (body.ljust(4_500_001), WITH_KEY, 413),
    ]
    answers = stage.run("IngestFunction", [http(raw, told) for raw, told, _ in useless])
    assert [answer["statusCode"] for answer in answers] == [status for *_, status in useless]
    assert_clean(stage)


def test_ingest_repeats_no_error_of_aws(stage: Stage) -> None:
    def failing(operation: str, effect: Effect) -> Step:
        def step() -> dict[str, Any]:
            stage.front.mend()
            stage.front.on(operation, effect)
            return http([event()])()

        return step

    def broken_mappings() -> dict[str, Any]:
        stage.front.mend()
        told = {"audienceId": {"S": "#mappings"}, "document": {"S": '[{"name": "' + PERSON["email"]}}
        stage.cloud.client("dynamodb").put_item(TableName=stage.cloud.name_of("AudienceTable"), Item=told)
        return http([event()])()

    for operation in ("GetSecretValue", "GetItem", "SendMessageBatch"):
        answers = stage.run("IngestFunction", [failing(operation, echo()), failing(operation, hang_up())])
        assert [answer["statusCode"] for answer in answers] == [503, 503]
    stage.front.mend()
    stage.cloud.put_secret("IngestSecret", f"not JSON: {SECRETS['eventKey']}")
    assert stage.run("IngestFunction", [http([event()])])[0]["statusCode"] == 503
    stage.cloud.put_secret("IngestSecret", {"eventKey": SECRETS["eventKey"]})
    stage.run("IngestFunction", [broken_mappings])
    stored, stage.left.stored = stage.left.stored, [text for text in stage.left.stored if "#mappings" not in text]
    assert len(stored) > len(stage.left.stored), "the operator's own document is not ours to judge"
    assert_clean(stage)


def test_half_a_surrogate_pair_in_a_body_ends_in_an_answer_and_leaves_nothing(stage: Stage) -> None:
    told = {"routeKey": "POST /v1/events", "headers": WITH_KEY, "body": json.dumps(event()) + "\ud800"}
    (answer,) = stage.run("IngestFunction", [lambda: told])
    assert_clean(stage)
    assert isinstance(answer, dict), answer
    assert answer["statusCode"] == 400


def test_an_event_nested_as_deep_as_can_be_read_ends_in_an_answer_and_leaves_nothing(stage: Stage) -> None:
    # Reading and writing JSON give up at depths that differ by a few; where, differs between builds of Python.
    text = json.dumps(event())
    bodies = [text.replace('"personas_marked"', "[" * depth + "]" * depth) for depth in range(9_980, 10_005)]
    answers = stage.run("IngestFunction", [http(body.encode()) for body in bodies])
    assert_clean(stage)
    assert {answer["statusCode"] if isinstance(answer, dict) else answer for answer in answers} <= {200, 400}


def test_a_consent_signal_that_is_no_consent_string_goes_nowhere(stage: Stage) -> None:
    for signal in ("tcf", "gpp"):
        text = f"{PERSON['email']}, {PERSON['address']}"
        stage.run("IngestFunction", [http(event(properties={KEY: True, signal: text}))])
    assert_clean(stage)


def test_an_ip_address_with_more_behind_it_goes_nowhere(stage: Stage) -> None:
    fields = {"external_user_id": {"@path": "$.userId"}, "email": {"@path": "$.context.traits.email"}}
    mapping = {"name": "ip", "trigger": 'type = "track"', "fields": fields | {"ip": {"@path": "$.context.ip"}}}
    told = {"audienceId": {"S": "#mappings"}, "document": {"S": json.dumps([mapping])}}
    stage.cloud.client("dynamodb").put_item(TableName=stage.cloud.name_of("AudienceTable"), Item=told)
    context = event()["context"] | {"ip": f"fe80::1%{PERSON['email']} {UNMAPPED}"}
    (answer,) = stage.run("IngestFunction", [http(event(context=context))])
    assert answer["statusCode"] == 200
    assert_clean(stage)


def delivering(stage: Stage, prepare: Callable[[], object] = lambda: None, *bodies: str) -> Step:
    """Hand the worker a change of the marked person, or these bodies, once what is to go wrong is prepared."""

    def step() -> dict[str, Any]:
        stage.front.mend()
        prepare()
        return {
            "Records": [
                {"messageId": f"message-{number}", "receiptHandle": "none", "body": body, "attributes": {}}
                for number, body in enumerate(bodies or [change_of_the_person()])
            ]
        }

    return step


def change_of_the_person() -> str:
    identities = [{"email": DIGESTS["email"]}, {"phone": DIGESTS["phone"]}]
    record = {"externalUserId": f"cust_{time.time_ns()}", "action": "CREATE", "hashedPII": identities}
    change = {"at": 1, "id": "personas_marked", "record": record}
    return json.dumps({"v": 1, "audienceId": AUDIENCE.audience_id, "connectionId": None, "changes": [change]})


def test_the_worker_repeats_nothing_that_amazon_quotes(stage: Stage) -> None:
    def answering(status: int, key: str = "message", times: int = 1) -> Callable[[], None]:
        def prepare() -> None:
            token = stage.cloud.secret("TokenSecret")["accessToken"]
            quoted = " ".join([*DIGESTS.values(), PERSON["email"], token, f"Bearer {token}", f"token={token},"])
            stage.cloud.fault(UPLOADS, {"status": status, "body": {key: f"invalid: {quoted}"}}, times=times)

        return prepare

    def failing(do: dict[str, Any]) -> Callable[[], None]:
        return lambda: stage.cloud.fault(UPLOADS, do)

    stage.run("RefreshFunction", [dict])
    results = stage.run(
        "WorkerFunction",
        [
            delivering(stage),
            delivering(stage, answering(400)),
            delivering(stage, answering(400, "Message")),
            delivering(stage, answering(403, "details")),
            delivering(stage, answering(404, "code")),
            delivering(stage, answering(422)),
            delivering(stage, answering(401, times=2)),
            delivering(stage, answering(429)),
            delivering(stage, answering(500)),
            delivering(stage, failing({"status": 202, "body": f"<html>{EVERYTHING}"})),
            delivering(stage, failing({"status": 202, "body": {"message": EVERYTHING}})),
            delivering(stage, failing({"close_mid_response": True})),
            delivering(stage, failing({"close_before_read": True})),
            delivering(stage, failing({"redirect": f"http://127.0.0.1:9/{SECRETS['refreshToken']}"})),
        ],
    )
    assert all(isinstance(result, dict) for result in results), results
    letters = stage.cloud.messages("DeadLetterQueue")
    assert {letter["parked"]["status"] for letter in letters} == {400, 403, 404, 422}
    assert not any(mark in json.dumps(letter["parked"]) for letter in letters for mark in marks_of_the_digests())
    assert_clean(stage)


def test_the_worker_repeats_no_error_of_aws_and_of_the_login(stage: Stage) -> None:
    def aws(operation: str) -> Callable[[], None]:
        return lambda: stage.front.on(operation, echo())

    def login(do: dict[str, Any]) -> Callable[[], None]:
        return lambda: stage.cloud.fault(LOGIN, do)

    broken_off = {"status": 200, "body": EVERYTHING}
    refused = {"status": 400, "body": {"error": "invalid_request", "error_description": EVERYTHING}}
    results = stage.run(
        "WorkerFunction",
        [
            delivering(stage, aws("GetSecretValue")),
            delivering(stage, login(broken_off)),
            delivering(stage, login(refused)),
            delivering(stage, login({"status": 503, "body": EVERYTHING})),
            delivering(stage),
            delivering(stage, aws("UpdateItem")),
            delivering(stage, aws("BatchGetItem")),
            delivering(stage, aws("GetItem")),
            delivering(stage, aws("SendMessageBatch"), "not a message"),
            delivering(stage, lambda: None, "not a message", '{"v": 99}'),
        ],
    )
    assert all(isinstance(result, dict) for result in results), results
    assert_clean(stage)


def test_refresh_repeats_nothing_that_the_login_or_aws_quotes(stage: Stage) -> None:
    def login(do: dict[str, Any]) -> Step:
        def step() -> dict[str, Any]:
            stage.front.mend()
            stage.cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
            stage.cloud.fault(LOGIN, do)
            return {}

        return step

    def aws(operation: str, effect: Effect) -> Step:
        def step() -> dict[str, Any]:
            stage.front.mend()
            stage.cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
            stage.front.on(operation, effect)
            return {}

        return step

    def unreadable() -> dict[str, Any]:
        stage.front.mend()
        stage.cloud.put_secret("TokenSecret", f"Atza|{SECRETS['refreshToken']}")
        return {}

    quoted = {"error_description": EVERYTHING}
    results = stage.run(
        "RefreshFunction",
        [
            login({"status": 400, "body": {"error": "invalid_request"} | quoted}),
            login({"status": 500, "body": EVERYTHING}),
            login({"status": 200, "body": f"<html>{EVERYTHING}"}),
            login({"close_mid_response": True}),
            login({"redirect": f"http://127.0.0.1:9/{SECRETS['refreshToken']}"}),
            login({"delay": 0}),
            login({"status": 400, "body": {"error": "invalid_grant"} | quoted}),
            aws("GetSecretValue", echo()),
            aws("GetSecretValue", hang_up()),
            unreadable,
        ],
    )
    assert results[5]["refreshed"] is True
    answers = stage.run("RefreshFunction", [aws("PutSecretValue", echo()), aws("PutSecretValue", hang_up())])
    assert not any(isinstance(answer, dict) and answer["refreshed"] for answer in answers)
    assert_clean(stage)


@pytest.mark.parametrize("where", ["token secret", "answer of the login"])
def test_a_token_that_cannot_stand_in_a_header_is_not_printed(stage: Stage, where: str) -> None:
    token = f"Atza|{SECRETS['refreshToken']}\n"
    if where == "token secret":
        stage.cloud.put_secret("TokenSecret", {"accessToken": token, "expiresAt": time.time() + 3000})
    else:
        stage.cloud.fault(LOGIN, {"status": 200, "body": {"access_token": token, "expires_in": 3600}})
    (result,) = stage.run("WorkerFunction", [delivering(stage)])
    assert_clean(stage)
    assert isinstance(result, dict), result


def test_no_log_level_makes_a_library_print_what_it_carries(stage: Stage) -> None:
    folder = stage.folder / "started"
    folder.mkdir()
    # As Lambda does for ApplicationLogLevel: DEBUG.
    (folder / "sitecustomize.py").write_text("import logging; logging.basicConfig(level=logging.DEBUG)\n")
    verbose = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), str(ROOT / "layers" / "shared")])}
    stage.run("RefreshFunction", [dict], **verbose)
    stage.run("IngestFunction", [http([event()])], **verbose)
    stage.run("WorkerFunction", [delivering(stage)], **verbose)
    assert any("DEBUG:urllib3" in line for line in stage.left.printed), "the level is in force"
    assert_clean(stage)
