"""The schema of Ads Data Manager, and a check of every exchange with its sandbox against it."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import requests
from jsonschema import Draft202012Validator, ValidationError, validators

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "amazon-ads-data-manager.schema.json").read_text(encoding="utf-8")
)
OPERATIONS: list[dict[str, Any]] = SCHEMA["x-endpoints"]
REQUEST_ID = "Amazon-Advertising-API-RequestId"
FRONT_END = {405, 406, 413, 415}  # statuses that the shared front end adds to the declared ones


def kind_of_validator() -> Any:
    """Return a class of validators. JSON Schema's `$` is the end of the string; Python's is not quite."""

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not re.search(wanted.replace("$", r"\Z"), value):
            yield ValidationError("does not match")

    return validators.extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]


@cache
def validator(name: str) -> Any:
    """Return a validator of one definition."""
    return kind_of_validator()({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def check_exchange(answer: requests.Response, *_: Any, **__: Any) -> None:
    """Check a request that was accepted, and any answer, against the schema. For the hooks of a session."""
    operation = _operation(answer.request)
    if operation is None:
        return
    media_type = answer.headers.get("Content-Type")
    if answer.ok:
        assert answer.status_code == operation["status"]
        if "request" in operation and answer.request.body:
            sent = json.loads(answer.request.body)
            rejected = bool(answer.content) and answer.json().get("errors")
            assert rejected or validator(operation["request"]).is_valid(sent), "accepted against the schema"
        if "response" in operation:
            assert media_type == operation["answers"]
            validator(operation["response"]).validate(answer.json())
        else:
            assert answer.content == b""
        assert (REQUEST_ID in answer.headers) is operation["statesRequest"]
    else:
        assert answer.status_code in FRONT_END.union(operation["errorStatuses"])
        assert media_type == operation["errors"]
        validator("ErrorBodyWithDatasetId").validate(answer.json())
        assert REQUEST_ID in answer.headers


def _operation(request: requests.PreparedRequest) -> dict[str, Any] | None:
    path = str(request.path_url).partition("?")[0]
    for operation in sorted(OPERATIONS, key=lambda each: "{" in each["path"]):
        wanted = re.sub(r"\\?{\w+\\?}", "[^/]+", re.escape(operation["path"]))
        if operation["method"] == request.method and re.fullmatch(wanted, path):
            return operation
    return None
