"""The sandbox and the schema of the API reference were written apart: where one takes a body, so must the other."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.amazon.records import read_upload
from local.amazon.refusals import Refusal
from local.amazon.validation import (
    check_acceptance,
    check_audience_update,
    check_new_audience,
    check_new_connection,
)
from tests.contract.data_manager_schema import kind_of_validator
from tests.local import sandbox_bodies as bodies
from tests.local.sandbox_bodies import EMAIL, FEE, OF_NOTHING, Row
from tests.local.sandbox_server import Amazon, member, sandbox

SCHEMA = Path(__file__).parents[2].parent / "shared" / "reference" / "amazon-ads-audiences.schema.json"
pytestmark = pytest.mark.skipif(
    not SCHEMA.exists(), reason="shared/reference/amazon-ads-audiences.schema.json is absent"
)

type Check = Callable[[dict[str, Any]], object]

CHECKS: dict[str, Check] = {
    "ManageAudienceRequest": read_upload,
    "CreateAudienceMetadataRequest": check_new_audience,
    "UpdateAudienceMetadataRequest": check_audience_update,
    "CreateConnectionRequest": check_new_connection,
    "AcceptTermsRequest": check_acceptance,
}

TABLES: dict[str, list[list[Row]]] = {
    "ManageAudienceRequest": [bodies.TAKEN_UPLOADS, bodies.REFUSED_UPLOADS],
    "CreateAudienceMetadataRequest": [bodies.TAKEN_AUDIENCES, bodies.REFUSED_AUDIENCES],
    "UpdateAudienceMetadataRequest": [bodies.TAKEN_UPDATES, bodies.REFUSED_UPDATES],
    "CreateConnectionRequest": [bodies.TAKEN_CONNECTIONS, bodies.REFUSED_CONNECTIONS],
    "AcceptTermsRequest": [bodies.REFUSED_ACCEPTANCES],
}

FULL: dict[str, dict[str, Any]] = {
    "ManageAudienceRequest": {
        "audienceId": 418273650912345679,
        "targetResource": {"connectionId": "c", "targetTypes": ["DSP"]},
        "records": [
            {
                "externalUserId": "ada",
                "action": "CREATE",
                "countryCode": "US",
                "hashedPII": [{"email": EMAIL, "firstname": EMAIL}],
                "measurements": {},
                "userConsent": {
                    "geo": {"countryCode": "GB", "ipAddress": "192.0.2.1"},
                    "consent": {"amzn": {"amznAdStorage": "GRANTED"}, "tcf": "CPX", "gpp": "DBA"},
                },
            }
        ],
    },
    "CreateAudienceMetadataRequest": {
        "name": "Lapsed buyers",
        "description": "",
        "countryCode": "US",
        "targetResource": {"advertiserId": 590071284455661235},
        "metadata": {"externalAudienceId": "lapsed", "ttl": 5, "audienceFees": [FEE]},
    },
    "UpdateAudienceMetadataRequest": {"description": "", "metadata": {"ttl": 5, "audienceFees": [FEE]}},
    "CreateConnectionRequest": {"amcInstanceId": "i", "dspAdvertiserId": "5", "connectionId": "c", "isDefault": True},
    "AcceptTermsRequest": {"agreementToken": "t", "hasAccepted": True},
}

# No 1.0 and nothing from 2**63 to 2**64: there the sandbox is stricter, since a schema cannot tell 1 from 1.0 and
# Amazon reads ids into a signed long.
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63 - 1, 2**64, 1.5, -0.5, 34_300_800, 34_300_801),
    *(
        "",
        " ",
        "x",
        "US",
        "us",
        "UK",
        "DSP",
        "USD",
        "CREATE",
        "DELETE",
        "DENIED",
        "GRANTED",
        "ada@example.com",
        "ada\n",
    ),
    *("x" * 10, "x" * 128, "x" * 129, "x" * 1001, EMAIL, EMAIL.upper(), EMAIL + "\n", OF_NOTHING),
    *([], [None], [[]], ["DSP"], ["DSP", "DSP"], [EMAIL], {}, {"email": EMAIL}, {"x": 1}, [{}], [{"email": EMAIL}]),
]


def variations(body: Any) -> Iterator[Any]:
    """Yield the body with one spot changed: another value, a missing field, or one field too many."""
    for path in spots(body):
        for odd in ODD:
            yield replaced(body, path, partial(put, odd))
        yield replaced(body, path, lambda holder, key: holder.__delitem__(key))
        yield replaced(body, path, lambda holder, _: holder.update(x=1) if isinstance(holder, dict) else None)


def put(value: Any, holder: Any, key: Any) -> None:
    holder[key] = value


def spots(value: Any) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (key,)
        yield from ((key, *rest) for rest in spots(below))


def replaced(body: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    varied = holder = copy.deepcopy(body)
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return varied


@pytest.fixture(scope="module")
def validator_of() -> Callable[[str], Any]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return lambda name: kind_of_validator()(schema | {"$ref": f"#/$defs/{name}"})


def is_taken(check: Check, body: Any) -> bool:
    try:
        check(body)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("name", CHECKS)
def test_every_example_is_judged_as_the_schema_judges_it(name: str, validator_of: Callable[[str], Any]) -> None:
    validator = validator_of(name)
    for row, body, _ in [row for table in TABLES[name] for row in table]:
        assert is_taken(CHECKS[name], body) == validator.is_valid(body), row


@pytest.mark.parametrize("name", CHECKS)
def test_every_small_change_of_a_full_body_is_judged_as_the_schema_judges_it(
    name: str, validator_of: Callable[[str], Any]
) -> None:
    validator = validator_of(name)
    assert is_taken(CHECKS[name], FULL[name])
    assert validator.is_valid(FULL[name])
    for body in variations(FULL[name]):
        assert is_taken(CHECKS[name], body) == validator.is_valid(body), json.dumps(body)[:2000]


def test_every_answer_has_the_shape_that_the_schema_gives_it(validator_of: Callable[[str], Any]) -> None:
    with sandbox() as amazon:
        for name, answer in answers(amazon):
            validator_of(name).validate(answer)


def answers(amazon: Amazon) -> Iterator[tuple[str, Any]]:
    metadata, links = "/amc/audiences/metadata", "/amc/audiences/connections"
    yield "LwaTokenResponse", amazon.login().json()
    yield "LwaErrorResponse", amazon.login(refresh_token="unknown").json()
    created = amazon.call("POST", metadata, FULL["CreateAudienceMetadataRequest"]).json()
    audience_id = created["audienceId"]
    yield "CreateAudienceMetadataResponse", created
    update = {"description": "new"}
    yield "UpdateAudienceMetadataResponse", amazon.call("PUT", f"{metadata}/{audience_id}", update).json()
    yield "ErrorAudiences", amazon.call("POST", metadata, {}).json()
    for wanted in (audience_id, 5):
        queued = amazon.send(wanted, member("ada")).json()
        yield "ManageAudienceResponse", queued
        yield "ManageAudienceStatusResponse", amazon.job(queued["jobRequestId"])
        amazon.settle()
        yield "ManageAudienceStatusResponse", amazon.job(queued["jobRequestId"])
    yield "GetAudienceMetadataResponse", amazon.call("GET", f"{metadata}/{audience_id}").json()
    yield "CreateConnectionResponse", amazon.call("POST", links, FULL["CreateConnectionRequest"]).json()
    yield "ListConnectionsResponse", amazon.call("GET", links).json()
    yield "ErrorConnections", amazon.call("POST", links, {}).json()
    yield "GetTermsResponse", amazon.call("GET", f"{links}/terms").json()
