"""docs/openapi.yaml, and whether an answer is one that it describes."""

import json
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from local.template import ROOT

PATH = ROOT / "docs/openapi.yaml"
MAX_ANSWER = 8_000  # bytes of a body; Segment's client hangs on large ones


@cache
def description() -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = yaml.load(PATH.read_text(), Loader=yaml.CSafeLoader)
    return document


def operations() -> dict[str, dict[str, Any]]:
    """Return what the document says about each route, such as `POST /v1/events`."""
    paths = description()["paths"]
    return {f"{method.upper()} {path}": found for path, methods in paths.items() for method, found in methods.items()}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference of the document, if the node is one."""
    while "$ref" in node:
        found: Any = description()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


@cache
def _validator(route: str, status: str) -> Draft202012Validator:
    content = resolved(operations()[route]["responses"][status])["content"]
    return validator(content["application/json"]["schema"])


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of one schema of the document."""
    return Draft202012Validator(schema | {"components": description()["components"]})


def assert_described(route: str, answer: dict[str, Any]) -> None:
    """Assert that the document has the answer of a function: its status, body and headers."""
    status = str(answer["statusCode"])
    responses = operations()[route]["responses"]
    assert status in responses, f"{route} answers {status}, which docs/openapi.yaml does not have"
    errors = [error.message for error in _validator(route, status).iter_errors(json.loads(answer["body"]))]
    assert not errors, f"{route}, {status}: {errors}"
    assert answer["headers"]["Content-Type"] == "application/json"
    for name, header in resolved(responses[status]).get("headers", {}).items():
        value = int(answer["headers"][name]) if header["schema"]["type"] == "integer" else answer["headers"][name]
        assert validator(header["schema"]).is_valid(value), name
