"""docs/deployer-policy.json makes nobody an administrator, and the guide lists what it reaches beyond the stack.

Every action of every service in the policy is evaluated on what belongs to others. Source of the condition keys: the
Service Authorization Reference.
"""

import fnmatch
import json
import re
from collections import defaultdict

import pytest

from local.template import ROOT
from tests.support.iam import BOUNDARY, DEPLOYER, FORMS, PLACE, STACK, about, allows, listed, statements
from workshop.repository.aws_reference import actions

ALLOWED = statements(DEPLOYER)
LIMITED = statements(BOUNDARY)
IAM = "arn:aws:iam::123456789012"
ROLE = f"{IAM}:role/audience-sync-WorkerRole-1A2B"
LIMIT = f"{IAM}:policy/audience-sync-boundary"
SECTION = (ROOT / "docs/deploy.md").read_text(encoding="utf-8").split("\n## Permissions of the deployer\n")[1]
SECTION = SECTION.split("\n## ")[0]

OTHERS = (
    "*",
    *(f"arn:aws:{form}".format_map(defaultdict(lambda: "other")).replace(STACK, "other") for form in FORMS.values()),
    "arn:aws:apigateway:eu-west-1::/apis/f0r3ign",
    "arn:aws:apigateway:eu-west-1::/apis/f0r3ign/routes/1",
    "arn:aws:apigateway:eu-west-1::/restapis/f0r3ign",
    f"arn:aws:cloudformation:{PLACE}:stack/other/1",
    f"arn:aws:cloudformation:{PLACE}:stack/aws-sam-cli-managed-default/1",
    f"arn:aws:events:{PLACE}:rule/other",
    f"{IAM}:policy/other",
    LIMIT,
    f"{IAM}:policy/audience-sync-deployer",
    f"{IAM}:user/other",
    f"arn:aws:lambda:{PLACE}:event-source-mapping:1a2b",
    "arn:aws:s3:::other",
    "arn:aws:s3:::other/key",
    "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1",
    "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1/other/key",
)
CONTEXT_OF_OTHERS = {
    "iam:PassedToService": "ec2.amazonaws.com",
    "iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess",
    "lambda:FunctionArn": f"arn:aws:lambda:{PLACE}:function:other",
    "s3:prefix": "other/",
}
SERVICES = {"kms", "sts", *(action.partition(":")[0] for each in ALLOWED for action in listed(each["Action"]))}
ACTIONS = {action for each in SERVICES for action in actions(f"{each}:*")}


def test_the_policy_reaches_beyond_the_stack_only_where_the_guide_says_so() -> None:
    reached = {
        action
        for action in ACTIONS
        for policy in [about(action, ALLOWED)]
        for resource in OTHERS
        if allows(policy, action, resource, CONTEXT_OF_OTHERS) or allows(policy, action, resource)
    }
    rows = [row.split(" | ")[0] for row in SECTION.splitlines() if row.startswith("| `")]
    said = re.findall(r"`([a-z]+:[\w*]+)`", " ".join(rows).lower())
    assert [each for each in said if not fnmatch.filter(reached, each)] == []
    assert {each for each in reached if not any(fnmatch.fnmatchcase(each, name) for name in said)} == set()


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        pytest.param("iam:CreateRole", ROLE, {}, id="a role without a boundary"),
        pytest.param("iam:CreateRole", ROLE, {"iam:PermissionsBoundary": f"{IAM}:policy/other"}, id="another boundary"),
        pytest.param(
            "iam:CreateRole",
            ROLE,
            {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"},
            id="a boundary that allows everything",
        ),
        pytest.param("iam:PutRolePolicy", ROLE, {}, id="permissions for a role without a boundary"),
        pytest.param("iam:AttachRolePolicy", ROLE, {"iam:PermissionsBoundary": LIMIT}, id="a policy of AWS"),
        pytest.param("iam:UpdateAssumeRolePolicy", ROLE, {"iam:PermissionsBoundary": LIMIT}, id="trust in oneself"),
        pytest.param("iam:DeleteRolePermissionsBoundary", ROLE, {"iam:PermissionsBoundary": LIMIT}, id="without limit"),
        pytest.param(
            "iam:PutRolePermissionsBoundary", ROLE, {"iam:PermissionsBoundary": f"{IAM}:policy/x"}, id="a wider limit"
        ),
        pytest.param("iam:CreatePolicyVersion", LIMIT, {}, id="a wider boundary"),
        pytest.param("iam:SetDefaultPolicyVersion", LIMIT, {}, id="an earlier boundary"),
        pytest.param("iam:CreatePolicyVersion", f"{IAM}:policy/audience-sync-deployer", {}, id="its own policy"),
        pytest.param("iam:CreatePolicy", LIMIT, {}, id="a policy"),
        pytest.param("iam:CreateUser", f"{IAM}:user/audience-sync-x", {}, id="a user"),
        pytest.param(
            "iam:PassRole", ROLE, {"iam:PassedToService": "cloudformation.amazonaws.com"}, id="CloudFormation"
        ),
        pytest.param("iam:PassRole", f"{IAM}:role/other", {"iam:PassedToService": "lambda.amazonaws.com"}, id="Lambda"),
        pytest.param("sts:AssumeRole", ROLE, {}, id="a role"),
        pytest.param("iam:CreateServiceLinkedRole", f"{IAM}:role/audience-sync-x", {}, id="a role of a service"),
        pytest.param("dynamodb:DeleteTable", f"arn:aws:dynamodb:{PLACE}:table/audience-sync-1", {}, id="a table"),
        pytest.param("dynamodb:Scan", f"arn:aws:dynamodb:{PLACE}:table/audience-sync-1", {}, id="rows"),
        pytest.param("sqs:ReceiveMessage", f"arn:aws:sqs:{PLACE}:audience-sync-changes", {}, id="messages"),
        pytest.param("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:audience-sync-x", {}, id="a function"),
    ],
)
def test_no_step_towards_an_administrator_or_into_the_data_is_allowed(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert not allows(ALLOWED, action, resource, context)


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"])
def test_a_role_within_the_boundary_is_allowed(action: str) -> None:
    assert allows(ALLOWED, action, ROLE, {"iam:PermissionsBoundary": LIMIT})


def test_a_role_that_the_deployer_makes_reaches_nothing_but_metrics_beyond_the_stack_and_raises_no_right() -> None:
    """Whatever its own policy says and anyone may assume, the boundary limits it."""
    reached = {action for action in ACTIONS for resource in OTHERS if allows(LIMITED, action, resource)}
    assert reached == {"cloudwatch:getmetricdata", "cloudwatch:listmetrics"}
    services = {action.partition(":")[0] for statement in LIMITED for action in listed(statement["Action"])}
    assert services.isdisjoint({"iam", "sts", "lambda", "cloudformation", "events", "organizations"})
    assert "*" not in json.dumps([statement["Action"] for statement in LIMITED])
