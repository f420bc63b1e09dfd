"""`make repair` sets back what was changed by hand, as far as CloudFormation's answers can be given here."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from scripts.parameter_overrides import CannotDeploy
from scripts.repair import repair

ARN = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/repair-1/1"
TAGS = [{"Key": "version", "Value": "0.1.0"}]
REGION = {"ParameterKey": "Region", "ParameterValue": "EU"}
STACK: Any = {"StackName": "audience-sync", "CreationTime": 0, "Parameters": [REGION], "Tags": TAGS}
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
        answers.add_response("describe_stacks", {"Stacks": [STACK | {"StackStatus": "CREATE_COMPLETE"}]})
        answers.add_response("create_change_set", {"Id": ARN}, ASKED)
        yield answers
        answers.assert_no_pending_responses()


def change(kind: str, replacement: str = "False", action: str = "Modify") -> dict[str, Any]:
    details = [{"Target": {"Attribute": "Properties", "Name": "Policies"}}] if action == "Modify" else []
    resource = {"ResourceType": f"AWS::{kind}", "LogicalResourceId": kind.split("::")[1], "Details": details}
    return {"ResourceChange": resource | {"Action": action, "Replacement": replacement}}


def answer_on_two_pages(stub: Stubber, *changes: dict[str, Any]) -> None:
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"})
    stub.add_response("describe_change_set", {"Changes": [change("IAM::Role")], "NextToken": "2"})
    stub.add_response("describe_change_set", {"Changes": [*changes]})


def test_drift_from_the_stacks_template_parameters_and_tags_is_shown_and_set_back(
    stub: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_on_two_pages(stub, change("Events::Rule", action="Add"))
    stub.add_response("execute_change_set", {}, {"ChangeSetName": ARN})
    stub.add_response("describe_stacks", {"Stacks": [STACK | {"StackStatus": "UPDATE_COMPLETE"}]})
    assert repair(stub.client, "audience-sync", lambda _: "y") == "All of it is set back."
    assert capsys.readouterr().out == "Modify Role: Policies\nAdd Rule: all of it\n"


def test_a_refused_repair_leaves_no_change_set(stub: Stubber) -> None:
    answer_on_two_pages(stub)
    stub.add_response("delete_change_set", {}, {"ChangeSetName": ARN})
    assert repair(stub.client, "audience-sync", lambda _: "N") == "Nothing is set back."


HOLDING = [change("DynamoDB::Table"), change("SQS::Queue", action="Add"), change("SecretsManager::Secret")]


@pytest.mark.parametrize("refused", [*HOLDING, *(change("Lambda::Function", each) for each in ("True", "Conditional"))])
def test_a_repair_that_would_replace_a_resource_or_delete_data_is_refused(
    stub: Stubber, refused: dict[str, Any]
) -> None:
    answer_on_two_pages(stub, refused)
    stub.add_response("delete_change_set", {}, {"ChangeSetName": ARN})
    name = refused["ResourceChange"]["LogicalResourceId"]
    with pytest.raises(CannotDeploy, match=rf"table or queue: {name}\. Change"):
        repair(stub.client, "audience-sync", pytest.fail)


@pytest.mark.parametrize("reason", ["The submitted information didn't contain changes.", "AccessDenied: GetFunction"])
def test_a_stack_without_differences_passes_and_a_failure_says_why(stub: Stubber, reason: str) -> None:
    stub.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason})
    stub.add_response("delete_change_set", {}, {"ChangeSetName": ARN})
    if "changes" in reason:
        assert repair(stub.client, "audience-sync", pytest.fail) == "Every resource is as the template says."
    else:
        with pytest.raises(CannotDeploy, match=reason):
            repair(stub.client, "audience-sync", pytest.fail)
