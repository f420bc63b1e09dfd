"""`make repair` sets back what was changed by hand, as far as CloudFormation's answers can be given here."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from scripts.deploy_target import CannotDeploy
from scripts.repair import compare, described

ARN = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/repair-1/1"
TAGS = [{"Key": "version", "Value": "0.1.0"}]
ASKED = {
    "StackName": "audience-sync",
    "ChangeSetName": ANY,
    "DeploymentMode": "REVERT_DRIFT",
    "UsePreviousTemplate": True,
    "Parameters": [{"ParameterKey": "Region", "UsePreviousValue": True}],
    "Tags": TAGS,
    "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
}


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """CloudFormation with the stack audience-sync, which accepts only what its API does."""
    with Stubber(boto3.client("cloudformation", "eu-west-1")) as answers:
        parameters = [{"ParameterKey": "Region", "ParameterValue": "EU"}]
        stack: Any = {"StackName": "audience-sync", "StackStatus": "CREATE_COMPLETE", "CreationTime": 0}
        answers.add_response("describe_stacks", {"Stacks": [stack | {"Parameters": parameters, "Tags": TAGS}]})
        answers.add_response("create_change_set", {"Id": ARN}, ASKED)
        yield answers


def test_the_resources_are_compared_with_the_stacks_own_template_parameters_and_tags(stub: Stubber) -> None:
    policies = {"Target": {"Attribute": "Properties", "Name": "Policies"}}
    role = {"Action": "Modify", "LogicalResourceId": "WorkerRole", "Replacement": "False", "Details": [policies]}
    queue = {"Action": "Add", "LogicalResourceId": "JobQueue", "Replacement": "Conditional"}
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
    stub.add_response("describe_change_set", {"Changes": [{"ResourceChange": role}], "NextToken": "2"})
    stub.add_response("describe_change_set", {"Changes": [{"ResourceChange": queue}]})
    assert compare(stub.client, "audience-sync") == ARN
    shown = [*described(stub.client, ARN)]
    assert shown == ["Modify WorkerRole: Policies", "Add JobQueue: all of it, Replacement: Conditional"]


@pytest.mark.parametrize("reason", ["The submitted information didn't contain changes.", "AccessDenied: GetFunction"])
def test_a_stack_without_differences_passes_and_a_failure_says_why(stub: Stubber, reason: str) -> None:
    stub.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason})
    if "changes" in reason:
        assert compare(stub.client, "audience-sync") is None
    else:
        with pytest.raises(CannotDeploy, match=reason):
            compare(stub.client, "audience-sync")
