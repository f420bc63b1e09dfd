"""Requests that schemathesis makes from docs/openapi.yaml, right and wrong ones, through the gateway to the functions.

Whatever is sent, with a key, with a signature or without: the answer is one that the document has and never a 5xx, it
is no redirect, it is below 8 KB, it and the log repeat nothing of the request, and what is refused has queued nothing.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.conftest import AUDIENCE_KEY
from tests.fuzz.invariants import assert_is_safe_id, assert_log_repeats_nothing, assert_repeats_nothing
from tests.fuzz.mutations import changed
from tests.support.api_description import MAX_ANSWER, description, operations
from tests.support.cloud import EVENT_KEY, SIGNING_SECRET, Cloud

REQUESTS = 60  # of each route, from the description and from examples
SCHEMA = schemathesis.openapi.from_dict(description())
ROUTES = [route for route in operations() if route != "GET /v1/health"]
CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

type Credential = Callable[[str, bytes], dict[str, str]]  # of a key and a body


def _basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"segment:{key}".encode()).decode()


def _signature(body: bytes) -> str:
    return hmac.new(SIGNING_SECRET.encode(), body, hashlib.sha1).hexdigest()


RIGHT: dict[str, Credential] = {
    "bearer token": lambda key, _: {"Authorization": f"Bearer {key}"},
    "password": lambda key, _: {"Authorization": _basic(key)},
    "x-api-key": lambda key, _: {"x-api-key": key},
    "key and wrong signature": lambda key, _: {"x-api-key": key, "X-Signature": "0" * 40},
}
WRONG: dict[str, Credential] = {
    "none": lambda _key, _body: {},
    "wrong key": lambda _key, _body: {"Authorization": "Bearer a-key-that-is-not-ours-4"},
    "signature of another body": lambda _, body: {"X-Signature": _signature(body + b" ")},
}


@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_fits_openapi_yaml(api: str, cloud: Cloud, printed: Callable[[], str], route: str) -> None:
    method, path = route.split()
    operation = SCHEMA[path][method]
    is_of_events = route == "POST /v1/events"
    key = EVENT_KEY if is_of_events else AUDIENCE_KEY
    signature: dict[str, Credential] = {"signature": lambda _, body: {"X-Signature": _signature(body)}}
    right, wrong = (RIGHT | signature, WRONG) if is_of_events else (RIGHT, WRONG | signature)
    names = st.sampled_from([*right, *right, *wrong])
    examples = [
        example["value"]
        for example in operations()[route]["requestBody"]["content"]["application/json"]["examples"].values()
    ]
    seen: set[int] = set()

    def check(response: requests.Response, name: str, queued: int) -> None:
        seen.add(response.status_code)
        assert (response.status_code == 401) is (name in wrong), "who is let in"
        _check(response, len(cloud.changes()) - queued)

    @_fixed
    @given(st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)), names)
    def send_from_the_description(case: Any, name: str) -> None:
        queued = len(cloud.changes())
        response = _send(case.as_transport_kwargs(base_url=api), lambda body: (right | wrong)[name](key, body))
        case.validate_response(response, checks=CHECKS)
        check(response, name, queued)

    @_fixed
    @given(st.sampled_from(examples), st.integers(0, 2**32), names)
    def send_a_changed_example(example: Any, number: int, name: str) -> None:
        queued = len(cloud.changes())
        body = changed(json.dumps(example).encode(), Random(number))
        request = {"method": method, "url": api + path, "data": body, "headers": {"Content-Type": "application/json"}}
        response = _send(request, lambda sent: (right | wrong)[name](key, sent))
        operation.validate_response(response)
        check(response, name, queued)

    send_from_the_description()
    send_a_changed_example()
    assert {200, 400, 401} <= seen, "requests of every kind were made"
    assert cloud.changes() or not is_of_events
    assert_log_repeats_nothing(map(json.loads, printed().splitlines()))


def _fixed(test: Callable[..., None]) -> Callable[[], None]:
    """Have Hypothesis make always the same requests."""
    run = settings(
        max_examples=REQUESTS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return cast("Callable[[], None]", seed(1)(run(test)))


def _send(arguments: dict[str, Any], credential: Callable[[bytes], dict[str, str]]) -> requests.Response:
    """Send a request with a credential in place of what was made up for it."""
    names = ("method", "url", "json", "data", "params", "cookies", "headers")
    request = requests.Request(**{name: value for name, value in arguments.items() if name in names})
    with requests.Session() as session:
        session.trust_env = False
        prepared = session.prepare_request(request)
        for name in ("Authorization", "x-api-key", "X-Signature"):
            prepared.headers.pop(name, None)
        body = prepared.body or b""
        prepared.headers.update(credential(body.encode() if isinstance(body, str) else body))
        return session.send(prepared, timeout=60, allow_redirects=False)


def _check(response: requests.Response, queued: int) -> None:
    body: dict[str, Any] = response.json()
    assert not response.is_redirect
    assert len(response.content) < MAX_ANSWER
    assert response.status_code == 200 or not queued, "a refused request has queued a change"
    assert not queued or body["accepted"], "a change is queued though no event was accepted"
    assert_repeats_nothing(str(body.get("error", "")))
    for listed in (body.get("faults", ()), body.get("differs", ()), body.get("rejections", ())):
        for each in listed:
            if "messageId" in each:
                assert_is_safe_id(each.pop("messageId"))
            assert_repeats_nothing(" ".join(map(str, each.values())))
