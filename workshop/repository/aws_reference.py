"""AWS's Service Authorization Reference and resource schemas, in the copies that the pinned cfn-lint ships."""

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

DATA = Path(str(distribution("cfn-lint").locate_file("cfnlint/data")))


@cache
def _read(path: str) -> Any:
    return json.loads((DATA / path).read_text(encoding="utf-8"))


def _service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _read("AdditionalSpecs/Policies.json")[name]
    return found


def actions(pattern: str) -> list[str]:
    """Return the actions of the reference that a policy's pattern covers, in lower case."""
    service, _, name = pattern.lower().partition(":")
    return [f"{service}:{each}" for each in _service(service)["Actions"] if fnmatchcase(each, name)]


def is_checked_on(action: str, resource: str) -> bool:
    """Return whether AWS checks the action on such a resource: an ARN, or * for actions that know nothing else.

    Raises:
        KeyError: the reference has no such action.
    """
    service, _, name = action.lower().partition(":")
    types = _service(service)["Actions"][name].get("Resources", ())
    stated = [_service(service)["Resources"].get(each.lower(), {}).get("ARNFormats", ()) for each in types]
    forms = [re.sub(r"\$\{\w+\}", "[^:]*", form) for formats in stated for form in formats]
    return any(re.fullmatch(form, resource) for form in forms) if types else resource == "*"


@cache
def schema(resource_type: str) -> dict[str, Any]:
    """Return the schema of a CloudFormation type, from the region with the most complete ones."""
    name = _read("schemas/providers/us-east-1.json")[resource_type]
    found: dict[str, Any] = _read(f"schemas/resources/{name}.json")
    return found


def replacing(resource_type: str) -> list[str]:
    """Return the properties of a CloudFormation type whose change replaces the resource."""
    fixed = schema(resource_type).get("createOnlyProperties", ())
    conditionally = schema(resource_type).get("conditionalCreateOnlyProperties") or ()
    return [each.removeprefix("/properties/") for each in (*fixed, *conditionally)]
