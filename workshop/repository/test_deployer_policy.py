"""docs/deployer-policy.json allows what SAM and CloudFormation call, on every resource that AWS checks the call on.

What CloudFormation calls is in AWS's resource schemas, and what a call is checked on in the Service Authorization
Reference. What the policy must not allow is in test_deployer_limits.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from local.template import ROOT, read_document
from scripts.last_release import releases
from tests.support.iam import DEPLOYER, PLACE, STACK, allows, arns, statements
from workshop.repository.aws_reference import is_checked_on, schema

ALLOWED = statements(DEPLOYER)
DOCUMENT = read_document()
IAM, GATEWAY = "arn:aws:iam::123456789012", "arn:aws:apigateway:eu-west-1:"
TAGS = f"{GATEWAY}:/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Fapis%2F"
BUCKET = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1"
OF_SAM = [  # resources that the template does not have
    *(f"{GATEWAY}:/apis{each}" for each in ("", "/a1b2", "/a1b2/stages/$default")),
    f"{TAGS}a1b2",
    *(f"arn:aws:cloudformation:{PLACE}:stack/{STACK}{each}/1" for each in ("", "-staging")),
    f"arn:aws:events:{PLACE}:rule/{STACK}-AuditFunctionSchedule-1A2B",
    f"arn:aws:lambda:{PLACE}:event-source-mapping:1a2b-3c4d",
]
CONTEXT = {  # condition keys of a request about the stack's own resources
    "iam:PassedToService": "lambda.amazonaws.com",
    "iam:PermissionsBoundary": f"{IAM}:policy/audience-sync-boundary",
    "lambda:FunctionArn": f"arn:aws:lambda:{PLACE}:function:{STACK}-WorkerFunction-1A2B",
    "s3:prefix": "audience-sync/",
}
MADE_BY_SAM = {
    "AWS::Serverless::Function": [
        "AWS::Events::Rule",
        *(f"AWS::Lambda::{each}" for each in ("EventInvokeConfig", "EventSourceMapping", "Function", "Permission")),
    ],
    "AWS::Serverless::HttpApi": ["AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage"],
    "AWS::Serverless::LayerVersion": ["AWS::Lambda::LayerVersion"],
}
CREATED = {kind for each in DOCUMENT["Resources"].values() for kind in MADE_BY_SAM.get(each["Type"], [each["Type"]])}
SCALING = {each for each in CREATED if each.startswith("AWS::ApplicationAutoScaling::")}

LEFT_OUT = {  # a pattern of permissions: why the stack's resources need none of it
    r"(ec2|elasticfilesystem|s3files):.*": "no function is in a VPC or has a file system",
    r"kms:.*": "AWS's own keys allow their use through the service; for one's own, the guide has a policy",
    r"iam:\w*(User|Group)Policy": "the policy for a customer's key is attached to roles",
    r"(kinesis|firehose):.*|s3:REST.*|dynamodb:(Enable|Disable|Update)Kinesis\w+": "nothing is streamed",
    r"s3:GetObjectMetadata|dynamodb:(ImportTable|DescribeImport)": "no table is imported",
    r"logs:(CreateLogStream|PutLogEvents|DescribeLogStreams)": "no table is imported, so no import writes a log",
    r"dynamodb:(Scan|Query|GetItem|PutItem|UpdateItem|DeleteItem|BatchWriteItem)": "there is no replica",
    r"dynamodb:(Create|Associate)TableReplica|iam:CreateServiceLinkedRole": "no replica in another region",
    r"dynamodb:(Put|Delete)ResourcePolicy|dynamodb:UpdateContributorInsights": "the tables have neither",
    r"secretsmanager:(ReplicateSecretTo|RemoveRegionsFrom)\w+": "no secret is in two regions",
    r"lambda:\w*CodeSigningConfig(?<!GetFunctionCodeSigningConfig)": "code is not signed",
    r"lambda:(Put|Delete)FunctionConcurrency": "no reserved concurrency",
    r"lambda:(PutRuntimeManagementConfig|PutFunctionScalingConfig)": "AWS's defaults",
    r"lambda:(PassCapacityProvider|AssociateRuntimeAlias|PublishVersion)": "no function has such settings",
    r"iam:(Attach|Detach)RolePolicy": "the roles have no managed policy but the boundary",
    r"iam:DeleteRolePermissionsBoundary": "a role without a boundary could be made an administrator",
    r"iam:UpdateAssumeRolePolicy": "AWS knows no condition on the boundary for it; no update changes a role's trust",
    r"dynamodb:DeleteTable": "CloudFormation keeps both tables, also those of a failed first deployment",
    r"sns:PutDataProtectionPolicy|logs:(Put|Delete)(DataProtection|Index)Policy": "topic and log groups have none",
    r"logs:PutBearer\w+|logs:PutLogGroupDeletion\w+": "the log groups have none",
    r"logs:DeleteRetentionPolicy|logs:DeleteResourcePolicy": "every log group has a retention, and shares AWS's policy",
}
LEFT_OUT_OF_SCALING = {
    r"lambda:\w+ProvisionedConcurrencyConfig|application-autoscaling:(Put|Delete)ScheduledAction": "a table is scaled",
    r"cloudwatch:GetMetricData": "no predictive scaling",
    r"iam:PassRole": "the service's own role",
}
CALLED_BESIDES = {
    # SAM's own calls in a rehearsal of 2026-11-29; what deploy.sh, `continue-update-rollback` and `make repair` need.
    *(
        f"cloudformation:{name}"
        for name in "ContinueUpdateRollback CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet "
        "DescribeStackEvents DescribeStacks ExecuteChangeSet GetStackPolicy GetTemplate GetTemplateSummary "
        "SetStackPolicy".split()
    ),
    # The tags of the stack: AWS checks them beside the call that sets them.
    *("cloudformation:TagResource", "cloudformation:UntagResource"),
    # Source: "Configure logging for HTTP APIs" in API Gateway's developer guide.
    *(f"logs:{each}LogDelivery" for each in ("Create", "Delete", "Get", "Update")),
    "logs:ListLogDeliveries",
}
BY_HAND = ("s3:", "apigateway:TagResource", "apigateway:UntagResource")
ALSO_CHECKED_ON = {
    # SAM's calls; cfn-lint's copy has the same form for the ARNs of buckets and objects.
    **{f"s3:{each}": f"{BUCKET}/audience-sync/0a1b2c" for each in ("DeleteObject", "GetObject", "PutObject")},
    "s3:ListBucket": BUCKET,
    # No names are given, or the name is not known before.
    "cloudwatch:DescribeAlarms": "*",
    # Earlier editions of the reference state no resource for these, the one of 2026 the topic.
    **{f"sns:{each}": "*" for each in ("GetSubscriptionAttributes", "SetSubscriptionAttributes", "Unsubscribe")},
    # Missing in the reference. Sources: the schemas of API Gateway; "Transforms" in CloudFormation's user guide; the
    # service-linked role in API Gateway's developer guide. An administrator has created the stack of SAM's bucket.
    "apigateway:TagResource": f"{GATEWAY}:/apis/a1b2/stages/$default",
    "apigateway:UntagResource": f"{TAGS}a1b2",
    "cloudformation:CreateChangeSet": "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31",
    "iam:CreateServiceLinkedRole": f"{IAM}:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleFor",
    "cloudformation:DescribeStacks": f"arn:aws:cloudformation:{PLACE}:stack/aws-sam-cli-managed-default/1",
}


def _called(resource_type: str, left_out: Iterable[str]) -> set[str]:
    """What CloudFormation calls for a resource of this type; its fifth handler, `list`, serves imports."""
    handlers = schema(resource_type).get("handlers", {})
    return {
        action
        for name in ("create", "read", "update", "delete")
        for action in handlers.get(name, {}).get("permissions", ())
        if not any(re.fullmatch(pattern, action) for pattern in left_out)
    }


def _refused(policy: list[dict[str, Any]], calls: Iterable[str], resources: Iterable[str]) -> set[str]:
    """The calls that the policy does not allow on one of the resources that AWS checks them on."""
    looked_up = {each for each in calls if not each.startswith(BY_HAND)}
    checked = {(action, arn) for action in looked_up for arn in ("*", *resources) if is_checked_on(action, arn)}
    assert {action for action, _ in checked} == looked_up
    return {f"{action} on {arn}" for action, arn in checked if not allows(policy, action, arn, CONTEXT)}


@pytest.mark.parametrize("resource_type", sorted(CREATED - SCALING))
def test_the_policy_allows_what_cloudformation_calls_on_every_resource(resource_type: str) -> None:
    assert _refused(ALLOWED, _called(resource_type, LEFT_OUT), [*arns().values(), *OF_SAM]) == set()


def test_the_policy_allows_the_calls_that_sam_makes_itself() -> None:
    assert _refused(ALLOWED, CALLED_BESIDES, OF_SAM) == set()
    assert [each for each in ALSO_CHECKED_ON.items() if not allows(ALLOWED, *each, CONTEXT)] == []


@pytest.mark.parametrize("resource_type", sorted(SCALING))
def test_the_policies_allow_what_cloudformation_calls_for_auto_scaling(resource_type: str) -> None:
    resources = [
        f"arn:aws:application-autoscaling:{PLACE}:scalable-target/1a2b",
        f"arn:aws:cloudwatch:{PLACE}:alarm:TargetTracking-table/{STACK}-1-AlarmHigh-2",
        f"{IAM}:role/aws-service-role/dynamodb.application-autoscaling.amazonaws.com/AWSServiceRoleForIt",
    ]
    policy = [*ALLOWED, *statements(ROOT / "docs/deployer-scaling-policy.json")]
    assert _refused(policy, _called(resource_type, LEFT_OUT_OF_SCALING), resources) == set()


def test_the_policy_for_a_customer_managed_key_allows_what_tables_and_secrets_need() -> None:
    policy = statements(ROOT / "docs/deployer-key-policy.json")
    service = {"kms:GrantIsForAWSResource": "true", "kms:ViaService": "dynamodb.eu-west-1.amazonaws.com"}
    needed = {each for each in schema("AWS::DynamoDB::Table")["handlers"]["create"]["permissions"] if "kms:" in each}
    # An alias is not given. The last two are for the values of secrets.
    for action in (needed - {"kms:ListAliases"}) | {"kms:GenerateDataKey", "kms:Decrypt"}:
        assert allows(policy, action, policy[0]["Resource"], service), action
        assert action == "kms:DescribeKey" or not allows(policy, action, policy[0]["Resource"]), "by itself"


def test_no_update_changes_who_may_assume_a_role() -> None:
    """A deployer may not (iam:UpdateAssumeRolePolicy), so its update would fail halfway."""
    trusts = [
        json.dumps(resource["Properties"]["AssumeRolePolicyDocument"])
        for document in (DOCUMENT, *releases().values())
        for resource in document["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    assert len(set(trusts)) == 1


def test_with_the_id_of_the_api_no_other_api_is_reached() -> None:
    text = DEPLOYER.read_text(encoding="utf-8").replace("/apis/*", "/apis/a1b2*").replace("/tags/*", "/tags/*a1b2*")
    narrowed = json.loads(text)["Statement"]
    for verb in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        assert all(allows(narrowed, f"apigateway:{verb}", arn) for arn in OF_SAM[:4])
        assert not allows(narrowed, f"apigateway:{verb}", f"{GATEWAY}:/apis/c3d4/routes/1")
        assert not allows(narrowed, f"apigateway:{verb}", f"{TAGS}c3d4")
