"""Set back what was changed in a stack by hand. `make deploy` does not: CloudFormation then compares templates only.

python -m scripts.repair ARGUMENTS OF sam deploy...
"""

import os
import sys
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from scripts.deploy_target import CALLS, ROOT, CannotDeploy, target

NO_CHANGES = ("didn't contain changes", "No updates are to be performed")  # in the reason of a change set without any


def compare(cloudformation: Any, stack: str) -> str | None:
    """Return the ARN of a change set that brings the resources back to the stack's own template, parameters and tags.

    It is None if no resource differs. Raises CannotDeploy if CloudFormation cannot compare them.
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
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change_set)
    except WaiterError as error:
        reason = error.last_response.get("StatusReason", "")
        if any(each in reason for each in NO_CHANGES):
            return None
        raise CannotDeploy(f"CloudFormation cannot compare the stack with its template: {reason}") from None
    return change_set


def described(cloudformation: Any, change_set: str) -> Iterator[str]:
    """Yield a line for each resource: what is done with it, and to which properties."""
    pages = cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    for change in (each["ResourceChange"] for page in pages for each in page["Changes"]):
        properties = sorted({each["Target"].get("Name", "Tags") for each in change.get("Details", [])})
        replaced = "" if change.get("Replacement", "False") == "False" else f", Replacement: {change['Replacement']}"
        yield f"{change['Action']} {change['LogicalResourceId']}: {', '.join(properties) or 'all of it'}{replaced}"


def main() -> None:
    """Show what differs, ask, and set it back. Exit with 2 if that is impossible."""
    chosen = target(sys.argv[1:], tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8")))
    session = boto3.Session(profile_name=chosen.profile, region_name=chosen.region or os.environ.get("AWS_REGION"))
    cloudformation = session.client("cloudformation", config=CALLS)
    try:
        change_set = compare(cloudformation, chosen.stack)
        if change_set is None:
            sys.stdout.write("Every resource is as the template says.\n")
            return
        sys.stdout.writelines(f"{line}\n" for line in described(cloudformation, change_set))
        if input("Set these back? [y/N] ") == "y":
            cloudformation.execute_change_set(ChangeSetName=change_set)
            cloudformation.get_waiter("stack_update_complete").wait(StackName=chosen.stack)
    except (CannotDeploy, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
