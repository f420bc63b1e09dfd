"""docs/openapi.yaml describes the API as template.yaml and the code have it.

That every answer is described is checked in each test of the functions: see `described` in tests/support/cloud.py.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from audience_sync.reasons import REJECTED, Reason
from audience_sync.segment.request_body import MAX_EVENTS
from functions.ingest import handler as ingest
from local.template import Template
from tests.support.api_description import PATH, description, operations, resolved, validator
from tests.support.cloud import EVENT_KEY, Cloud, Context

ROOT = PATH.parents[1]
EXAMPLES = [
    pytest.param(content["schema"], example, id=f"{route}, {media_type}: {name}")
    for route, operation in operations().items()
    for media_type, content in operation.get("requestBody", {"content": {}})["content"].items()
    for name, example in content["examples"].items()
]
SHARED = ROOT / "events/segment"
LISTED = json.loads((SHARED / "index.json").read_bytes())["files"]
ROUTES = {"create-audience": "POST /v1/audiences", "get-audience": "POST /v1/audiences/get"}
# What a sender of events may call its bodies, beside the media types in the document.
OTHER_MEDIA_TYPES = set(
    """application/x-ndjson application/ndjson application/jsonl application/x-json application/json-seq text/json
    text/csv text/plain text/xml application/xml application/cbor application/msgpack application/avro application/gzip
    application/octet-stream application/x-www-form-urlencoded multipart/form-data""".split()
)


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = description()["components"]["schemas"][name]
    return schema


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of the document."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def test_the_document_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(description()).validate()
    for schema in [*schemas(description()["paths"]), *description()["components"]["schemas"].values()]:
        validator(schema).check_schema(schema)


def test_routes_match_the_template() -> None:
    assert list(operations()) == [
        *(f"{route.method} {route.path}" for route in Template.load().routes() if route.method == "POST"),
        "GET /v1/health",
    ]
    assert set(operations()) == {f"{route.method} {route.path}" for route in Template.load().routes()}


def test_rejection_reasons_match_the_code() -> None:
    assert schema_of("Reason")["enum"] == sorted(reason for reason in Reason if reason.effects >= REJECTED)


def test_limits_match_the_code() -> None:
    result = schema_of("EventsResult")["properties"]
    assert result["rejections"]["maxItems"] == ingest.LISTED
    assert schema_of("Events")["oneOf"][1]["maxItems"] == MAX_EVENTS
    assert schema_of("Rejection")["properties"]["index"]["maximum"] == MAX_EVENTS - 1


def test_ingest_accepts_the_media_types_of_the_document_and_no_other(cloud: Cloud) -> None:
    described = {*operations()["POST /v1/events"]["requestBody"]["content"]}
    cloud.enter("IngestFunction")
    headers = {"authorization": f"Bearer {EVENT_KEY}"}
    statuses = {
        media_type: ingest.lambda_handler(
            {"routeKey": "POST /v1/events", "headers": headers | {"content-type": media_type}, "body": "[]"}, Context()
        )["statusCode"]
        for media_type in described | OTHER_MEDIA_TYPES
    }
    assert {media_type for media_type, status in statuses.items() if status != 415} == described


@pytest.mark.parametrize(("schema", "example"), EXAMPLES)
def test_an_example_body_fits_its_schema_and_equals_the_shared_event(
    schema: dict[str, Any], example: dict[str, Any]
) -> None:
    validator(schema).validate(example["value"])
    assert example["value"] == json.loads((ROOT / example["summary"]).read_bytes())


def test_the_index_lists_every_shared_segment_request() -> None:
    assert sorted(path.name for path in SHARED.iterdir()) == [*(each["file"] for each in LISTED), "index.json"]


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed["file"])
def test_a_shared_segment_request_fits_the_schema_of_its_route(listed: dict[str, Any]) -> None:
    content = operations()[ROUTES.get(listed["kind"], "POST /v1/events")]["requestBody"]["content"]
    body = json.loads((SHARED / listed["file"]).read_bytes())
    is_complete = listed["note"] != "no extras configured"  # else the answer says what is missing
    assert validator(content["application/json"]["schema"]).is_valid(body) == is_complete


@pytest.mark.parametrize("route", operations())
def test_an_example_answer_fits_its_schema(route: str) -> None:
    for status, response in operations()[route]["responses"].items():
        content = resolved(response)["content"]["application/json"]
        for example in content.get("examples", {}).values():
            validator(content["schema"]).validate(example["value"])
            assert status.isdigit()


def test_every_route_but_health_needs_a_credential() -> None:
    assert [route for route, operation in operations().items() if not operation["security"]] == ["GET /v1/health"]
