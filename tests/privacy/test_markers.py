"""Marked people and secrets go through the functions, with every fault; then all that is left behind is searched."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from aiohttp import web

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.aws.audience_table import row_of
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.job_messages import DeletionMessage
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync.runtime.api_gateway import UNAUTHORIZED, answer
from local.resources import MANAGER_ACCOUNT
from tests.privacy.conftest import (
    CLIENT_ID,
    DIGESTS,
    PERSON,
    SECRETS,
    UNMAPPED,
    FunctionRunner,
    Step,
    marks_of_the_digests,
    marks_of_the_person,
    marks_of_the_secrets,
)
from tests.support.cloud import AUDIENCE
from tests.support.member_changes import reject_once
from tests.support.proxy import Call, Effect, hang_up

JSON = {"content-type": "application/json"}
WITH_KEY = JSON | {"authorization": f"Bearer {SECRETS['eventKey']}"}
KEY = AUDIENCE.computation_key or ""
UPLOADS, LOGIN = "/amc/audiences/records", "/auth/o2/token"
JOBS, METADATA = f"{UPLOADS}/*", "/amc/audiences/metadata"
MEMBERS, DELETIONS = "/adm/audiences/*/members", "/adm/identities/delete"
EVERYTHING = json.dumps([PERSON, DIGESTS, SECRETS, CLIENT_ID])


def event(**changed: Any) -> dict[str, Any]:
    """An enter with every trait marked, among them some that no mapping reads."""
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


def http(body: Any, headers: dict[str, str] = WITH_KEY, prepare: Callable[[], object] = lambda: None) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    encoded = base64.b64encode(raw).decode()
    request = {"routeKey": "POST /v1/events", "headers": headers, "body": encoded, "isBase64Encoded": True}

    def step() -> dict[str, Any]:
        prepare()
        return request | {"rawQueryString": f"key={SECRETS['audienceKey']}"}

    return step


def echo(code: str = "ValidationException", status: int = 400) -> Effect:
    """An AWS error that quotes what it was sent."""

    async def effect(call: Call) -> web.Response:
        return web.json_response({"__type": code, "message": json.dumps(call.parameters)}, status=status)

    return effect


def failing(
    runner: FunctionRunner, operation: str = "", effect: Effect | None = None, *, login: dict[str, Any] | None = None
) -> Callable[[], None]:
    """Have one operation of AWS fail, or the login answer so, in place of the faults before."""

    def prepare() -> None:
        runner.proxy.clear_faults()
        if operation:
            runner.proxy.on(operation, effect or echo())
        if login:
            runner.cloud.fault(LOGIN, login)

    return prepare


def assert_clean(runner: FunctionRunner) -> None:
    assert runner.output.containing(marks_of_the_person()) == []
    assert runner.output.containing(marks_of_the_secrets()) == []
    assert runner.output.containing(marks_of_the_digests(), with_stored=False) == []


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
    pytest.param({PERSON["email"]: PERSON, "__class__": PERSON, "raw": PERSON}, 200, id="marked and special keys"),
]


def test_ingest_leaves_only_digests_of_a_person(runner: FunctionRunner) -> None:
    steps = [http(event()), http([event(userId=f"cust_{number}") for number in range(3)])]
    cases: list[Any] = [case.values for case in ODD]
    odd = [http(event(**changed)) for changed, _ in cases]
    answers = runner.run("IngestFunction", [*steps, *odd, http([event(**changed) for changed, _ in cases])])
    assert [answer["statusCode"] for answer in answers] == [200, 200, *(status for _, status in cases), 200]
    assert any(DIGESTS["email"] in text for text in runner.output.stored), "the markers do reach the queue"
    assert any("member_id_invalid" in line for line in runner.output.printed), "the log is read"
    assert_clean(runner)


def test_ingest_never_answers_or_logs_a_credential(runner: FunctionRunner) -> None:
    body = json.dumps(event()).encode()
    wrong = SECRETS["wrongKey"]
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
    refused = runner.run("IngestFunction", [http(body, JSON | each) for each in headers])
    assert {(each["statusCode"], each["body"]) for each in refused} == {(401, answer(401, UNAUTHORIZED)["body"])}
    good = [http(body, JSON | {"x-signature": signed}), http(body, JSON | {"x-api-key": SECRETS["previousEventKey"]})]
    assert [answer["statusCode"] for answer in runner.run("IngestFunction", good)] == [200, 200]
    useless = [
        (body[:-1], WITH_KEY, 400),
        (body + b"\xff", WITH_KEY, 400),
        (PERSON["email"].encode(), WITH_KEY, 400),
        (body, WITH_KEY | {"content-type": PERSON["email"]}, 415),
        (body, WITH_KEY | {"content-encoding": SECRETS["eventKey"]}, 415),
        (body.ljust(4_500_001), WITH_KEY, 413),
    ]
    answers = runner.run("IngestFunction", [http(raw, sent) for raw, sent, _ in useless])
    assert [answer["statusCode"] for answer in answers] == [status for *_, status in useless]
    assert_clean(runner)


def test_ingest_never_quotes_aws_errors(runner: FunctionRunner) -> None:
    def broken_mappings() -> dict[str, Any]:
        runner.proxy.clear_faults()
        row = {"audienceId": {"S": "#mappings"}, "document": {"S": '[{"name": "' + PERSON["email"]}}
        runner.cloud.client("dynamodb").put_item(TableName=runner.cloud.name_of("AudienceTable"), Item=row)
        return http([event()])()

    for operation in ("GetSecretValue", "Scan", "SendMessageBatch"):
        faults = [failing(runner, operation, effect) for effect in (echo(), hang_up())]
        answers = runner.run("IngestFunction", [http([event()], prepare=fault) for fault in faults])
        assert [answer["statusCode"] for answer in answers] == [503, 503]
    runner.proxy.clear_faults()
    runner.cloud.put_secret("IngestSecret", f"not JSON: {SECRETS['eventKey']}")
    assert runner.run("IngestFunction", [http([event()])])[0]["statusCode"] == 503
    runner.cloud.put_secret("IngestSecret", {"eventKey": SECRETS["eventKey"]})
    runner.run("IngestFunction", [broken_mappings])
    stored, runner.output.stored = (
        runner.output.stored,
        [text for text in runner.output.stored if "#mappings" not in text],
    )
    assert len(stored) > len(runner.output.stored), "the operator's own document may hold anything"
    assert_clean(runner)


def test_half_a_surrogate_pair_in_a_body_gets_400_and_leaks_nothing(runner: FunctionRunner) -> None:
    request = {"routeKey": "POST /v1/events", "headers": WITH_KEY, "body": json.dumps(event()) + "\ud800"}
    (answer,) = runner.run("IngestFunction", [lambda: request])
    assert_clean(runner)
    assert isinstance(answer, dict), answer
    assert answer["statusCode"] == 400


def test_an_event_nested_10_000_deep_gets_an_answer_and_leaks_nothing(runner: FunctionRunner) -> None:
    # Reading and writing JSON fail at depths that differ by a few, and that depend on the build of Python.
    text = json.dumps(event())
    bodies = [text.replace('"personas_marked"', "[" * depth + "]" * depth) for depth in range(9_980, 10_005)]
    answers = runner.run("IngestFunction", [http(body.encode()) for body in bodies])
    assert_clean(runner)
    assert {answer["statusCode"] if isinstance(answer, dict) else answer for answer in answers} <= {200, 400}


def test_a_malformed_consent_string_is_rejected_without_quoting_it(runner: FunctionRunner) -> None:
    for signal in ("tcf", "gpp"):
        text = f"{PERSON['email']}, {PERSON['address']}"
        (answer,) = runner.run("IngestFunction", [http(event(properties={KEY: True, signal: text}))])
        assert [each["reason"] for each in json.loads(answer["body"])["rejections"]] == ["consent_invalid"]
    assert_clean(runner)


def test_an_ip_address_followed_by_text_is_dropped(runner: FunctionRunner) -> None:
    fields = {"external_user_id": {"@path": "$.userId"}, "email": {"@path": "$.context.traits.email"}}
    mapping = {"name": "ip", "trigger": 'type = "track"', "fields": fields | {"ip": {"@path": "$.context.ip"}}}
    row = {"audienceId": {"S": "#mappings"}, "document": {"S": json.dumps([mapping])}}
    runner.cloud.client("dynamodb").put_item(TableName=runner.cloud.name_of("AudienceTable"), Item=row)
    context = event()["context"] | {"ip": f"fe80::1%{PERSON['email']} {UNMAPPED}"}
    (answer,) = runner.run("IngestFunction", [http(event(context=context))])
    assert answer["statusCode"] == 200
    assert_clean(runner)


def delivering(runner: FunctionRunner, prepare: Callable[[], object] = lambda: None, *bodies: str) -> Step:
    """Hand the worker a change of the marked person, or these bodies, once `prepare` has set the faults."""

    def step() -> dict[str, Any]:
        runner.proxy.clear_faults()
        prepare()
        return {
            "Records": [
                {"messageId": f"message-{number}", "receiptHandle": "none", "body": body, "attributes": {}}
                for number, body in enumerate(bodies or [change_of_the_person()])
            ]
        }

    return step


def statements_echo() -> Effect:
    """Every statement of a batch fails, with an error that quotes it."""

    async def effect(call: Call) -> web.Response:
        errors = [
            {"Error": {"Code": "ValidationError", "Message": json.dumps(statement)}}
            for statement in call.parameters["Statements"]
        ]
        return web.json_response({"Responses": errors}, content_type="application/x-amz-json-1.0")

    return effect


def change_of_the_person() -> str:
    identities = [{"email": DIGESTS["email"]}, {"phone": DIGESTS["phone"]}]
    record = {"externalUserId": f"cust_{time.time_ns()}", "action": "CREATE", "hashedPII": identities}
    change = {"at": 1, "id": "personas_marked", "record": record}
    return json.dumps({"v": 1, "audienceId": AUDIENCE.audience_id, "connectionId": None, "changes": [change]})


def test_the_worker_redacts_amazons_messages(runner: FunctionRunner) -> None:
    def answering(status: int, key: str = "message", times: int = 1) -> Callable[[], None]:
        def prepare() -> None:
            body = {key: f"records[0].hashedPII[0].email is invalid: {quoted(runner)}"}
            headers = {"x-amzn-RequestId": f"for {PERSON['email']}"}
            runner.cloud.fault(UPLOADS, {"status": status, "headers": headers, "body": body}, times=times)

        return prepare

    def failing(do: dict[str, Any]) -> Callable[[], None]:
        return lambda: runner.cloud.fault(UPLOADS, do)

    runner.run("RefreshFunction", [dict])
    results = runner.run(
        "WorkerFunction",
        [
            delivering(runner),
            delivering(runner, answering(400)),
            delivering(runner, answering(400, "Message")),
            delivering(runner, answering(403, "details")),
            delivering(runner, answering(404, "code")),
            delivering(runner, answering(422)),
            delivering(runner, answering(401, times=2)),
            delivering(runner, answering(429)),
            delivering(runner, answering(500)),
            delivering(runner, failing({"status": 202, "body": f"<html>{EVERYTHING}"})),
            delivering(runner, failing({"status": 202, "body": {"message": EVERYTHING}})),
            delivering(runner, failing({"close_mid_response": True})),
            delivering(runner, failing({"close_before_read": True})),
            delivering(runner, failing({"redirect": f"http://127.0.0.1:9/{SECRETS['refreshToken']}"})),
        ],
    )
    assert all(isinstance(result, dict) for result in results), results
    dead_letters = runner.cloud.messages("DeadLetterQueue")
    assert {each["failure"]["status"] for each in dead_letters} == {400, 403, 404, 422}
    details = {each["failure"]["detail"].partition(": ")[2] for each in dead_letters}
    assert details == {"records[0].hashedPII[0].email is invalid: …"}, "the field at fault is passed on"
    assert not any(mark in json.dumps(each["failure"]) for each in dead_letters for mark in marks_of_the_digests())
    assert_clean(runner)


def change_of_a_dataset() -> str:
    message = json.loads(change_of_the_person())
    consent = {"amzn": {"amznUserData": "GRANTED"}}
    message["changes"][0]["record"] |= {"userConsent": {"consent": consent}, "action": "CREATE"}
    return json.dumps(message | {"audienceId": "adm-1", "destination": {"api": "data-manager"}})


# Of Ads Data Manager: the status of an answer, and the answer that quotes a text.
QUOTING: list[tuple[int, Callable[[str], Any]]] = [
    (400, lambda text: {"message": text}),
    (403, lambda text: {"details": text}),
    (404, lambda text: {"code": text, "errors": [{"errorMessage": text}]}),
    (429, lambda text: {"message": text}),
    (500, lambda text: {"message": text}),
    (200, lambda text: text),
]


def test_the_worker_redacts_messages_of_ads_data_manager(runner: FunctionRunner) -> None:
    def answered(status: int, answer: Callable[[str], Any]) -> Step:
        def prepare() -> None:
            text = f"members[0].userIdentity.hashedPiis[0].em is invalid: {quoted(runner)}"
            runner.cloud.fault(MEMBERS, {"status": status, "body": answer(text)})

        return delivering(runner, prepare, change_of_a_dataset())

    def refusing(text: str) -> dict[str, Any]:
        reasons = [{"errorCode": 1, "errorType": text, "errorMessage": text}]
        return {"ingressId": text, "errors": [{"index": 0, "code": text, "details": text, "errors": reasons}]}

    runner.run("RefreshFunction", [dict])
    steps = [answered(status, answer) for status, answer in [*QUOTING, (200, refusing)]]
    results = runner.run("WorkerFunction", steps, DATA_MANAGER_ACCOUNT_ID=MANAGER_ACCOUNT)
    assert [len(result["batchItemFailures"]) for result in results] == [0, 0, 0, 1, 1, 1, 0]
    failures = [each["failure"] for each in runner.cloud.messages("DeadLetterQueue")]
    assert [each["status"] for each in failures] == [400, 403, 404, 400]
    assert all("members[0]" in each["detail"] and "is invalid: …" in each["detail"] for each in failures)
    assert not any(mark in json.dumps(failures) for mark in marks_of_the_digests())
    assert_clean(runner)


def test_jobs_redacts_messages_of_ads_data_manager_about_a_deletion(runner: FunctionRunner) -> None:
    table = runner.cloud.rows()

    def answered(person: str, status: int, answer: Callable[[str], Any]) -> Step:
        newest = erasing_exit(person, 1, "notice")
        recorded = ErasureStep(StepKind.NOTICE, "notice", 1, round(time.time() * 1000))
        plan = ErasurePlan((), ("dataset-1",), 0, 1)  # where the row is lost
        table.write([MemberState(newest, last_exit=newest.version, erasure=(recorded,), plan=plan)])

        def prepare() -> None:
            runner.cloud.fault(DELETIONS, {"status": status, "body": answer(f"targetIdentities[0]: {quoted(runner)}")})

        return delivering(runner, prepare, DeletionMessage((person,), 1).body())

    dataset = row_of(Audience("dataset-1", destination=ads_data_manager()), 1)
    runner.cloud.client("dynamodb").put_item(TableName=runner.cloud.name_of("AudienceTable"), Item=dataset)
    runner.run("RefreshFunction", [dict])
    steps = [answered(f"m{number}", *each) for number, each in enumerate(QUOTING)]
    results = runner.run("JobsFunction", steps, DATA_MANAGER_ACCOUNT_ID=MANAGER_ACCOUNT)
    assert results == [{"batchItemFailures": []}] * len(QUOTING)
    waiting = [each["deletions"] for each in runner.cloud.messages("JobQueue")]
    assert sorted(waiting) == [["m3"], ["m4"], ["m5"]], "429, 5xx and no answer; the check asks for the others"
    assert_clean(runner)


def test_the_worker_never_quotes_aws_or_login_errors(runner: FunctionRunner) -> None:
    truncated = {"status": 200, "body": EVERYTHING}
    refused = {"status": 400, "body": {"error": "invalid_request", "error_description": EVERYTHING}}
    unavailable = {"status": 503, "body": EVERYTHING}
    results = runner.run(
        "WorkerFunction",
        [
            delivering(runner, failing(runner, "GetSecretValue")),
            *(delivering(runner, failing(runner, login=do)) for do in (truncated, refused, unavailable)),
            delivering(runner),
            delivering(runner, failing(runner, "BatchExecuteStatement")),
            delivering(runner, failing(runner, "BatchExecuteStatement", statements_echo())),
            delivering(runner, failing(runner, "BatchGetItem")),
            delivering(runner, failing(runner, "GetItem")),
            delivering(runner, failing(runner, "SendMessageBatch"), "not a message"),
            delivering(runner, lambda: None, "not a message", '{"v": 99}'),
        ],
    )
    assert all(isinstance(result, dict) for result in results), results
    assert_clean(runner)


def test_refresh_never_quotes_aws_or_login_errors(runner: FunctionRunner) -> None:
    def refreshing(*fault: Any, token: Any = {"accessToken": "", "expiresAt": 0}, **login: Any) -> Step:  # noqa: B006
        prepare = failing(runner, *fault, login=login)

        def step() -> dict[str, Any]:
            prepare()
            runner.cloud.put_secret("TokenSecret", token)
            return {}

        return step

    quoted = {"error_description": EVERYTHING}
    results = runner.run(
        "RefreshFunction",
        [
            refreshing(status=400, body={"error": "invalid_request"} | quoted),
            refreshing(status=500, body=EVERYTHING),
            refreshing(status=200, body=f"<html>{EVERYTHING}"),
            refreshing(close_mid_response=True),
            refreshing(redirect=f"http://127.0.0.1:9/{SECRETS['refreshToken']}"),
            refreshing(delay=0),
            refreshing(status=400, body={"error": "invalid_grant"} | quoted),
            refreshing("GetSecretValue"),
            refreshing("GetSecretValue", hang_up()),
            refreshing(token=f"Atza|{SECRETS['refreshToken']}"),
        ],
    )
    assert results[5]["refreshed"] is True
    answers = runner.run("RefreshFunction", [refreshing("PutSecretValue", effect) for effect in (echo(), hang_up())])
    assert not any(isinstance(answer, dict) and answer["refreshed"] for answer in answers)
    assert_clean(runner)


@pytest.mark.parametrize("where", ["token secret", "answer of the login"])
def test_a_token_with_a_line_end_is_never_printed(runner: FunctionRunner, where: str) -> None:
    token = f"Atza|{SECRETS['refreshToken']}\n"
    if where == "token secret":
        runner.cloud.put_secret("TokenSecret", {"accessToken": token, "expiresAt": time.time() + 3000})
    else:
        runner.cloud.fault(LOGIN, {"status": 200, "body": {"access_token": token, "expires_in": 3600}})
    (result,) = runner.run("WorkerFunction", [delivering(runner)])
    assert_clean(runner)
    assert isinstance(result, dict), result


CREATE, GET = "POST /v1/audiences", "POST /v1/audiences/get"
WITH_AUDIENCE_KEY = JSON | {"authorization": f"Bearer {SECRETS['audienceKey']}"}
SETTINGS = {"audienceName": "Marked people", "advertiserId": "590071284455661234", "countryCode": "US"}
EXTRA = {"first": [PERSON], PERSON["email"]: UNMAPPED, "__class__": PERSON, "owner": PERSON["email"]}


def asking(
    body: Any,
    *,
    route: str = CREATE,
    headers: dict[str, str] = WITH_AUDIENCE_KEY,
    key: str = "",
    prepare: Callable[[], object] = lambda: None,
) -> Step:
    """Request an audience, once `prepare` has set the faults."""

    def step() -> dict[str, Any]:
        prepare()
        text = body if isinstance(body, str) else json.dumps(body)
        request = {"routeKey": route, "headers": headers, "body": text, "isBase64Encoded": False}
        return request | {"queryStringParameters": {"key": key}, "rawQueryString": f"key={key}"} if key else request

    return step


def quoted(runner: FunctionRunner) -> str:
    """What Amazon may quote of what it was sent, and personal data beside it."""
    token = runner.cloud.secret("TokenSecret")["accessToken"]
    secret = f"amzn1.oa2-cs.v1.{UNMAPPED}"
    return " ".join(
        [*DIGESTS.values(), *PERSON.values(), PERSON["email"], token, f"Bearer {token}", f"token={token},", secret]
    )


def test_audiences_never_answers_or_logs_a_credential(runner: FunctionRunner) -> None:
    wrong, body = SECRETS["wrongKey"], SETTINGS | EXTRA
    basic = base64.b64encode(f"any:{wrong}".encode()).decode()
    shown = [wrong, SECRETS["eventKey"], SECRETS["signingSecret"], PERSON["email"], ""]
    steps = [asking(body, route=route, headers=JSON, key=key) for route in (CREATE, GET) for key in shown]
    steps += [
        asking(body, headers=JSON | {"authorization": header}) for header in (f"Basic {basic}", f"Bearer {wrong}")
    ]
    refused = runner.run("AudiencesFunction", steps)
    assert {(each["statusCode"], each["body"]) for each in refused} == {(401, answer(401, UNAUTHORIZED)["body"])}
    good = asking(body | {"externalAudienceId": "marked-1"}, headers=JSON, key=SECRETS["audienceKey"])
    assert runner.run("AudiencesFunction", [good])[0]["statusCode"] == 200
    assert_clean(runner)


def test_an_unknown_extra_reaches_neither_our_table_nor_amazon(runner: FunctionRunner) -> None:
    (answer,) = runner.run("AudiencesFunction", [asking(SETTINGS | EXTRA | {"externalAudienceId": "marked-2"})])
    assert answer["statusCode"] == 200
    assert any("marked-2" in text for text in runner.output.stored), "the table is read"
    runner.output.answers.append(requests.get(f"{runner.cloud.amazon_url}/sandbox/requests", timeout=5).text)
    assert runner.output.containing(marks_of_the_person()) == [], "nor to Amazon"


@pytest.mark.parametrize(
    ("changed", "field"),
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
def test_an_invalid_setting_is_named_without_its_value(
    runner: FunctionRunner, changed: dict[str, Any], field: str
) -> None:
    (answer,) = runner.run("AudiencesFunction", [asking(SETTINGS | changed)])
    assert answer["statusCode"] == 400
    assert field in answer["body"]
    assert_clean(runner)


def test_an_invalid_audience_request_is_never_quoted(runner: FunctionRunner) -> None:
    text = json.dumps(SETTINGS | EXTRA)
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
    answers = runner.run("AudiencesFunction", useless)
    assert [answer["statusCode"] for answer in answers] == [400, 400, 400, 400, 413, 415, 404, 404, 404, 400]
    assert_clean(runner)


def test_audiences_redacts_amazons_messages(runner: FunctionRunner) -> None:
    def failing(do: dict[str, Any], path: str = METADATA, **body: Any) -> Step:
        settings = SETTINGS | {"externalAudienceId": f"marked-{time.time_ns()}"}
        return asking(body or settings, route=GET if body else CREATE, prepare=lambda: runner.cloud.fault(path, do))

    runner.run("RefreshFunction", [dict])
    message = f"invalid: {quoted(runner)}"
    refusing = [failing({"status": status, "body": {"message": message}}) for status in (400, 403, 404, 413, 422)]
    answers = runner.run(
        "AudiencesFunction",
        [
            *refusing,
            failing({"status": 400, "body": {"Message": message}}),
            failing({"status": 400, "body": {"details": message}}),
            failing({"status": 400, "body": {"code": message}}),
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
    error = json.loads(answers[0]["body"])["error"]
    assert error.startswith("Amazon answered 400: invalid: …"), "the harmless part is passed on"
    assert_clean(runner)


def test_audiences_never_quotes_aws_or_login_errors(runner: FunctionRunner) -> None:
    operations = ("GetSecretValue", "Query", "PutItem", "TransactWriteItems")
    faults = [failing(runner, operation, effect) for operation in operations for effect in (echo(), hang_up())]
    refused = {"error": "invalid_request", "error_description": EVERYTHING}
    answers_of_login = [(200, EVERYTHING), (400, refused), (503, EVERYTHING)]
    faults[2:2] = [failing(runner, login={"status": status, "body": body}) for status, body in answers_of_login]
    steps = [
        asking(SETTINGS | {"externalAudienceId": f"marked-{number}"}, prepare=prepare)
        for number, prepare in enumerate(faults)
    ]
    answers = runner.run("AudiencesFunction", steps)
    assert {answer["statusCode"] for answer in answers} == {503}
    assert_clean(runner)


def checking(runner: FunctionRunner, answer: dict[str, Any] | None = None, *bodies: str, **do: Any) -> Step:
    """Hand the jobs function the job messages that wait, or these bodies; Amazon gives this answer."""

    def step() -> dict[str, Any]:
        runner.proxy.clear_faults()
        waiting = [message.body for message in runner.cloud.queues.peek(runner.cloud.name_of("JobQueue"))][:1]
        fault = do or ({"status": 200, "body": answer} if answer is not None else {})
        if fault:
            runner.cloud.fault(JOBS, fault, times=2)
        records = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies or waiting)]
        return {"Records": records}

    return step


def test_jobs_redacts_amazons_messages_about_a_rejected_member(runner: FunctionRunner) -> None:
    runner.run("RefreshFunction", [dict])
    runner.run("WorkerFunction", [delivering(runner)])
    (waiting,) = runner.cloud.messages("JobQueue")
    ((member, _, _),) = waiting["members"]
    errors: list[Any] = [
        quoted(runner),
        f"{PERSON['email']}: {quoted(runner)}",
        f"<{PERSON['email']}>",
        f"{PERSON['first_name']} {PERSON['last_name']}, {PERSON['address']}, {PERSON['city']}: no match",
        [PERSON],
        PERSON,
    ]
    odd = [{"externalId": PERSON["email"], "error": "unknown"}, {"externalId": PERSON, "error": PERSON}, PERSON, None]
    reports: list[Any] = [
        {"jobState": "PARTIALLYSUCCEEDED", "invalidRecords": [*odd, {"externalId": member, "error": text}]}
        for text in errors
    ]
    reports += [
        {"jobState": "FAILED", "invalidRecords": odd, "successful": PERSON, "audienceSize": PERSON},
        {"jobState": EVERYTHING},
        {"jobState": PERSON["email"], "invalidRecords": EVERYTHING},
        {"jobState": [PERSON], "audienceSize": {"receivedRecordSize": PERSON["phone"]}},
    ]
    reject_once(runner.cloud.rows(), (waiting["audienceId"], member))
    results = runner.run("JobsFunction", [checking(runner, report) for report in reports])
    assert results == [{"batchItemFailures": []}] * len(reports)
    dead_letters = runner.cloud.messages("DeadLetterQueue")
    assert [each["failure"]["reason"] for each in dead_letters] == ["job_rejected"] * len(errors)
    assert {each["changes"][0]["record"]["externalUserId"] for each in dead_letters} == {member}
    assert not any(mark in json.dumps(each["failure"]) for each in dead_letters for mark in marks_of_the_digests())
    assert_clean(runner)


def test_jobs_never_quotes_refusals_or_aws_errors(runner: FunctionRunner) -> None:
    def aws(operation: str, effect: Effect) -> Step:
        event = checking(runner, {"jobState": "FAILED"})

        def step() -> dict[str, Any]:
            records = event()
            runner.proxy.on(operation, effect)
            return records

        return step

    runner.run("RefreshFunction", [dict])
    runner.run("WorkerFunction", [delivering(runner)])
    message = {"message": f"invalid: {quoted(runner)}"}
    refusals = [checking(runner, status=status, body=message) for status in (400, 401, 403, 404, 422, 429, 500)]
    results = runner.run(
        "JobsFunction",
        [
            *refusals,
            checking(runner, status=200, body=f"<html>{EVERYTHING}"),
            checking(runner, status=200, body=json.dumps([EVERYTHING])),
            checking(runner, close_mid_response=True),
            checking(runner, redirect=f"http://127.0.0.1:9/{SECRETS['refreshToken']}"),
            checking(runner, None, PERSON["email"], json.dumps({"jobId": PERSON, "members": PERSON}), "[" * 20_000),
            aws("BatchGetItem", echo()),
            aws("BatchGetItem", hang_up()),
            aws("SendMessageBatch", echo()),
        ],
    )
    back = [len(result["batchItemFailures"]) for result in results]
    assert back == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1], "404: Amazon knows no such job"
    assert_clean(runner)


def test_no_digest_is_left_once_the_job_of_a_deletion_notice_has_ended(runner: FunctionRunner) -> None:
    now = {"JOB_SECONDS": "0", "LATE_SECONDS": "0", "LONGEST_JOB_SECONDS": "0"}  # jobs end at once
    entered = json.loads(change_of_the_person())
    (change,) = entered["changes"]
    left = {"at": 2, "id": "notice", "erase": True, "record": change["record"] | {"action": "DELETE", "hashedPII": []}}
    notice = json.dumps(entered | {"changes": [left]})

    def rows() -> bytes:
        name = runner.cloud.name_of("MembershipTable")
        items = runner.cloud.client("dynamodb").scan(TableName=name)["Items"]
        return b" ".join(bytes(item["member"]["B"]) for item in items if "member" in item)

    def run(function: str, step: Step) -> None:
        (result,) = runner.run(function, [step], **now)
        assert result == {"batchItemFailures": []}

    run("WorkerFunction", delivering(runner, lambda: None, json.dumps(entered)))
    run("JobsFunction", checking(runner))
    raw = [bytes.fromhex(digest) for digest in DIGESTS.values()]
    assert any(digest in rows() for digest in raw), "the row is read"
    runner.cloud.client("sqs").purge_queue(QueueUrl=runner.cloud.name_of("JobQueue"))
    run("WorkerFunction", delivering(runner, lambda: None, notice))
    runner.output.stored.clear()
    run("JobsFunction", checking(runner))
    assert not any(digest in rows() for digest in raw)
    assert runner.output.containing(marks_of_the_digests()) == []


def test_jobs_never_quotes_a_failed_statement(runner: FunctionRunner) -> None:
    def failing() -> dict[str, Any]:
        records = checking(runner, {"jobState": "PENDING"})()
        runner.proxy.on("BatchExecuteStatement", statements_echo())
        return records

    runner.run("WorkerFunction", [delivering(runner)])
    (result,) = runner.run("JobsFunction", [failing])
    assert len(result["batchItemFailures"]) == 1
    assert_clean(runner)


def test_debug_logging_of_libraries_leaks_nothing(runner: FunctionRunner) -> None:
    # As Lambda does for ApplicationLogLevel: DEBUG.
    runner.first = "import logging; logging.basicConfig(level=logging.DEBUG)"
    runner.run("RefreshFunction", [dict])
    runner.run("IngestFunction", [http([event()])])
    runner.run("WorkerFunction", [delivering(runner)])
    runner.run("JobsFunction", [checking(runner)])
    runner.run("AudiencesFunction", [asking(SETTINGS | EXTRA | {"externalAudienceId": "marked-3"})])
    assert any("DEBUG:urllib3" in line for line in runner.output.printed), "the level is in force"
    assert_clean(runner)
