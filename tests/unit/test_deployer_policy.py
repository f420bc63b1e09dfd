"""docs/deployer-policy.json allows what a deployment calls, on the resources of the stack, and no more.

What SAM itself calls was recorded in a rehearsal (tests/fixtures/sam-calls.txt). What CloudFormation calls on behalf of
the deployer is in AWS's resource schemas (tests/fixtures/resource-schemas.json). `make rehearse` and `make validate`
compare the two files with their sources.
"""

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest

from local.template import ROOT, Template, read_document
from scripts.deployer_policy import PERMISSIONS, POLICY, RECORDED, allows, listed, refused, statements

SCHEMAS: dict[str, dict[str, list[str]]] = json.loads((ROOT / "tests/fixtures/resource-schemas.json").read_text())
DOCUMENT = read_document()
ALLOWED = statements()
STACK, ACCOUNT = "audience-sync", "eu-west-1:123456789012"
CODE = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1/audience-sync/0a1b2c"
CONTEXT = {  # condition keys of a request about the stack's own resources
    "iam:PassedToService": "lambda.amazonaws.com",
    "iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/audience-sync-boundary",
    "lambda:FunctionArn": f"arn:aws:lambda:{ACCOUNT}:function:{STACK}-WorkerFunction-1A2B",
}

OPTIONAL = {each["Type"] for each in DOCUMENT["Resources"].values() if each.get("Condition") == "Provisioned"}
GUIDE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


def _statements_of_the_guide(section: str) -> list[dict[str, Any]]:
    """What a deployer adds to the policy who chooses what a section describes."""
    text = GUIDE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    documents: list[Any] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    pieces = [piece for each in documents for piece in (each if isinstance(each, list) else [each])]
    return [each for each in pieces if "Sid" in each]


LEFT_OUT = {  # a pattern of permissions: why the stack's resources need none of it
    r"(ec2|elasticfilesystem|s3files):.*": "no function is in a VPC or has a file system",
    r"kms:.*": "AWS's own keys allow their use through the service; for one's own, the guide has a statement",
    r"iam:\w*(User|Group)Policy": "the policy for a customer's key is attached to roles",
    r"(kinesis|firehose):.*|s3:REST.*|dynamodb:(Enable|Disable|Update)Kinesis\w+": "nothing is streamed",
    r"s3:GetObjectMetadata|s3:ListBucket|dynamodb:(ImportTable|DescribeImport)": "no table is imported",
    r"logs:(CreateLogStream|PutLogEvents|DescribeLogStreams)": "no table is imported, so no import writes a log",
    r"dynamodb:(Scan|Query|GetItem|PutItem|UpdateItem|DeleteItem|BatchWriteItem)": "there is no replica",
    r"dynamodb:(Create|Associate)TableReplica": "no replica in another region",
    r"dynamodb:(Put|Delete)ResourcePolicy|dynamodb:UpdateContributorInsights": "the tables have neither",
    r"secretsmanager:(ReplicateSecretTo|RemoveRegionsFrom)\w+": "no secret is in two regions",
    r"lambda:\w*CodeSigningConfig(?<!GetFunctionCodeSigningConfig)": "code is not signed",
    r"lambda:(Put|Delete)FunctionConcurrency": "no reserved concurrency",
    r"lambda:\w+ProvisionedConcurrencyConfig|application-autoscaling:\w+ScheduledActions?": "only the table is scaled",
    r"cloudwatch:GetMetricData": "no predictive scaling",
    r"lambda:(PutRuntimeManagementConfig|PutFunctionScalingConfig)": "AWS's defaults",
    r"lambda:(PassCapacityProvider|AssociateRuntimeAlias|PublishVersion)": "no function has such settings",
    r"iam:(Attach|Detach)RolePolicy": "the roles have no managed policy but the boundary",
    r"iam:DeleteRolePermissionsBoundary": "a role without a boundary could be made an administrator",
    r"dynamodb:DeleteTable": "CloudFormation keeps both tables, also those of a failed first deployment",
    r"sns:PutDataProtectionPolicy|logs:(Put|Delete)(DataProtection|Index)Policy": "topic and log groups have none",
    r"logs:PutBearer\w+|logs:PutLogGroupDeletion\w+": "the log groups have none",
    r"logs:DeleteRetentionPolicy|logs:DeleteResourcePolicy": "every log group has a retention, and shares AWS's policy",
}
# What the schemas lack. Source: "Configure logging for HTTP APIs" in API Gateway's developer guide.
ALSO_NEEDED = {
    *(f"logs:{each}LogDelivery" for each in ("Create", "Delete", "Get", "Update")),
    "logs:ListLogDeliveries",
    "lambda:ListTags",  # of functions; the schema lists it for event source mappings
    "cloudformation:TagResource",  # the tags of the stack; AWS checks it beside the call that sets them
    "cloudformation:UntagResource",
}
ANY = {  # permissions that AWS checks on no resource of the stack, or on one whose name is not known before
    "cloudwatch:DescribeAlarms",
    "lambda:CreateEventSourceMapping",
    "secretsmanager:GetRandomPassword",
    "sns:Unsubscribe",
    "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes",
}


def _arns(resource_type: str) -> list[str]:
    """ARNs of the stack's resources of one type, named by the template or else by CloudFormation."""
    of_sam = {
        "AWS::ApiGatewayV2::Api": ["arn:aws:apigateway:eu-west-1::/apis", "arn:aws:apigateway:eu-west-1::/apis/a1b2"],
        "AWS::ApiGatewayV2::Stage": ["arn:aws:apigateway:eu-west-1::/apis/a1b2/stages/$default"],
        "AWS::Events::Rule": [f"arn:aws:events:{ACCOUNT}:rule/{STACK}-AuditFunctionSchedule-1A2B"],
        "AWS::Lambda::EventSourceMapping": [f"arn:aws:lambda:{ACCOUNT}:event-source-mapping:1a2b-3c4d"],
        "AWS::Lambda::LayerVersion": [f"arn:aws:lambda:{ACCOUNT}:layer:{each}:7" for each in _layers()],
        "AWS::Lambda::Permission": [f"arn:aws:lambda:{ACCOUNT}:function:{STACK}-IngestFunction-1A2B"],
        "AWS::Lambda::EventInvokeConfig": [f"arn:aws:lambda:{ACCOUNT}:function:{STACK}-RenewFunction-1A2B"],
        "AWS::ApplicationAutoScaling::ScalableTarget": SCALING,
        "AWS::ApplicationAutoScaling::ScalingPolicy": SCALING,
        "AWS::SNS::Subscription": [f"arn:aws:sns:{ACCOUNT}:{STACK}-Alarms-1A2B"],
        "AWS::SQS::QueuePolicy": [f"arn:aws:sqs:{ACCOUNT}:{STACK}-changes"],
    }
    patterns = {
        "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{ACCOUNT}:alarm:{{AlarmName}}",
        "AWS::CloudWatch::Dashboard": "arn:aws:cloudwatch::123456789012:dashboard/{DashboardName}",
        "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{ACCOUNT}:table/{STACK}-{{id}}-1A2B",
        "AWS::IAM::Policy": "arn:aws:iam::123456789012:role/audience-sync-IngestRole-1A2B",
        "AWS::IAM::Role": f"arn:aws:iam::123456789012:role/{STACK}-{{id}}-1A2B",
        "AWS::Lambda::Function": f"arn:aws:lambda:{ACCOUNT}:function:{STACK}-{{id}}-1A2B",
        "AWS::Logs::LogGroup": f"arn:aws:logs:{ACCOUNT}:log-group:{{LogGroupName}}",
        "AWS::SNS::Topic": f"arn:aws:sns:{ACCOUNT}:{STACK}-{{id}}-1A2B",
        "AWS::SQS::Queue": f"arn:aws:sqs:{ACCOUNT}:{{QueueName}}",
        # CloudFormation leaves the name of the stack out; the policy allows it with that name, too.
        "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{ACCOUNT}:secret:{{id}}-1a2b3c4d5e6f-7g8h9i",
    }
    if resource_type in of_sam:
        return of_sam[resource_type]
    template = Template(DOCUMENT, {"AWS::StackName": STACK})
    names = ("AlarmName", "DashboardName", "LogGroupName", "QueueName")
    return [
        patterns[resource_type].format(
            id=logical_id, **{name: template.resolve(properties[name]) for name in names if name in properties}
        )
        for logical_id, properties in _resources(resource_type)
    ]


SCALING = [f"arn:aws:application-autoscaling:{ACCOUNT}:scalable-target/1a2b"]


def _layers() -> list[str]:
    template = Template(DOCUMENT, {"AWS::StackName": STACK})
    return [
        template.resolve(each["LayerName"]) for each in template.resources("AWS::Serverless::LayerVersion").values()
    ]


def _resources(resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    serverless = resource_type.replace("AWS::Lambda::Function", "AWS::Serverless::Function")
    for logical_id, resource in DOCUMENT["Resources"].items():
        if resource["Type"] in (resource_type, serverless):
            yield logical_id, resource["Properties"]


def _concerned(resource_type: str, action: str) -> list[str]:
    """What AWS checks an action on that CloudFormation calls for a resource of this type."""
    service = action.partition(":")[0]
    if resource_type in OPTIONAL:
        return _concerned_by_scaling(action)
    if action in ANY or re.match(
        r"logs:(Describe(LogGroups|ResourcePolicies)|PutResourcePolicy|\w+LogDeliver\w+)", action
    ):
        return ["*"]
    if action == "iam:CreateServiceLinkedRole":
        return [
            "arn:aws:iam::123456789012:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway"
        ]
    if action.endswith("LayerVersion"):
        return _arns("AWS::Lambda::LayerVersion")
    foreign = {"iam": _arns("AWS::IAM::Role"), "logs": _arns("AWS::Logs::LogGroup"), "s3": [CODE]}
    return foreign.get(service) or _arns(resource_type)


def _concerned_by_scaling(action: str) -> list[str]:
    if action == "iam:CreateServiceLinkedRole":
        role = "dynamodb.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
        return [f"arn:aws:iam::123456789012:role/aws-service-role/{role}"]
    if action == "iam:PassRole":
        return []  # the service's own role
    if action.startswith("cloudwatch:"):
        return (
            ["*"]
            if "Describe" in action
            else [f"arn:aws:cloudwatch:{ACCOUNT}:alarm:TargetTracking-table/{STACK}-1-AlarmHigh-2"]
        )
    return ["*"] if "Describe" in action else SCALING


def _needed(resource_type: str) -> set[str]:
    return {
        action
        for action in SCHEMAS[resource_type]["permissions"]
        if not any(re.fullmatch(pattern, action) for pattern in LEFT_OUT)
    }


@pytest.mark.parametrize("resource_type", SCHEMAS)
def test_the_policy_allows_what_cloudformation_calls_on_every_resource(resource_type: str) -> None:
    policy = [*ALLOWED, *_statements_of_the_guide("Provisioned capacity")] if resource_type in OPTIONAL else ALLOWED
    lacking = {
        f"{action} on {arn}"
        for action in _needed(resource_type)
        for arn in _concerned(resource_type, action)
        if not allows(policy, action, arn, CONTEXT)
    }
    assert lacking == set()


@pytest.mark.parametrize("action", sorted(ALSO_NEEDED))
def test_the_policy_allows_what_the_schemas_do_not_list(action: str) -> None:
    arns = {"logs": "*", "lambda": _arns("AWS::Lambda::Function")[0]}
    arn = arns.get(action.partition(":")[0], f"arn:aws:cloudformation:{ACCOUNT}:stack/{STACK}/1")
    assert allows(ALLOWED, action, arn)


def test_the_policy_allows_what_sam_called_in_the_rehearsal() -> None:
    calls = RECORDED.read_text(encoding="utf-8").split()
    assert "cloudformation:ExecuteChangeSet" in calls
    assert refused(ALLOWED, calls) == []


def _operations(service: str) -> set[str]:
    """The operations of a service, as its permissions are named; none for the methods of API Gateway."""
    if service == "apigateway":
        return set()
    return {f"{service}:{name}" for name in botocore.session.get_session().get_service_model(service).operation_names}


def _patterns() -> set[str]:
    return {action for statement in ALLOWED for action in listed(statement["Action"])}


def _called() -> set[str]:
    """Return the permissions, in lower case, for what SAM and CloudFormation call."""
    needed = ALSO_NEEDED | {each for resource_type in SCHEMAS.keys() - OPTIONAL for each in _needed(resource_type)}
    calls = RECORDED.read_text(encoding="utf-8").split()
    return {each.lower() for each in (*needed, *(PERMISSIONS.get(call, call) for call in calls))}


def test_the_policy_allows_no_action_that_nothing_calls() -> None:
    assert [each for each in _patterns() if not fnmatch.filter(_called(), each.lower())] == []


def test_a_pattern_allows_no_change_beyond_what_is_called() -> None:
    called = _called()
    beyond = {
        operation
        for pattern in _patterns()
        for operation in _operations(pattern.partition(":")[0])
        if fnmatchcase(operation.lower(), pattern.lower()) and operation.lower() not in called
    }
    assert "lambda:GetAlias" in beyond, "patterns are compared"
    assert [each for each in beyond if not re.match(r"\w+:(Get|List|Describe)", each)] == []


FORMS: dict[str, Callable[[str], str]] = {  # as docs/deploy.md tells its readers to change the file
    "as it is": lambda policy: policy,
    "a role for staging": lambda policy: policy.replace("audience-sync", "audience-sync-staging"),
    "GovCloud": lambda policy: policy.replace("arn:aws", "arn:aws-us-gov"),
    "a name of 40 characters": lambda policy: policy.replace("audience-sync", "a" * 40),
    "both": lambda policy: policy.replace("audience-sync", "a" * 40).replace("arn:aws", "arn:aws-us-gov"),
}


def test_the_statement_of_the_guide_for_a_key_of_ones_own_allows_what_a_table_needs() -> None:
    (statement,) = [each for each in _statements_of_the_guide("A key of your own") if each["Sid"] == "Key"]
    needed = {each for each in SCHEMAS["AWS::DynamoDB::Table"]["permissions"] if each.startswith("kms:")}
    key = statement["Resource"]
    assert {each for each in needed if not allows([statement], each, key)} == {"kms:ListAliases"}, "no alias is given"
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):  # of the secrets' values
        assert allows([statement], action, key)


def test_what_the_guide_adds_for_the_deployer_fits_into_a_second_policy() -> None:
    sections = ("A key of your own", "Provisioned capacity")
    added = [
        each for section in sections for each in _statements_of_the_guide(section) if each["Sid"] != "KeyOfFunctions"
    ]
    assert len(added) == 4
    assert len("".join(FORMS["both"](json.dumps({"Version": "2012-10-17", "Statement": added})).split())) <= 6_144


@pytest.mark.parametrize("form", FORMS)
def test_each_file_fits_into_one_managed_policy_in_every_form_of_the_guide_which_names_the_boundary(form: str) -> None:
    for file in (POLICY, ROOT / "docs/permissions-boundary.json"):
        policy = FORMS[form](file.read_text(encoding="utf-8"))
        # IAM's quota of characters, and room for a statement of one's own.
        assert len("".join(policy.split())) <= 6_144 - 500
    (named,) = re.findall(
        r'"iam:PermissionsBoundary": "arn:[\w-]+:iam::\*:policy/(.+?)"', FORMS[form](POLICY.read_text())
    )
    (created,) = re.findall(r"--policy-name (\S+) --policy-document file://docs/permissions-boundary.json", GUIDE)
    assert named == FORMS[form](created)


def test_with_the_id_of_the_api_no_other_api_is_reached() -> None:
    text = POLICY.read_text(encoding="utf-8").replace("/apis/*", "/apis/a1b2*").replace("/tags/*", "/tags/*a1b2*")
    narrowed = json.loads(text)["Statement"]
    own = [arn for kind in ("Api", "Stage") for arn in _arns(f"AWS::ApiGatewayV2::{kind}")]
    tags = "arn:aws:apigateway:eu-west-1::/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Fapis%2F"
    for verb in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        assert all(allows(narrowed, f"apigateway:{verb}", arn) for arn in (*own, f"{tags}a1b2"))
        assert not allows(narrowed, f"apigateway:{verb}", "arn:aws:apigateway:eu-west-1::/apis/c3d4/routes/1")
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
