"""docs/permissions-boundary.json allows the roles of the functions what they need, on the stack, and nothing else."""

import json
import re
from collections.abc import Iterator

import pytest

from local.template import ACCOUNT, REGION, ROOT, Template
from tests.support.iam import BOUNDARY, STACK, allows, arns, listed, statements

ALLOWED = statements(BOUNDARY)
ARN = f"arn:aws:iam::{ACCOUNT}:policy/audience-sync-boundary"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"
GUIDE = (ROOT / "docs/operate.md").read_text(encoding="utf-8")


def _template(**parameters: str) -> Template:
    """The template with the names that CloudFormation gives to what roles name."""
    template = Template.load({"AWS::StackName": STACK, **parameters})
    for logical_id, arn in arns().items():
        template.name(logical_id, arn, Arn=arn)
    return template


def _needed() -> Iterator[tuple[str, str, str]]:
    """Each role, with every action and every resource that its policies name."""
    template = _template()
    for role, properties in template.resources("AWS::IAM::Role").items():
        for policy in properties["Policies"]:
            for statement in template.resolve(policy["PolicyDocument"]["Statement"]):
                for action in listed(statement["Action"]):
                    for resource in listed(statement["Resource"]):
                        yield role, action, resource


@pytest.mark.parametrize(("role", "action", "resource"), sorted(set(_needed())))
def test_the_boundary_allows_every_action_of_every_role(role: str, action: str, resource: str) -> None:
    assert allows(ALLOWED, action, resource), role


def test_the_boundary_allows_no_action_that_no_role_has() -> None:
    needed = {action for _, action, _ in _needed()}
    assert {action for statement in ALLOWED for action in listed(statement["Action"])} == needed


def test_only_metrics_and_secrets_are_allowed_outside_the_stack() -> None:
    wide = [each["Sid"] for each in ALLOWED if any("audience-sync" not in arn for arn in listed(each["Resource"]))]
    assert wide == ["Secrets", "Metrics"]
    unnamed = [arn for arn in listed(ALLOWED[0]["Resource"]) if "audience-sync" not in arn]
    secrets = Template.load().resources("AWS::SecretsManager::Secret")  # CloudFormation names them by their logical ids
    assert sorted(unnamed) == sorted(f"arn:aws:secretsmanager:*:*:secret:{name}-*" for name in secrets)


@pytest.mark.parametrize(
    ("parameter", "expected"), [("", None), (ARN, ARN)], ids=["none by default", "the one that is given"]
)
def test_every_role_of_the_template_has_the_boundary(parameter: str, expected: str | None) -> None:
    template = _template(PermissionsBoundary=parameter)
    roles = template.resources("AWS::IAM::Role")
    assert len(roles) == len(template.functions())
    assert {template.resolve(role["PermissionsBoundary"]) for role in roles.values()} == {expected}


def test_the_guides_statement_for_a_customer_key_allows_what_roles_need() -> None:
    section = GUIDE.split("\n## A key of your own\n")[1].split("\n## ")[0]
    added = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]
    (statement,) = [each for each in added if each.get("Sid") == "KeyOfFunctions"]
    (policy,) = _template(KmsKeyArn=KEY).resources("AWS::IAM::Policy").values()
    actions: list[str] = policy["PolicyDocument"]["Statement"][0]["Action"]
    assert statement["Resource"] == "arn:aws:kms:REGION:ACCOUNT:key/KEY"
    assert {action for action in actions if not allows([statement], action, statement["Resource"])} == set()
