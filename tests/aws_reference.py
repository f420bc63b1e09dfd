"""AWS's Service Authorization Reference and resource schemas, in the copies that the pinned cfn-lint ships."""

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

DATA = Path(str(next(each.locate() for each in files("cfn-lint") or () if each.name == "Policies.json"))).parents[1]


@cache
def _read(path: str) -> Any:
    return json.loads((DATA / path).read_text(encoding="utf-8"))


def actions(pattern: str) -> list[str]:
    """Return the actions of the reference that a policy's pattern covers, in lower case."""
    service, _, name = pattern.lower().partition(":")
    known = _read("AdditionalSpecs/Policies.json")[service]["Actions"]
    return [f"{service}:{each}" for each in known if fnmatchcase(each, name)]


def resource_types(action: str) -> list[str]:
    """Return the types of resources that AWS checks the action on, as in `logs:log-group`; none if it knows * only.

    Raises:
        KeyError: the reference has no such action.
    """
    service, _, name = action.lower().partition(":")
    stated = _read("AdditionalSpecs/Policies.json")[service]["Actions"][name]
    return [f"{service}:{each.lower()}" for each in stated.get("Resources", ())]


def arn_formats(resource_type: str) -> list[str]:
    """Return the regular expressions of a type's ARNs, with variables such as ${Region}."""
    service, _, name = resource_type.partition(":")
    formats: list[str] = (
        _read("AdditionalSpecs/Policies.json")[service]["Resources"].get(name, {}).get("ARNFormats", [])
    )
    return formats


def schema(resource_type: str) -> dict[str, Any]:
    """Return the schema of a CloudFormation type, from the region with the most complete ones."""
    name = _read("schemas/providers/us-east-1.json")[resource_type]
    read: dict[str, Any] = _read(f"schemas/resources/{name}.json")
    return read


def replacing(resource_type: str) -> list[str]:
    """Return the properties of a CloudFormation type whose change replaces the resource."""
    read = schema(resource_type)
    fixed = [*read.get("createOnlyProperties", ()), *(read.get("conditionalCreateOnlyProperties") or ())]
    return [each.removeprefix("/properties/") for each in fixed]
