"""Set back what was changed in a stack by hand. `make deploy` does not: CloudFormation then compares templates only.

python -m scripts.repair ARGUMENTS OF sam deploy...
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from scripts.deploy_target import cloudformation, describe
from scripts.parameter_overrides import CannotDeploy
from scripts.sam_options import read_target
from scripts.stack_policy import HOLDING

NO_CHANGES = ("didn't contain changes", "No updates are to be performed")  # in the reason of a change set without any


def repair(cloudformation: Any, stack: str, ask: Callable[[str], str]) -> str:
    """Show how the resources differ from the stack's own template, parameters and tags; ask, and set them back.

    Returns the outcome. Raises CannotDeploy if CloudFormation fails, or would replace one or change one in HOLDING.
    """
    (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    change_set: str = cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=f"repair-{time.time():.0f}",
        DeploymentMode="REVERT_DRIFT",  # compares the resources as well
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in found.get("Parameters", [])
        ],
        Tags=found.get("Tags", []),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],  # roles, and SAM's transform
    )["Id"]
    with ExitStack() as not_executed:
        not_executed.callback(cloudformation.delete_change_set, ChangeSetName=change_set)
        changes = _changes(cloudformation, change_set)
        sys.stdout.writelines(f"{_described(each)}\n" for each in changes)
        refused = [
            one for one in changes if one["ResourceType"] in HOLDING or one.get("Replacement", "False") != "False"
        ]
        if refused:
            raise CannotDeploy(
                "Nothing is set back, because that would replace a resource, or change a secret, table or queue: "
                f"{', '.join(one['LogicalResourceId'] for one in refused)}. Change these back by hand first."
            )
        if not changes:
            return "Every resource is as the template says."
        if ask("Set these back? [y/N] ") != "y":
            return "Nothing is set back."
        cloudformation.execute_change_set(ChangeSetName=change_set)
        not_executed.pop_all()
    cloudformation.get_waiter("stack_update_complete").wait(StackName=stack)
    return "All of it is set back."


def _changes(cloudformation: Any, change_set: str) -> list[dict[str, Any]]:
    """Return the changes of the change set once it is complete. Raises CannotDeploy if it cannot be made."""
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change_set)
    except WaiterError as error:
        reason = error.last_response.get("StatusReason", "")
        if any(each in reason for each in NO_CHANGES):
            return []
        raise CannotDeploy(f"CloudFormation cannot compare the stack with its template: {reason}") from None
    pages = cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    return [each["ResourceChange"] for page in pages for each in page["Changes"]]


def _described(change: Mapping[str, Any]) -> str:
    """Say what is done with a resource, and to which properties."""
    properties = sorted({each["Target"].get("Name", "Tags") for each in change.get("Details", [])})
    replaced = "" if change.get("Replacement", "False") == "False" else f", Replacement: {change['Replacement']}"
    return f"{change['Action']} {change['LogicalResourceId']}: {', '.join(properties) or 'all of it'}{replaced}"


def main() -> None:
    """Print the target and the outcome. Exit with 2 if nothing can be set back."""
    try:
        chosen = read_target(sys.argv[1:])
        sys.stdout.write(f"{describe(chosen, os.environ)}\n")
        outcome = repair(cloudformation(chosen), chosen.stack, input)
    except (CannotDeploy, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{outcome}\n")


if __name__ == "__main__":
    main()
