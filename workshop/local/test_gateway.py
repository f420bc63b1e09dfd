"""The gateway makes the events of API Gateway's payload format 2.0, and HTTP of what functions answer."""

import base64
import gzip
import http.client
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from local import gateway
from local.functions import FunctionError, Functions
from local.template import Route
from tests.support.servers import serve

ROUTES = [Route("POST", "/v1/events", "Taker"), Route("GET", "/v1/health", "Looker")]


class Recorder(Functions):
    """Functions in this process: keep their events, answer what the test wants."""

    def __init__(self) -> None:
        super().__init__({}, {}, lambda _function, _line: None)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answer: Any = {"statusCode": 200}

    async def invoke(self, name: str, event: dict[str, Any]) -> Any:
        self.calls.append((name, event))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """The gateway's clients and its functions."""

    host: str
    functions: Recorder = field(default_factory=Recorder)

    def ask(self, method: str, path: str, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Reply:
        connection = http.client.HTTPConnection(self.host, timeout=5)
        try:
            connection.putrequest(method, path)
            for name, value in [("Content-Length", str(len(body))), *(headers or [])]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def event(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """The event that the function gets for a request."""
        self.ask(*arguments, **options)
        return self.functions.calls[-1][1]


@pytest.fixture
def api() -> Iterator[Api]:
    functions = Recorder()

    def build() -> web.Application:
        app = web.Application(client_max_size=gateway.MAX_BODY)
        gateway.add_routes(app, ROUTES, functions)
        return app

    with serve(build, decompress=gateway.DECOMPRESS) as served:
        yield Api(served.url.removeprefix("http://"), functions)


def test_a_request_becomes_an_event_of_payload_format_2(api: Api) -> None:
    event = api.event("POST", "/v1/events", b'{"a": "Zo\xc3\xab"}', [("Content-Type", "application/json")])
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "POST /v1/events", "/v1/events")
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": "Zoë"}', False)
    context = event["requestContext"]
    assert (context["http"]["method"], context["http"]["path"]) == ("POST", "/v1/events")
    assert (context["http"]["sourceIp"], context["stage"]) == ("127.0.0.1", "$default")
    assert context["routeKey"] == event["routeKey"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 600
    assert json.loads(json.dumps(event)) == event


def test_each_route_leads_to_its_function(api: Api) -> None:
    api.ask("POST", "/v1/events")
    api.ask("GET", "/v1/health")
    assert [(name, event["routeKey"]) for name, event in api.functions.calls] == [
        ("Taker", "POST /v1/events"),
        ("Looker", "GET /v1/health"),
    ]


def test_header_names_are_lower_case_and_repeated_ones_joined(api: Api) -> None:
    headers = [("X-Signature", "ab"), ("X-Tag", "one"), ("x-tag", "two"), ("User-Agent", "Segment (Actions)")]
    event = api.event("POST", "/v1/events", headers=headers)
    assert (event["headers"]["x-signature"], event["headers"]["x-tag"]) == ("ab", "one,two")
    assert event["requestContext"]["http"]["userAgent"] == "Segment (Actions)"
    assert not [name for name in event["headers"] if name != name.lower()]


def test_a_query_arrives_raw_and_parsed(api: Api) -> None:
    event = api.event("GET", "/v1/health?key=a%26b%3D%C3%AB&tag=one&tag=two")
    assert event["rawQueryString"] == "key=a%26b%3D%C3%AB&tag=one&tag=two"
    assert event["queryStringParameters"] == {"key": "a&b=ë", "tag": "one,two"}


def test_absent_parts_of_a_request_are_left_out_of_the_event(api: Api) -> None:
    event = api.event("GET", "/v1/health")
    assert event.keys().isdisjoint({"body", "queryStringParameters"})
    assert (event["isBase64Encoded"], event["rawQueryString"]) == (False, "")


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        pytest.param("application/json", b"{}", False, id="JSON"),
        pytest.param("application/json; charset=utf-8", b"{}", False, id="JSON with a charset"),
        pytest.param("text/plain", b"text", False, id="text"),
        pytest.param("application/octet-stream", b"{}", True, id="bytes"),
        pytest.param("", b"{}", True, id="no type"),
        pytest.param("application/json", b"\xff\xfe", True, id="JSON that is not UTF-8"),
    ],
)
def test_a_body_that_is_not_text_is_passed_as_base64(
    api: Api, content_type: str, body: bytes, *, encoded: bool
) -> None:
    event = api.event("POST", "/v1/events", body, [("Content-Type", content_type)] if content_type else [])
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


@pytest.mark.parametrize(
    "body", [pytest.param(gzip.compress(b"{}"), id="gzip"), pytest.param(b"{}", id="said to be gzip, and is not")]
)
def test_a_compressed_body_is_passed_on_unchanged(api: Api, body: bytes) -> None:
    event = api.event("POST", "/v1/events", body, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")])
    assert event["headers"]["content-encoding"] == "gzip"
    assert (base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()) == body


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v1/events"), ("POST", "/v1/events/"), ("POST", "/V1/EVENTS"), ("DELETE", "/v1/health")],
)
def test_an_unknown_route_is_a_404(api: Api, method: str, path: str) -> None:
    reply = api.ask(method, path)
    assert (reply.status, reply.json) == (404, {"message": "Not Found"})
    assert api.functions.calls == []


@pytest.mark.parametrize(
    ("content_type", "size"),
    [
        pytest.param("application/json", gateway.MAX_BODY + 1, id="over what API Gateway takes"),
        pytest.param("application/json", gateway.MAX_EVENT, id="over what Lambda takes"),
        pytest.param("application/octet-stream", gateway.MAX_EVENT * 3 // 4, id="over it once in base64"),
    ],
)
def test_a_body_that_is_too_large_reaches_no_function(api: Api, content_type: str, size: int) -> None:
    reply = api.ask("POST", "/v1/events", b"1" * size, [("Content-Type", content_type)])
    assert (reply.status, reply.json) == (413, {"message": "Request Entity Too Large"})
    assert api.functions.calls == []


def test_the_largest_body_that_the_product_takes_passes(api: Api) -> None:
    event = api.event("POST", "/v1/events", b"1" * 4_500_000, [("Content-Type", "application/json")])
    assert len(event["body"]) == 4_500_000


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param({"statusCode": 401, "body": "no"}, 401, b"no", id="status and text"),
        pytest.param({"statusCode": 200, "body": "/w==", "isBase64Encoded": True}, 200, b"\xff", id="base64"),
        pytest.param({"statusCode": 204}, 204, b"", id="no body"),
        pytest.param({"statusCode": 200, "body": None}, 200, b"", id="a null body"),
        pytest.param({"hello": 1}, 200, b'{"hello": 1}', id="no status: the answer is the body"),
        pytest.param(["a"], 200, b'["a"]', id="a list is a body too"),
    ],
)
def test_a_function_result_becomes_an_http_response(api: Api, answer: Any, status: int, body: bytes) -> None:
    api.functions.answer = answer
    reply = api.ask("GET", "/v1/health")
    assert (reply.status, reply.body) == (status, body)


def test_the_headers_of_a_result_are_sent(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Retry-After": "5"}
    api.functions.answer = {"statusCode": 503, "headers": headers, "body": "{}"}
    reply = api.ask("GET", "/v1/health")
    assert (reply.headers["retry-after"], reply.headers["content-type"]) == ("5", "application/json")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(FunctionError("timed out after 10 s"), id="the function failed"),
        pytest.param({"statusCode": "soon"}, id="a status that is no number"),
        pytest.param({"statusCode": 200, "body": {"a": 1}}, id="a body that is no text"),
        pytest.param({"statusCode": 200, "body": "a", "isBase64Encoded": True}, id="base64 that is none"),
        pytest.param({"statusCode": 200, "headers": ["x"]}, id="headers that are none"),
    ],
)
def test_a_function_that_fails_is_a_500_without_its_reason(api: Api, answer: Any) -> None:
    api.functions.answer = answer
    reply = api.ask("GET", "/v1/health")
    assert (reply.status, reply.json) == (500, {"message": "Internal Server Error"})
