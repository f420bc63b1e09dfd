"""Let updates of a stack delete and replace no table, secret or queue; `--free "NAME NAME"` lets it, of some.

python -m scripts.stack_policy [--free NAMES] ARGUMENTS OF sam deploy...
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.template import read_document
from scripts.deploy_target import cloudformation
from scripts.parameter_overrides import CannotDeploy
from scripts.sam_options import read_target

HOLDING = ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::SQS::Queue")  # hold what no deployment restores
NO_STACK = ("does not exist", "REVIEW_IN_PROGRESS", "specify a region")  # the last one of --guided, which asks for it
ALLOW = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
KEEP = {
    "Effect": "Deny",
    "Action": ["Update:Delete", "Update:Replace"],
    "Principal": "*",
    "Condition": {"StringEquals": {"ResourceType": [*HOLDING]}},
}
FOREIGN = (
    "The stack has a policy that make deploy has not set. It stays: let its owner keep tables, secrets and queues from "
    "being deleted or replaced.\n"
)


def policy(freed: Sequence[str] = ()) -> str:
    """Return the policy that keeps all that holds data but some resources, by logical id."""
    these = {"NotResource": [f"LogicalResourceId/{each}" for each in freed]} if freed else {"Resource": "*"}
    return json.dumps({"Statement": [ALLOW, KEEP | these]})


def is_ours(body: str) -> bool:
    """Return whether a stack's policy is one of this script, of this version or an earlier one."""
    statements: Any = json.loads(body)["Statement"]
    statements = statements if isinstance(statements, list) else [statements]  # JSON allows one without brackets
    return all(each == ALLOW or KEEP.items() <= each.items() for each in statements)


def _freed(names: str, *, guided: bool) -> list[str]:
    """Raises CannotDeploy for the name of anything else, and if nobody knows of which stack."""
    resources = read_document()["Resources"]
    holding = [name for name, each in resources.items() if each["Type"] in HOLDING]
    if unknown := set(names.split()) - set(holding):
        raise CannotDeploy(
            f"ALLOW_DATA_LOSS names the resources that the update may delete or replace, of {', '.join(holding)}; not "
            f"{', '.join(sorted(unknown))}."
        )
    if names and guided:
        raise CannotDeploy("With --guided, SAM asks for the stack. Leave it out to deploy with ALLOW_DATA_LOSS.")
    return names.split()


def main() -> None:
    """Set the stack policy, if there is a stack and nobody else has set one. Exit with 2 if that fails."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--free", default="")
    given, arguments = parser.parse_known_args()
    try:
        chosen = read_target(arguments)
        freed = _freed(given.free, guided=chosen.guided)
        stacks = cloudformation(chosen)
        if is_ours(stacks.get_stack_policy(StackName=chosen.stack).get("StackPolicyBody") or policy()):
            stacks.set_stack_policy(StackName=chosen.stack, StackPolicyBody=policy(freed))
        else:
            sys.stderr.write(FOREIGN)
    except (CannotDeploy, BotoCoreError, ClientError) as error:
        if isinstance(error, CannotDeploy) or not any(each in str(error) for each in NO_STACK):
            sys.stderr.write(f"The stack policy is not set. If access is denied, see deployer-policy.json: {error}\n")
            sys.exit(2)


if __name__ == "__main__":
    main()
