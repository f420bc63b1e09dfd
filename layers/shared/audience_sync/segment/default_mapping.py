"""The mapping of a destination that has stored none: Segment's own default, extended."""

from typing import Any

from audience_sync.fields import CONSENT_SIGNALS
from audience_sync.segment.compiled_mapping import Mapping


def first_passing(test: str, *paths: str) -> Any:
    """Return a directive for the first path that passes the test, `exists` or `blank`; else the last."""
    path = {"@path": paths[0]}
    if len(paths) == 1:
        return path
    return {"@if": {test: path, "then": path, "else": first_passing(test, *paths[1:])}}


def _trait(name: str, *, camel_case: str = "", in_address: str = "") -> Any:
    """Return a directive for a trait of track and identify events, in both spellings and in the address object."""
    names = [f"address.{in_address}"] * bool(in_address) + [name] + [camel_case] * bool(camel_case)
    paths = (f"$.{parent}.{spelling}" for parent in ("properties", "traits") for spelling in names)
    return first_passing("blank", *paths)


def _consent_signal(name: str) -> Any:
    # A consent signal of false is a value, which the test for blank would skip.
    return first_passing("exists", f"$.properties.{name}", f"$.traits.{name}")


DEFAULT_TRIGGER = 'type = "track" or type = "identify"'
"""By type alone: customers rename events, and the event itself says whether the member enters or exits."""

DEFAULT_MAPPING = Mapping(
    name="Default",
    trigger=DEFAULT_TRIGGER,
    fields={
        "external_user_id": {"@path": "$.userId"},
        "audience_id": {"@path": "$.context.personas.external_audience_id"},
        "email": first_passing("blank", "$.context.traits.email", "$.properties.email", "$.traits.email"),
        "phone": _trait("phone"),
        "first_name": _trait("first_name", camel_case="firstName"),
        "last_name": _trait("last_name", camel_case="lastName"),
        "address": _trait("address", in_address="street"),
        "city": _trait("city", in_address="city"),
        "state": _trait("state", in_address="state"),
        "postal": _trait("postal", camel_case="postalCode", in_address="postalCode"),
        **{field.name: _consent_signal(field.amazon_name) for field in CONSENT_SIGNALS if field.name != "ip"},
    },
)
"""Segment's own default, extended: traits of identify events, camelCase names and Segment's address object are also
read; if a value is empty, the next path is tried; the IP address, which would be in plain text, is not mapped."""
