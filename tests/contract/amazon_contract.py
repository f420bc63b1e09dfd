"""The contract with Amazon that `make watch` compares, and a check of request bodies against it."""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from scripts.api_changes import Parts, parent
from scripts.watch import CONTRACT

CONTRACTS = json.loads(CONTRACT.read_text(encoding="utf-8"))


def problems(parts: Parts, body: Any) -> list[str]:
    """Return the parts of a request body that are unknown, not as declared, or missing."""
    sent = list(_values("request", body))
    names = {name for name, _ in sent}
    missing = {name for name, facts in parts.items() if facts.get("required") and parent(name) in names} - names
    return sorted(missing) + [name for name, value in sent if name not in parts or not _fits(parts[name], value)]


def leaves(name: str, body: Any) -> set[str]:
    """Return the names of all that is not an object or a list."""
    return {each for each, value in _values(name, body) if not isinstance(value, dict | list)}


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    yield name, value
    inside = [(f"{name}[]", each) for each in value] if isinstance(value, list) else []
    inside += [(f"{name}.{field}", each) for field, each in value.items()] if isinstance(value, dict) else []
    for each in inside:
        yield from _values(*each)


def _fits(facts: dict[str, Any], value: Any) -> bool:
    schema = {fact: wanted for fact, wanted in facts.items() if fact not in ("required", "nullable", "deprecated")}
    return Draft202012Validator(schema).is_valid(value)
