"""Every policy in docs/ allows an action on what AWS checks it on, and under conditions that AWS knows for it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from local.template import ROOT
from tests.support.iam import BOUNDARY, DEPLOYER, listed, statements
from workshop.repository.aws_reference import actions, is_checked_on

FILES = [*sorted((ROOT / "docs").glob("*-policy.json")), BOUNDARY]
GUIDE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")

# Actions for which the Service Authorization Reference states a condition key; cfn-lint's copy leaves the keys out.
CONDITIONS = {
    "cloudwatch:namespace": {"cloudwatch:putmetricdata"},
    "dynamodb:LeadingKeys": {"dynamodb:getitem", "dynamodb:query"},
    "iam:PassedToService": {"iam:passrole"},
    "iam:PermissionsBoundary": {"iam:createrole", "iam:putrolepermissionsboundary", "iam:putrolepolicy"},
    "kms:GrantIsForAWSResource": {"kms:creategrant", "kms:listgrants", "kms:revokegrant"},
    "kms:ViaService": {
        *("kms:decrypt", "kms:encrypt", "kms:reencryptfrom", "kms:reencryptto"),
        *(f"kms:generatedatakey{kind}" for kind in ("", "withoutplaintext", "pair", "pairwithoutplaintext")),
    },
    "lambda:FunctionArn": {f"lambda:{verb}eventsourcemapping" for verb in ("create", "delete", "get", "update")},
    "s3:prefix": {"s3:listbucket"},
}
# The schemas and other pages of AWS name these; the reference knows only the methods of API Gateway.
NOT_IN_THE_REFERENCE = {"apigateway:*TagResource"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_each_action_is_allowed_on_a_resource_that_aws_checks_it_on(file: Path) -> None:
    without_effect = [
        f"{action} in {statement['Sid']}"
        for statement in statements(file)
        for action in listed(statement["Action"])
        if action not in NOT_IN_THE_REFERENCE
        if not any(
            arn == "*" or is_checked_on(each, arn) for each in actions(action) for arn in listed(statement["Resource"])
        )
    ]
    assert without_effect == []


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_condition_has_a_key_that_aws_knows_for_the_action(file: Path) -> None:
    unknown = [
        f"{key} for {action}"
        for statement in statements(file)
        for keys in statement.get("Condition", {}).values()
        for key in keys
        for pattern in listed(statement["Action"])
        for action in actions(pattern)
        if action not in CONDITIONS[key]
    ]
    assert unknown == []


FORMS: dict[str, Callable[[str], str]] = {  # as docs/deploy.md tells its readers to change the files
    "as it is": lambda policy: policy,
    "a role for staging": lambda policy: policy.replace("audience-sync", "audience-sync-staging"),
    "GovCloud": lambda policy: policy.replace("arn:aws", "arn:aws-us-gov"),
    "a name of 40 characters": lambda policy: policy.replace("audience-sync", "a" * 40),
    "both": lambda policy: policy.replace("audience-sync", "a" * 40).replace("arn:aws", "arn:aws-us-gov"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_each_policy_file_of_the_guide_fits_into_one_managed_policy(file: Path, form: str) -> None:
    # IAM's quota of characters, and room for a statement of one's own.
    assert len("".join(FORMS[form](file.read_text(encoding="utf-8")).split())) <= 6_144 - 500


@pytest.mark.parametrize("form", FORMS)
def test_the_deployer_is_limited_by_the_boundary_that_the_guide_creates(form: str) -> None:
    policy = FORMS[form](json.dumps(statements(DEPLOYER)))
    (named,) = re.findall(r'"iam:PermissionsBoundary": "arn:[\w-]+:iam::\*:policy/(.+?)"', policy)
    (created,) = re.findall(r"--policy-name (\S+) --policy-document file://docs/permissions-boundary.json", GUIDE)
    assert named == FORMS[form](created)
