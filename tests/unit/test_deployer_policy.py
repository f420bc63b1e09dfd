"""docs/deployer-policy.json allows what SAM and CloudFormation call, on every resource that AWS checks the call on.

What CloudFormation calls is in AWS's resource schemas, and what a call is checked on in the Service Authorization
Reference. What the policy must not allow is in test_deployer_limits.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from local.template import ROOT, Template, read_document
from scripts.last_release import releases
from tests.aws_reference import resource_types, schema
from tests.iam import DEPLOYER, allows, statements

ALLOWED = statements(DEPLOYER)
SCALING = statements(ROOT / "docs/deployer-scaling-policy.json")
DOCUMENT = read_document()
STACK, PLACE = "audience-sync", "eu-west-1:123456789012"
CONTEXT = {  # condition keys of a request about the stack's own resources
    "iam:PassedToService": "lambda.amazonaws.com",
    "iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/audience-sync-boundary",
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
OPTIONAL = {"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"}
CREATED = {
    kind for each in DOCUMENT["Resources"].values() for kind in MADE_BY_SAM.get(each["Type"], [each["Type"]])
} - OPTIONAL

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
    # SAM's own calls in a rehearsal of 2026-11-29, and what `continue-update-rollback` needs.
    *(
        f"cloudformation:{name}"
        for name in (
            *("ContinueUpdateRollback", "CreateChangeSet", "DeleteStack", "DescribeChangeSet", "DescribeStackEvents"),
            *("DescribeStacks", "ExecuteChangeSet", "GetTemplate", "GetTemplateSummary"),
        )
    ),
    *(f"s3:{name}" for name in ("DeleteObject", "GetObject", "ListBucket", "PutObject")),
    # The tags of the stack: AWS checks them beside the call that sets them.
    *("cloudformation:TagResource", "cloudformation:UntagResource"),
    # Source: "Configure logging for HTTP APIs" in API Gateway's developer guide.
    *(f"logs:{each}LogDelivery" for each in ("Create", "Delete", "Get", "Update")),
    "logs:ListLogDeliveries",
}
IAM, GATEWAY = "arn:aws:iam::123456789012:role", "arn:aws:apigateway:eu-west-1:"
ALSO_CHECKED_ON = {
    # No names are given, or the name is not known before.
    "cloudwatch:DescribeAlarms": "*",
    # Earlier editions of the reference state no resource for these, the one of 2026 the topic.
    **{f"sns:{each}": "*" for each in ("GetSubscriptionAttributes", "SetSubscriptionAttributes", "Unsubscribe")},
    # Missing in the reference. Sources: the schemas of API Gateway; "Transforms" in CloudFormation's user guide; the
    # service-linked role in API Gateway's developer guide. An administrator has created the stack of SAM's bucket.
    "apigateway:TagResource": f"{GATEWAY}:/apis/a1b2/stages/$default",
    "apigateway:UntagResource": f"{GATEWAY}:/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Fapis%2Fa1b2",
    "cloudformation:CreateChangeSet": "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31",
    "iam:CreateServiceLinkedRole": f"{IAM}/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway",
    "cloudformation:DescribeStacks": f"arn:aws:cloudformation:{PLACE}:stack/aws-sam-cli-managed-default/1",
}

BUCKET = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1"
FORMS = {  # types of the reference: the template's type, and the ARNs of its resources, which CloudFormation may name
    "apigateway:api": ("AWS::Serverless::HttpApi", f"{GATEWAY}:/apis/a1b2"),
    "apigateway:apis": ("AWS::Serverless::HttpApi", f"{GATEWAY}:/apis"),
    "apigateway:stage": ("AWS::Serverless::HttpApi", f"{GATEWAY}:/apis/a1b2/stages/$default"),
    "cloudwatch:alarm": ("AWS::CloudWatch::Alarm", f"arn:aws:cloudwatch:{PLACE}:alarm:{{AlarmName}}"),
    "cloudwatch:dashboard": (
        "AWS::CloudWatch::Dashboard",
        "arn:aws:cloudwatch::123456789012:dashboard/{DashboardName}",
    ),
    "dynamodb:table": ("AWS::DynamoDB::Table", f"arn:aws:dynamodb:{PLACE}:table/{STACK}-{{id}}-1A2B"),
    "events:rule-on-default-event-bus": (
        "AWS::Serverless::Function",
        f"arn:aws:events:{PLACE}:rule/{STACK}-{{id}}Schedule-1A2B",
    ),
    "iam:role": ("AWS::IAM::Role", f"{IAM}/{STACK}-{{id}}-1A2B"),
    "lambda:eventsourcemapping": ("AWS::SQS::Queue", f"arn:aws:lambda:{PLACE}:event-source-mapping:1a2b-3c4d"),
    "lambda:function": ("AWS::Serverless::Function", f"arn:aws:lambda:{PLACE}:function:{STACK}-{{id}}-1A2B"),
    "lambda:layer": ("AWS::Serverless::LayerVersion", f"arn:aws:lambda:{PLACE}:layer:{{LayerName}}"),
    "lambda:layerversion": ("AWS::Serverless::LayerVersion", f"arn:aws:lambda:{PLACE}:layer:{{LayerName}}:7"),
    "logs:log-group": ("AWS::Logs::LogGroup", f"arn:aws:logs:{PLACE}:log-group:{{LogGroupName}}"),
    # CloudFormation leaves the name of the stack out.
    "secretsmanager:secret": (
        "AWS::SecretsManager::Secret",
        f"arn:aws:secretsmanager:{PLACE}:secret:{{id}}-1a2b3c4d5e6f-7g8h9i",
    ),
    "sns:topic": ("AWS::SNS::Topic", f"arn:aws:sns:{PLACE}:{STACK}-{{id}}-1A2B"),
    "sqs:queue": ("AWS::SQS::Queue", f"arn:aws:sqs:{PLACE}:{{QueueName}}"),
}


def _arns() -> dict[str, list[str]]:
    template = Template(DOCUMENT, {"AWS::StackName": STACK})
    of_resources = {
        kind: [
            form.format(
                id=logical_id, **{key: template.resolve(value) for key, value in properties.items() if key in form}
            )
            for logical_id, properties in template.resources(resource).items()
        ]
        for kind, (resource, form) in FORMS.items()
    }
    of_sam = {
        "cloudformation:stack": [f"arn:aws:cloudformation:{PLACE}:stack/{STACK}{each}/1" for each in ("", "-staging")],
        "s3:bucket": [BUCKET],
        "s3:object": [f"{BUCKET}/audience-sync/0a1b2c", f"{BUCKET}/audience-sync-staging/1.template"],
    }
    return of_resources | of_sam


ARNS = _arns()


def _called(resource_type: str, left_out: Iterable[str]) -> set[str]:
    """What CloudFormation calls for a resource of this type; its fifth handler, `list`, serves imports."""
    handlers = schema(resource_type).get("handlers", {})
    return {
        action
        for name in ("create", "read", "update", "delete")
        for action in handlers.get(name, {}).get("permissions", ())
        if not any(re.fullmatch(pattern, action) for pattern in left_out)
    }


def _lacking(policy: list[dict[str, Any]], actions: Iterable[str], arns: Mapping[str, list[str]]) -> set[str]:
    lacking = set()
    for action in actions:
        try:
            types = resource_types(action)
        except KeyError:
            assert action in ALSO_CHECKED_ON
            continue
        checked_on = [arn for kind in types for arn in arns.get(kind, ())] if types else ["*"]
        assert checked_on, action
        lacking |= {f"{action} on {arn}" for arn in checked_on if not allows(policy, action, arn, CONTEXT)}
    return lacking


@pytest.mark.parametrize("resource_type", sorted(CREATED))
def test_the_policy_allows_what_cloudformation_calls_on_every_resource(resource_type: str) -> None:
    assert _lacking(ALLOWED, _called(resource_type, LEFT_OUT), ARNS) == set()


def test_the_policy_allows_what_is_called_besides() -> None:
    assert _lacking(ALLOWED, CALLED_BESIDES, ARNS) == set()
    assert [each for each in ALSO_CHECKED_ON.items() if not allows(ALLOWED, *each)] == []


def test_the_policies_allow_what_cloudformation_calls_for_auto_scaling() -> None:
    role = "dynamodb.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
    arns = {
        "application-autoscaling:scalabletarget": [f"arn:aws:application-autoscaling:{PLACE}:scalable-target/1a2b"],
        "cloudwatch:alarm": [f"arn:aws:cloudwatch:{PLACE}:alarm:TargetTracking-table/{STACK}-1-AlarmHigh-2"],
        "iam:role": [f"{IAM}/aws-service-role/{role}"],
    }
    for resource_type in OPTIONAL:
        assert _lacking([*ALLOWED, *SCALING], _called(resource_type, LEFT_OUT_OF_SCALING), arns) == set()


def test_the_policy_for_a_key_of_ones_own_allows_what_tables_and_secrets_need() -> None:
    (statement,) = statements(ROOT / "docs/deployer-key-policy.json")
    needed = {each for each in schema("AWS::DynamoDB::Table")["handlers"]["create"]["permissions"] if "kms:" in each}
    # An alias is not given. The last two are for the values of secrets.
    for action in (needed - {"kms:ListAliases"}) | {"kms:GenerateDataKey", "kms:Decrypt"}:
        assert allows([statement], action, statement["Resource"]), action


def test_no_update_changes_who_may_assume_a_role() -> None:
    """A deployer may not (iam:UpdateAssumeRolePolicy), so its update would fail halfway."""
    roles = [
        resource["Properties"]["AssumeRolePolicyDocument"]
        for document in (DOCUMENT, *map(read_document, releases()))
        for resource in document["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    assert all(trust == roles[0] for trust in roles)


def test_with_the_id_of_the_api_no_other_api_is_reached() -> None:
    text = DEPLOYER.read_text(encoding="utf-8").replace("/apis/*", "/apis/a1b2*").replace("/tags/*", "/tags/*a1b2*")
    narrowed = json.loads(text)["Statement"]
    own = [arn for kind in ("api", "apis", "stage") for arn in ARNS[f"apigateway:{kind}"]]
    tags = f"{GATEWAY}:/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Fapis%2F"
    for verb in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        assert all(allows(narrowed, f"apigateway:{verb}", arn) for arn in (*own, f"{tags}a1b2"))
        assert not allows(narrowed, f"apigateway:{verb}", f"{GATEWAY}:/apis/c3d4/routes/1")
        assert not allows(narrowed, f"apigateway:{verb}", f"{tags}c3d4")


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("SQS:createqueue", "arn:aws:sqs:eu-west-1:1:audience-sync-x", True),
        ("sqs:CreateQueue", "arn:aws:sqs:eu-west-1:1:Audience-Sync-x", False),
        ("sqs:DeleteQueue", "arn:aws:sqs:eu-west-1:1:audience-sync-x", False),
    ],
)
def test_actions_are_compared_without_case_and_resources_with_it(action: str, resource: str, allowed: bool) -> None:
    policy = [{"Action": "sqs:Create*", "Resource": ["arn:aws:sqs:*:*:audience-sync*"]}]
    assert allows(policy, action, resource) is allowed


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        pytest.param({"iam:PermissionsBoundary": "arn:aws:iam::1:policy/x-boundary"}, True, id="fits"),
        pytest.param({"iam:PermissionsBoundary": "arn:aws:iam::1:policy/y-boundary"}, False, id="another"),
        pytest.param({"iam:PermissionsBoundary": "arn:aws:iam::1:x:policy/x-boundary"}, False, id="part by part"),
        pytest.param({}, False, id="none in the request"),
    ],
)
def test_a_condition_is_compared_with_the_request(context: dict[str, str], allowed: bool) -> None:
    condition = {"ArnLike": {"iam:PermissionsBoundary": ["arn:aws:iam::*:policy/x-boundary"]}}
    policy = [{"Action": "iam:CreateRole", "Resource": "*", "Condition": condition}]
    assert allows(policy, "iam:CreateRole", "arn:aws:iam::1:role/x", context) is allowed
