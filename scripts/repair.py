"""Set back what was changed in a stack by hand. `make deploy` does not: CloudFormation then compares templates only.

python -m scripts.repair ARGUMENTS OF sam deploy...
"""

import os
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy_target import CALLS, ROOT, target

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]  # roles, and SAM's transform
PAUSE = 5  # seconds between two looks at what CloudFormation does
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")  # in the reason of a change set without any


class CannotRepair(Exception):
    """The message says why; what is changed by then is for CloudFormation to roll back."""


def compare(cloudformation: Any, stack: str, wait: Callable[[float], None]) -> dict[str, Any]:
    """Return a change set that brings the resources back to the stack's own template, parameters and tags.

    Raises:
        CannotRepair: CloudFormation cannot compare them.
    """
    (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    made = cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=f"repair-{time.time():.0f}",
        DeploymentMode="REVERT_DRIFT",  # compares the resources as well
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in found.get("Parameters", [])
        ],
        Tags=found.get("Tags", []),
        Capabilities=CAPABILITIES,
    )
    while (changes := _read(cloudformation, made["Id"]))["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
        wait(PAUSE)
    reason = changes.get("StatusReason", "")
    if changes["Status"] == "FAILED" and not any(each in reason for each in NO_CHANGES):
        raise CannotRepair(f"CloudFormation cannot compare the stack with its template: {reason}")
    return changes


def _read(cloudformation: Any, change_set: str) -> dict[str, Any]:
    """Read a change set with all pages of its changes."""
    page = read = cloudformation.describe_change_set(ChangeSetName=change_set)
    while token := page.get("NextToken"):
        page = cloudformation.describe_change_set(ChangeSetName=change_set, NextToken=token)
        read["Changes"] += page["Changes"]
    return dict(read)


def described(changes: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each resource: what is done with it, and to which properties."""
    for change in (each["ResourceChange"] for each in changes.get("Changes", [])):
        targets = (each.get("Target", {}) for each in change.get("Details", []))
        properties = sorted({each.get("Name", each.get("Attribute", "")) for each in targets})
        replaced = "" if change.get("Replacement", "False") == "False" else f", Replacement: {change['Replacement']}"
        yield f"{change['Action']} {change['LogicalResourceId']}: {', '.join(properties) or 'all of it'}{replaced}"


def apply(cloudformation: Any, changes: dict[str, Any], wait: Callable[[float], None]) -> None:
    """Execute a change set, and return when the stack is updated. Raises CannotRepair if it was rolled back."""
    cloudformation.execute_change_set(ChangeSetName=changes["ChangeSetId"])
    while True:
        wait(PAUSE)
        (found,) = cloudformation.describe_stacks(StackName=changes["StackId"])["Stacks"]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            break
    if found["StackStatus"] != "UPDATE_COMPLETE":
        raise CannotRepair(f"CloudFormation has not updated the stack: it is {found['StackStatus']}.")


def main() -> None:
    """Show what differs, ask, and set it back. Exit with 2 if that is impossible."""
    chosen = target(sys.argv[1:], tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8")))
    session = boto3.Session(profile_name=chosen.profile, region_name=chosen.region or os.environ.get("AWS_REGION"))
    cloudformation = session.client("cloudformation", config=CALLS)
    try:
        changes = compare(cloudformation, chosen.stack, time.sleep)
        lines = list(described(changes))
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "Every resource is as the template says.\n")
        if lines and input("Set these back? [y/N] ") == "y":
            apply(cloudformation, changes, time.sleep)
    except (CannotRepair, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
