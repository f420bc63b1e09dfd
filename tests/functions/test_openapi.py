"""docs/openapi.yaml describes the API as template.yaml and the code have it.

That every answer is described is checked in each test of the functions: see `described` in tests/support/cloud.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from audience_sync.reasons import REJECTED, Reason
from audience_sync.segment.request_body import MAX_EVENTS
from functions.ingest import handler as ingest
from local.template import Template
from tests.support.api_description import PATH, description, operations, resolved, validator

ROOT = PATH.parents[1]
EXAMPLES = [
    pytest.param(route, example, id=f"{route}: {name}")
    for route, operation in operations().items()
    if "requestBody" in operation
    for name, example in operation["requestBody"]["content"]["application/json"]["examples"].items()
]


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


def _bodies() -> list[dict[str, Any]]:
    return [operation["requestBody"] for operation in operations().values() if "requestBody" in operation]


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


@pytest.mark.parametrize(("route", "example"), EXAMPLES)
def test_an_example_body_fits_its_schema_and_equals_the_shared_event(route: str, example: dict[str, Any]) -> None:
    schema = operations()[route]["requestBody"]["content"]["application/json"]["schema"]
    validator(schema).validate(example["value"])
    assert example["value"] == json.loads((ROOT / example["summary"]).read_bytes())


@pytest.mark.parametrize("path", sorted((ROOT / "events" / "segment").glob("*.json")), ids=lambda path: path.stem)
def test_every_shared_segment_event_fits_a_request_schema(path: Path) -> None:
    if path.stem != "index":
        schemas = [body["content"]["application/json"]["schema"] for body in _bodies()]
        described = [validator(schema).is_valid(json.loads(path.read_bytes())) for schema in schemas]
        assert any(described) or path.stem == "16-webhook-audiences-create-body", "its answer says what is missing"


@pytest.mark.parametrize("route", operations())
def test_an_example_answer_fits_its_schema(route: str) -> None:
    for status, response in operations()[route]["responses"].items():
        content = resolved(response)["content"]["application/json"]
        for example in content.get("examples", {}).values():
            validator(content["schema"]).validate(example["value"])
            assert status.isdigit()


def test_every_route_but_health_needs_a_credential() -> None:
    assert [route for route, operation in operations().items() if not operation["security"]] == ["GET /v1/health"]
