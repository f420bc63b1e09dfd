"""The sandbox's rules for Ads Data Manager and the schema were written apart, and must agree."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from local.amazon.app import build_app
from local.amazon.data_manager.accounts import Account
from local.amazon.data_manager.datasets import Dataset, check_new_dataset
from local.amazon.data_manager.endpoints import ACTS
from local.amazon.data_manager.members import read_members
from local.amazon.data_manager.metrics import daily_metrics, read_wanted_datasets
from local.amazon.data_manager.sharing_rules import check_new_rule, list_rules
from local.amazon.exchange import SANDBOX
from local.amazon.refusals import Refusal
from tests.support.data_manager_schema import OPERATIONS, SCHEMA, validator
from tests.support.sandbox_bodies import EMAIL, OF_NOTHING

SANDBOX_STATE = build_app(client_id="c", client_secret="s", refresh_token="r")[SANDBOX]
TIME = "2026-11-28T05:30:00Z"
DATASET = Dataset(
    "adm-ds-1", 1, {"name": "lapsed"}, created=0, modified=0, match_share=1, finding="id", consent_everywhere=True
)
IDENTITY = {"hashedPiis": [{"em": EMAIL, "zip": EMAIL}, {"ph": EMAIL}], "externalIdentities": [{"liveRampId": "r"}]}
CONSENT = {
    "geo": {"countryCode": "DE", "ipAddress": "192.0.2.1"},
    "consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "DENIED"}, "tcf": "CPX", "gpp": "DBA"},
}
RULE = {"dataSetId": "d", "destinationAccountId": "ENTITY1", "marketplaceId": "ATVPDKIKX0DER", "accountEntityId": "E"}
DSP = {"audienceName": "Lapsed buyers", "externalAudienceId": "x", "description": ""}

FULL: dict[str, list[dict[str, Any]]] = {
    "PatchTermsRequest": [{"agreementToken": "x", "hasAccepted": True}],
    "CreateAudienceRequest": [
        {"name": "lapsed_1-X", "countryCode": "UNKNOWN", "description": "d", "idRetention": True}
    ],
    "AudienceMembersRequest": [
        {
            "members": [
                {"externalUserId": "ada", "action": "CREATE", "userIdentity": IDENTITY, "userConsent": CONSENT},
                {"externalUserId": "a@b ü", "action": "DELETE", "userIdentity": {"hashedPiis": [{"fn": EMAIL}] * 10}},
            ]
        }
    ],
    "ListDataSetsRequest": [{"datasetIds": ["a", "b"]}, {}],
    "MetricsAggregatesRequest": [{"startDate": TIME, "endDate": TIME, "metrics": ["VALID", "RESOLVED"]}, {}],
    "CreateSharingRuleRequest": [
        {**RULE, "application": "DSP_AUDIENCES", "metadata": {"audienceMetadata": DSP}},
        {**RULE, "application": "AMAZON_MARKETING_CLOUD", "metadata": {"amcMetadata": {"amcInstanceId": "amc1"}}},
    ],
    "ListSharingRulesRequest": [
        {
            "application": "DSP_AUDIENCES",
            "datasetIds": ["a"],
            "statuses": ["ACTIVE"],
            "destinationAccountId": "d",
            "activatedAfter": TIME,
            "activatedBefore": TIME,
            "maxResults": 100,
        },
        {},
    ],
    "IdentityDeletionRequest": [{"targetIdentities": [{"externalUserId": "ada"}, {"identity": IDENTITY}]}],
}


ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63 - 1, 2**64, 1.5, -0.5),
    *" ;x;US;us;UK;DSP;CREATE;DELETE;DENIED;GRANTED;EVENTS_MANAGER;ada@example.com;ada\n".split(";"),
    *("", "x" * 10, "x" * 128, "x" * 129, "x" * 1001, EMAIL, EMAIL.upper(), EMAIL + "\n", OF_NOTHING),
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


def accept_terms(body: dict[str, Any]) -> None:
    """Accept whatever the token is."""
    token = body.get("agreementToken")
    Account("a", token if isinstance(token, str) else "t", has_accepted=False, room_since=None).accept_terms(body)


def delete_identities(body: dict[str, Any]) -> None:
    manager = SANDBOX_STATE.data_manager
    manager.delete_identities(manager.account("", "a", 0), body, 1, 0)


def send_members(body: dict[str, Any]) -> None:
    _, rejected = read_members(body)
    for refusal in rejected.values():
        raise refusal


CHECKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "PatchTermsRequest": accept_terms,
    "CreateAudienceRequest": check_new_dataset,
    "AudienceMembersRequest": send_members,
    "ListDataSetsRequest": read_wanted_datasets,
    "MetricsAggregatesRequest": lambda body: daily_metrics(DATASET, body),
    "CreateSharingRuleRequest": check_new_rule,
    "ListSharingRulesRequest": lambda body: list_rules([], body),
    "IdentityDeletionRequest": delete_identities,
}


def is_accepted(check: Callable[[dict[str, Any]], object], body: dict[str, Any]) -> bool:
    try:
        check(body)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("name", CHECKS)
def test_sandbox_and_schema_agree_on_every_variation_of_a_body(name: str) -> None:
    for full in FULL[name]:
        for body in [full, *variations(full)]:
            assert is_accepted(CHECKS[name], copy.deepcopy(body)) == validator(name).is_valid(body), json.dumps(body)
        assert is_accepted(CHECKS[name], full)


@pytest.mark.parametrize(
    ("name", "field", "most"),
    [("AudienceMembersRequest", "members", 10_000), ("IdentityDeletionRequest", "targetIdentities", 1_000)],
)
def test_the_longest_list_is_that_of_the_schema(name: str, field: str, most: int) -> None:
    assert SCHEMA["$defs"][name]["properties"][field]["maxItems"] == most
    entry = FULL[name][0][field][0]
    assert [is_accepted(CHECKS[name], {field: [entry] * number}) for number in (most, most + 1)] == [True, False]


def test_the_sandbox_has_exactly_the_operations_of_the_schema() -> None:
    declared = {(each["method"], each["path"]): each for each in OPERATIONS}
    assert {(each.method, each.path) for each in ACTS} == declared.keys()
    for each in ACTS:
        row = declared[each.method, each.path]
        assert (each.sends, each.answers, each.errors) == (row["sends"], row["answers"], row["errors"]), each.path
        assert (each.status, each.states_request) == (row["status"], row["statesRequest"]), each.path
        assert each.needs_body is row.get("needsBody", False), each.path
        assert (each.managers, each.advertisers) == (frozenset(row["managers"]), frozenset(row["advertisers"])), (
            each.path
        )
