"""No repr shows a secret, a header, a body, a trait or a digest: a repr ends up in logs and failed assertions."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

import audience_sync
from audience_sync.access.credentials import Keyring
from audience_sync.amazon_ads.login import Token
from audience_sync.amazon_ads.terms import Terms
from audience_sync.amazon_ads.upload import Target
from audience_sync.delivery.context import Message
from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Destination
from audience_sync.members.messages import ChangeMessage, DeliveryHistory
from audience_sync.runtime.api_gateway import Request
from audience_sync.segment.event import read
from tests.support.builders import change, upload_of

CANARY = "canary-4711"
# Fields that can hold anything by their type, and hold nothing that a sender or a secret store wrote.
HARMLESS = {
    ("AudienceUpdate", "body"): "settings of an audience",
    ("AudienceUpdate", "settings"): "settings of an audience",
    ("Audience", "settings"): "settings of an audience",
    ("Frame", "before"): "our own bytes, and an audience id",
    ("Frame", "after"): "our own bytes, and a connection id",
    ("Metric", "dimensions"): "names of AWS resources",
    ("Signs", "series"): "counts, by the names of our metrics",
    ("Signs", "watched"): "times, by our own names",
    ("Findings", "watched"): "times, by our own names",
    ("Counts", "accepted"): "numbers",
    ("Counts", "completed"): "numbers",
    ("Counts", "longest_wait"): "numbers",
    **{("History", name): "numbers, by day" for name in ("sizes", "in_dsp", "match_rates", "matched")},
    ("Mapping", "fields"): "the operator's own mapping",
    ("Mapping", "separators"): "the operator's own mapping",
    ("Mapping", "membership"): "the operator's own mapping",
    ("RowMembership", "kinds"): "the operator's own mapping",
    ("_Listing", "by_id"): "the listed audiences",
    ("_Listing", "by_key"): "the listed audiences",
    ("_Listing", "ambiguous"): "the listed audiences",
    ("PostalCode", "deleted"): "a constant",
    ("PostalCode", "shape"): "a constant",
    ("Rule", "table"): "a constant",
    ("Rule", "deleted"): "a constant",
    ("Rule", "rest"): "a function",
    ("Rule", "encode"): "a function",
    ("UploadRules", "encode"): "a function",
    ("CompiledField", "read"): "a function",
    ("RowMembership", "read"): "a function",
}


def record_classes() -> Iterator[type[Any]]:
    """Every dataclass, named tuple and model of the package."""
    for found in pkgutil.walk_packages(audience_sync.__path__, "audience_sync."):
        module = importlib.import_module(found.name)
        for name, member in vars(module).items():
            if inspect.isclass(member) and member.__module__ == found.name and name == member.__name__:
                is_tuple = issubclass(member, tuple) and hasattr(member, "_fields")
                if dataclasses.is_dataclass(member) or is_tuple or issubclass(member, BaseModel):
                    yield member


CLASSES = list(record_classes())


def filled(made: type[Any]) -> tuple[Any, list[str]]:
    """An instance whose every field holds its own name behind the canary, and the names of the fields."""
    if issubclass(made, BaseModel):
        names = list(made.model_fields)
        return made.model_construct(None, **{name: f"{CANARY}-{name}!" for name in names}), names
    if issubclass(made, tuple):
        names = list(made._fields)  # type: ignore[attr-defined]
        return made(*(f"{CANARY}-{name}!" for name in names)), names
    names = [each.name for each in dataclasses.fields(made)]
    instance = object.__new__(made)
    for name in names:
        object.__setattr__(instance, name, f"{CANARY}-{name}!")
    return instance, names


def can_hold_anything(annotation: Any) -> bool:
    named = " ".join(str(getattr(each, "__value__", each)) for each in (annotation, *get_args(annotation)))
    return any(word in named for word in ("bytes", "dict[", "Mapping[", "typing.Any"))


@pytest.mark.parametrize("made", CLASSES, ids=lambda made: made.__qualname__)
def test_repr_hides_every_field_that_can_hold_arbitrary_input(made: type[Any]) -> None:
    instance, names = filled(made)
    shown, hints = repr(instance), get_type_hints(made)
    open_fields = {name for name in names if can_hold_anything(hints[name])}
    assert [n for n in open_fields if f"{CANARY}-{n}!" in shown and (made.__name__, n) not in HARMLESS] == []


def test_every_harmless_field_exists() -> None:
    fields = {(made.__name__, name) for made in CLASSES for name in filled(made)[1]}
    assert HARMLESS.keys() <= fields


KEYS = {
    entry: f"{CANARY}-{entry}-of-good-length"
    for kind in ("eventKey", "audienceKey", "signingSecret")
    for entry in (kind, f"previous{kind[0].upper()}{kind[1:]}")
}
EVENT = {
    "type": "track",
    "messageId": CANARY,
    "userId": CANARY,
    "properties": {"email": CANARY},
    "traits": {"email": CANARY},
    "context": {"personas": {"audience_settings": {"note": CANARY}}, "traits": {"phone": CANARY}},
    "timestamp": CANARY,
}
CHANGE = change(CANARY, CANARY, country=CANARY, consent={"consent": CANARY})


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Keyring.from_json(KEYS), id="keyring"),
        pytest.param(
            Request.of(
                {
                    "routeKey": "POST /v1/events",
                    "headers": {"Authorization": CANARY},
                    "queryStringParameters": {"key": CANARY},
                    "body": json.dumps(EVENT),
                }
            ),
            id="request",
        ),
        pytest.param(Token(CANARY, 0.0), id="access token"),
        pytest.param(Terms(accepted=True, token=CANARY), id="terms"),
        pytest.param(read(EVENT, 0), id="event"),
        pytest.param(CHANGE, id="change"),
        pytest.param(ChangeMessage("1", Destination(), [CHANGE], DeliveryHistory()), id="message of changes"),
        pytest.param(Message("m1", CANARY, CANARY, 1, 0), id="message as received"),
        pytest.param(apply_changes(None, [CHANGE], now=0, timing=Timing(0)), id="row of a member"),
        pytest.param(upload_of(Target("1"), CANARY.encode()), id="upload"),
    ],
)
def test_repr_hides_secrets_bodies_traits_and_digests(record: Any) -> None:
    assert CANARY not in repr(record)
    assert CANARY not in str(record)
