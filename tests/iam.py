"""Evaluates the IAM policies of docs/ as AWS does, as far as they go: all statements are Allow."""

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.template import ROOT

DEPLOYER = ROOT / "docs/deployer-policy.json"
BOUNDARY = ROOT / "docs/permissions-boundary.json"


def statements(policy: Path) -> list[dict[str, Any]]:
    """Read the policy's statements."""
    read: list[dict[str, Any]] = json.loads(policy.read_text(encoding="utf-8"))["Statement"]
    return read


def listed(value: str | list[str]) -> list[str]:
    """Return the values of a field that may hold one or several."""
    return [value] if isinstance(value, str) else value


def _arn_like(arn: str, pattern: str) -> bool:
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)  # a * matches within one part
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


COMPARE: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": str.__eq__,
    "StringLike": fnmatchcase,
    "ArnLike": _arn_like,
    "ForAllValues:StringEquals": str.__eq__,  # of requests that have one value
}


def allows(
    policy: Iterable[dict[str, Any]], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a statement allows the action on the resource.

    Args:
        policy: its statements.
        action: as in `sqs:CreateQueue`, in any case.
        resource: an ARN, or * for an action without one.
        context: the request's condition keys. A key that a request lacks satisfies no condition.
    """
    return any(
        any(fnmatchcase(action.lower(), each.lower()) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context or {})
        for statement in policy
    )


def _holds(condition: Mapping[str, Mapping[str, str | list[str]]], context: Mapping[str, str]) -> bool:
    return all(
        key in context and any(COMPARE[operator](context[key], value) for value in listed(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )
