"""`make repair` sets back what was changed by hand: as far as CloudFormation's own part in it can be played here."""

from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from scripts.repair import CannotRepair, apply, compare, described

MODEL = botocore.session.get_session().get_service_model("cloudformation")
ROLE = {
    "Action": "Modify",
    "LogicalResourceId": "WorkerRole",
    "Replacement": "False",
    "Details": [{"Target": {"Attribute": "Properties", "Name": "Policies"}}],
}
QUEUE = {"Action": "Add", "LogicalResourceId": "JobQueue", "Details": []}


class CloudFormation:
    """A stack with two parameters, of which some resources were changed by hand."""

    def __init__(self, *drifted: dict[str, Any], failure: str = "", ends: str = "UPDATE_COMPLETE") -> None:
        self.created: dict[str, Any] = {}
        self._drifted, self._failure, self._ends = drifted, failure, ends
        self._looks, self._status = 0, "CREATE_COMPLETE"

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        status, self._status = self._status, self._ends if "PROGRESS" in self._status else self._status
        parameters = [{"ParameterKey": name, "ParameterValue": "****"} for name in ("Region", "AlarmEmail")]
        tags = [{"Key": "version", "Value": "0.1.0"}]
        return {"Stacks": [{"StackStatus": status, "Parameters": parameters, "Tags": tags}]}

    def create_change_set(self, **options: Any) -> dict[str, str]:
        validate_parameters(options, MODEL.shape_for("CreateChangeSetInput"))
        self.created = options
        return {"Id": "arn:1"}

    def describe_change_set(self, NextToken: str = "1", **_: str) -> dict[str, Any]:  # noqa: N803 - the name at AWS
        self._looks += 1
        if self._looks == 1:
            return {"Status": "CREATE_IN_PROGRESS", "Changes": []}
        if self._failure:
            return {"Status": "FAILED", "StatusReason": self._failure, "Changes": []}
        number = int(NextToken)
        more = {"NextToken": str(number + 1)} if number < len(self._drifted) else {}
        changes = [{"ResourceChange": each} for each in self._drifted[number - 1 : number]]
        return {"Status": "CREATE_COMPLETE", "ChangeSetId": "arn:1", "StackId": "arn:2", "Changes": changes, **more}

    def execute_change_set(self, **_: str) -> None:
        self._status = "UPDATE_IN_PROGRESS"


def wait(_: float) -> None:
    """No time passes."""


def test_the_resources_are_compared_with_the_stacks_own_template_parameters_and_tags() -> None:
    aws = CloudFormation(ROLE, QUEUE)
    lines = list(described(compare(aws, "audience-sync", wait)))
    assert lines == ["Modify WorkerRole: Policies", "Add JobQueue: all of it"], "from both pages"
    assert (aws.created["DeploymentMode"], aws.created["UsePreviousTemplate"]) == ("REVERT_DRIFT", True)
    assert {each["ParameterKey"] for each in aws.created["Parameters"]} == {"Region", "AlarmEmail"}
    assert all(each == {**each, "UsePreviousValue": True} for each in aws.created["Parameters"])
    assert aws.created["Tags"] == [{"Key": "version", "Value": "0.1.0"}]


def test_a_stack_without_a_difference_has_nothing_to_set_back() -> None:
    aws = CloudFormation(failure="The submitted information didn't contain changes. Submit different information.")
    assert list(described(compare(aws, "audience-sync", wait))) == []


def test_a_comparison_that_fails_says_why() -> None:
    with pytest.raises(CannotRepair, match="not authorized to perform: lambda:GetFunction"):
        compare(CloudFormation(failure="not authorized to perform: lambda:GetFunction"), "audience-sync", wait)


def test_a_replacement_is_shown() -> None:
    aws = CloudFormation(ROLE | {"Replacement": "Conditional"})
    assert list(described(compare(aws, "a", wait))) == ["Modify WorkerRole: Policies, Replacement: Conditional"]


def test_a_repair_that_was_rolled_back_is_a_failure() -> None:
    apply(aws := CloudFormation(ROLE), compare(aws, "audience-sync", wait), wait)
    aws = CloudFormation(ROLE, ends="UPDATE_ROLLBACK_COMPLETE")
    with pytest.raises(CannotRepair, match="UPDATE_ROLLBACK_COMPLETE"):
        apply(aws, compare(aws, "audience-sync", wait), wait)
