"""Evaluates the IAM policies of docs/, as far as they go, on the ARNs of a stack. All statements are Allow."""

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.template import ROOT, Template

DEPLOYER = ROOT / "docs/deployer-policy.json"
BOUNDARY = ROOT / "docs/permissions-boundary.json"
STACK, PLACE = "audience-sync", "eu-west-1:123456789012"
FORMS = {  # ARNs by type; what has no name of its own is named by CloudFormation, a secret without the stack's name
    "AWS::CloudWatch::Alarm": f"cloudwatch:{PLACE}:alarm:{{AlarmName}}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::123456789012:dashboard/{DashboardName}",
    "AWS::DynamoDB::Table": f"dynamodb:{PLACE}:table/{STACK}-{{id}}-1A2B",
    "AWS::IAM::Role": f"iam::123456789012:role/{STACK}-{{id}}-1A2B",
    "AWS::Logs::LogGroup": f"logs:{PLACE}:log-group:{{LogGroupName}}",
    "AWS::SNS::Topic": f"sns:{PLACE}:{STACK}-{{id}}-1A2B",
    "AWS::SQS::Queue": f"sqs:{PLACE}:{{QueueName}}",
    "AWS::SecretsManager::Secret": f"secretsmanager:{PLACE}:secret:{{id}}-1a2b3c4d5e6f-7g8h9i",
    "AWS::Serverless::Function": f"lambda:{PLACE}:function:{STACK}-{{id}}-1A2B",
    "AWS::Serverless::LayerVersion": f"lambda:{PLACE}:layer:{{LayerName}}",
}


def arns(*resource_types: str) -> dict[str, str]:
    """Return the ARNs of the template's resources, by logical id; of all types, if none is named."""
    template = Template.load({"AWS::StackName": STACK, "EventQueue": "yes", "DataManagerAccountId": "m"})
    return {
        logical_id: "arn:aws:" + FORMS[kind].format_map({"id": logical_id} | template.resolve(_names(properties)))
        for kind in resource_types or FORMS
        for logical_id, properties in template.resources(kind).items()
    }


def _names(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if key.endswith("Name")}


def statements(policy: Path) -> list[dict[str, Any]]:
    """Read the policy's statements."""
    read: list[dict[str, Any]] = json.loads(policy.read_text(encoding="utf-8"))["Statement"]
    return read


def listed(value: str | list[str]) -> list[str]:
    """Return the values of a field that may hold one or several."""
    return [value] if isinstance(value, str) else value


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
        any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context or {})
        for statement in about(action, policy)
    )


def about(action: str, policy: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements that name the action."""
    name = action.lower()
    return [each for each in policy if any(fnmatchcase(name, named.lower()) for named in listed(each["Action"]))]


def _holds(condition: Mapping[str, Mapping[str, str | list[str]]], context: Mapping[str, str]) -> bool:
    """Compare one value of each key. Patterns may be in every operand: no ARN of ours has a * in it."""
    return all(
        key in context and any(fnmatchcase(context[key], value) for value in listed(values))
        for keys in condition.values()
        for key, values in keys.items()
    )
