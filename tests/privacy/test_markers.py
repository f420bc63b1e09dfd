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
import requests
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
JOBS, METADATA = f"{UPLOADS}/*", "/amc/audiences/metadata"
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
    assert {letter["failure"]["status"] for letter in letters} == {400, 403, 404, 422}
    assert not any(mark in json.dumps(letter["failure"]) for letter in letters for mark in marks_of_the_digests())
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


CREATE, GET = "POST /v1/audiences", "POST /v1/audiences/get"
WITH_AUDIENCE_KEY = JSON | {"authorization": f"Bearer {SECRETS['audienceKey']}"}
SETTINGS = {"audienceName": "Marked people", "advertiserId": "590071284455661234", "countryCode": "US"}
NAMELESS = {"first": [PERSON], PERSON["email"]: UNMAPPED, "__class__": PERSON, "owner": PERSON["email"]}


def asking(
    body: Any,
    *,
    route: str = CREATE,
    headers: dict[str, str] = WITH_AUDIENCE_KEY,
    key: str = "",
    prepare: Callable[[], object] = lambda: None,
) -> Step:
    """Ask for an audience, once what is to go wrong is prepared."""

    def step() -> dict[str, Any]:
        prepare()
        text = body if isinstance(body, str) else json.dumps(body)
        told = {"routeKey": route, "headers": headers, "body": text, "isBase64Encoded": False}
        return told | {"queryStringParameters": {"key": key}, "rawQueryString": f"key={key}"} if key else told

    return step


def quoted(stage: Stage) -> str:
    """What Amazon may quote of what it was sent, and a person beside it."""
    token = stage.cloud.secret("TokenSecret")["accessToken"]
    return " ".join([*DIGESTS.values(), PERSON["email"], token, f"Bearer {token}", f"token={token},"])


def test_audiences_tells_no_stranger_and_no_log_what_was_shown_or_expected(stage: Stage) -> None:
    wrong, body = SECRETS["strangersKey"], SETTINGS | NAMELESS
    basic = base64.b64encode(f"any:{wrong}".encode()).decode()
    shown = [wrong, SECRETS["eventKey"], SECRETS["signingSecret"], PERSON["email"], ""]
    steps = [asking(body, route=route, headers=JSON, key=key) for route in (CREATE, GET) for key in shown]
    steps += [asking(body, headers=JSON | {"authorization": told}) for told in (f"Basic {basic}", f"Bearer {wrong}")]
    refused = stage.run("AudiencesFunction", steps)
    assert {(answer["statusCode"], answer["body"]) for answer in refused} == {(401, '{"error":"unauthorized"}')}
    good = asking(body | {"externalAudienceId": "marked-1"}, headers=JSON, key=SECRETS["audienceKey"])
    assert stage.run("AudiencesFunction", [good])[0]["statusCode"] == 200
    assert_clean(stage)


def test_an_extra_that_is_no_setting_goes_nowhere(stage: Stage) -> None:
    (answer,) = stage.run("AudiencesFunction", [asking(SETTINGS | NAMELESS | {"externalAudienceId": "marked-2"})])
    assert answer["statusCode"] == 200
    assert any("marked-2" in text for text in stage.left.stored), "the table is read"
    stage.left.answers.append(requests.get(f"{stage.cloud.amazon_url}/sandbox/requests", timeout=5).text)
    assert stage.left.holding(marks_of_the_person()) == [], "nor to Amazon"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param({"audienceName": {PERSON["email"]: PERSON}}, "audienceName", id="object as name"),
        pytest.param({"audienceName": f"{PERSON['email']}\x00"}, "audienceName", id="control character in the name"),
        pytest.param({"advertiserId": PERSON["email"]}, "advertiserId", id="advertiser"),
        pytest.param({"connectionId": PERSON["email"]}, "connectionId", id="two targets"),
        pytest.param({"countryCode": PERSON["city"]}, "countryCode", id="country"),
        pytest.param({"description": [PERSON["email"]]}, "description", id="list as description"),
        pytest.param({"description": PERSON["email"] * 100}, "description", id="description too long"),
        pytest.param({"externalAudienceId": f"{PERSON['email']}\n\x1b"}, "externalAudienceId", id="external id"),
        pytest.param({"computationKey": {PERSON["email"]: 1}}, "computationKey", id="computation key"),
        pytest.param({"ttl": PERSON["email"]}, "ttl", id="ttl"),
        pytest.param({"ttl": PERSON["phone"]}, "ttl", id="phone number as ttl"),
        pytest.param({"cpmCents": PERSON["email"], "currency": PERSON["city"]}, "cpmCents", id="fee"),
        pytest.param({"cpmCents": PERSON["email"]}, "currency", id="half a fee"),
        pytest.param({"dsp": PERSON["email"]}, "dsp", id="dsp"),
    ],
)
def test_a_setting_at_fault_is_named_and_its_value_is_not(stage: Stage, changed: dict[str, Any], told: str) -> None:
    (answer,) = stage.run("AudiencesFunction", [asking(SETTINGS | changed)])
    assert answer["statusCode"] == 400
    assert told in answer["body"]
    assert_clean(stage)


def test_what_is_no_request_for_an_audience_is_not_repeated(stage: Stage) -> None:
    text = json.dumps(SETTINGS | NAMELESS)
    useless = [
        asking(text[:-1]),
        asking(f"{text}\ud800"),
        asking(PERSON["email"]),
        asking([PERSON]),
        asking(text.ljust(70_000)),
        asking(text, headers=WITH_AUDIENCE_KEY | {"content-type": PERSON["email"]}),
        asking({"externalId": PERSON["email"]}, route=GET),
        asking({"externalId": {PERSON["email"]: PERSON}}, route=GET),
        asking({"externalId": PERSON["phone"]}, route=GET),
        asking({PERSON["email"]: PERSON}, route=GET),
    ]
    answers = stage.run("AudiencesFunction", useless)
    assert [answer["statusCode"] for answer in answers] == [400, 400, 400, 400, 413, 415, 404, 404, 404, 400]
    assert_clean(stage)


def test_audiences_repeats_nothing_that_amazon_quotes(stage: Stage) -> None:
    def failing(do: dict[str, Any], path: str = METADATA, **told: Any) -> Step:
        settings = SETTINGS | {"externalAudienceId": f"marked-{time.time_ns()}"}
        return asking(told or settings, route=GET if told else CREATE, prepare=lambda: stage.cloud.fault(path, do))

    stage.run("RefreshFunction", [dict])
    saying = f"invalid: {quoted(stage)}"
    refusing = [failing({"status": status, "body": {"message": saying}}) for status in (400, 403, 404, 413, 422)]
    answers = stage.run(
        "AudiencesFunction",
        [
            *refusing,
            failing({"status": 400, "body": {"Message": saying}}),
            failing({"status": 400, "body": {"details": saying}}),
            failing({"status": 400, "body": {"code": saying}}),
            failing({"status": 429, "body": {"message": EVERYTHING}}),
            failing({"status": 500, "body": EVERYTHING}),
            failing({"status": 201, "body": f"<html>{EVERYTHING}"}),
            failing({"status": 201, "body": {"audienceId": EVERYTHING}}),
            failing({"close_mid_response": True}),
            failing({"redirect": f"http://127.0.0.1:9/{SECRETS['refreshToken']}"}),
            failing(
                {"status": 500, "body": EVERYTHING},
                f"{METADATA}/{AUDIENCE.audience_id}",
                externalId=AUDIENCE.audience_id,
            ),
            failing(
                {"status": 200, "body": {"name": EVERYTHING}},
                f"{METADATA}/{AUDIENCE.audience_id}",
                externalId=AUDIENCE.audience_id,
            ),
        ],
    )
    assert [answer["statusCode"] for answer in answers] == [*[400] * 8, *[503] * 6, 200, 200]
    told = json.loads(answers[0]["body"])["error"]
    assert told.startswith("Amazon answered 400: invalid: …"), "what may be repeated is"
    assert_clean(stage)


def test_audiences_repeats_no_error_of_aws_and_of_the_login(stage: Stage) -> None:
    def aws(operation: str, effect: Effect) -> Step:
        def prepare() -> None:
            stage.front.mend()
            stage.front.on(operation, effect)

        return asking(SETTINGS | {"externalAudienceId": f"marked-{time.time_ns()}"}, prepare=prepare)

    def login(do: dict[str, Any]) -> Step:
        def prepare() -> None:
            stage.front.mend()
            stage.cloud.fault(LOGIN, do)

        return asking(SETTINGS | {"externalAudienceId": f"marked-{time.time_ns()}"}, prepare=prepare)

    operations = ("GetSecretValue", "Query", "PutItem", "TransactWriteItems")
    steps = [aws(operation, effect) for operation in operations for effect in (echo(), hang_up())]
    steps[2:2] = [
        login({"status": 200, "body": EVERYTHING}),
        login({"status": 400, "body": {"error": "invalid_request", "error_description": EVERYTHING}}),
        login({"status": 503, "body": EVERYTHING}),
    ]
    answers = stage.run("AudiencesFunction", steps)
    assert {answer["statusCode"] for answer in answers} == {503}
    assert_clean(stage)


def following(stage: Stage, answer: dict[str, Any] | None = None, *bodies: str, **do: Any) -> Step:
    """Hand the jobs function the uploads that wait, or these bodies; Amazon gives this answer."""

    def step() -> dict[str, Any]:
        stage.front.mend()
        waiting = [message.body for message in stage.cloud.queues.peek(stage.cloud.name_of("JobQueue"))][:1]
        fault = do or ({"status": 200, "body": answer} if answer is not None else {})
        if fault:
            stage.cloud.fault(JOBS, fault, times=2)
        records = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies or waiting)]
        return {"Records": records}

    return step


def test_jobs_repeats_nothing_that_amazon_quotes_of_a_rejected_member(stage: Stage) -> None:
    stage.run("RefreshFunction", [dict])
    stage.run("WorkerFunction", [delivering(stage)])
    (waiting,) = stage.cloud.messages("JobQueue")
    (member,) = waiting["members"]
    why: list[Any] = [quoted(stage), f"{PERSON['email']}: {quoted(stage)}", f"<{PERSON['email']}>", [PERSON], PERSON]
    odd = [{"externalId": PERSON["email"], "error": "unknown"}, {"externalId": PERSON, "error": PERSON}, PERSON, None]
    reports: list[Any] = [
        {"jobState": "PARTIALLYSUCCEEDED", "invalidRecords": [*odd, {"externalId": member, "error": text}]}
        for text in why
    ]
    reports += [
        {"jobState": "FAILED", "invalidRecords": odd, "successful": PERSON, "audienceSize": PERSON},
        {"jobState": EVERYTHING},
        {"jobState": PERSON["email"], "invalidRecords": EVERYTHING},
        {"jobState": [PERSON], "audienceSize": {"receivedRecordSize": PERSON["phone"]}},
    ]
    results = stage.run("JobsFunction", [following(stage, report) for report in reports])
    assert results == [{"batchItemFailures": []}] * len(reports)
    letters = stage.cloud.messages("DeadLetterQueue")
    assert [letter["failure"]["reason"] for letter in letters] == ["job_rejected"] * len(why) + ["job_failed"]
    assert {letter["changes"][0]["record"]["externalUserId"] for letter in letters} == {member}
    assert not any(mark in json.dumps(letter["failure"]) for letter in letters for mark in marks_of_the_digests())
    assert_clean(stage)


def test_jobs_repeats_no_refusal_and_no_error(stage: Stage) -> None:
    def aws(operation: str, effect: Effect) -> Step:
        event = following(stage, {"jobState": "FAILED"})

        def step() -> dict[str, Any]:
            told = event()
            stage.front.on(operation, effect)
            return told

        return step

    stage.run("RefreshFunction", [dict])
    stage.run("WorkerFunction", [delivering(stage)])
    saying = {"message": f"invalid: {quoted(stage)}"}
    refusals = [following(stage, status=status, body=saying) for status in (400, 401, 403, 404, 422, 429, 500)]
    results = stage.run(
        "JobsFunction",
        [
            *refusals,
            following(stage, status=200, body=f"<html>{EVERYTHING}"),
            following(stage, status=200, body=json.dumps([EVERYTHING])),
            following(stage, close_mid_response=True),
            following(stage, redirect=f"http://127.0.0.1:9/{SECRETS['refreshToken']}"),
            following(stage, None, PERSON["email"], json.dumps({"jobId": PERSON, "members": PERSON}), "[" * 20_000),
            aws("BatchGetItem", echo()),
            aws("BatchGetItem", hang_up()),
            aws("SendMessageBatch", echo()),
        ],
    )
    back = [len(result["batchItemFailures"]) for result in results]
    assert back == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1], "404: Amazon knows no such job; no job: no question"
    assert_clean(stage)


def test_no_log_level_makes_a_library_print_what_it_carries(stage: Stage) -> None:
    folder = stage.folder / "started"
    folder.mkdir()
    # As Lambda does for ApplicationLogLevel: DEBUG.
    (folder / "sitecustomize.py").write_text("import logging; logging.basicConfig(level=logging.DEBUG)\n")
    verbose = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), str(ROOT / "layers" / "shared")])}
    stage.run("RefreshFunction", [dict], **verbose)
    stage.run("IngestFunction", [http([event()])], **verbose)
    stage.run("WorkerFunction", [delivering(stage)], **verbose)
    stage.run("JobsFunction", [following(stage)], **verbose)
    stage.run("AudiencesFunction", [asking(SETTINGS | NAMELESS | {"externalAudienceId": "marked-3"})], **verbose)
    assert any("DEBUG:urllib3" in line for line in stage.left.printed), "the level is in force"
    assert_clean(stage)
