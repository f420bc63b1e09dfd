"""Let updates of a stack delete and replace no table, secret or queue; `--lift` lets the next one.

python -m scripts.stack_policy [--lift] ARGUMENTS OF sam deploy...
"""

import json
import sys
import tomllib

from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy_target import ROOT, CannotDeploy, cloudformation, target

HOLDING = ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::SQS::Queue")  # hold what no deployment restores
NO_STACK = ("does not exist", "REVIEW_IN_PROGRESS", "specify a region")  # the last one of --guided, which asks for it
ALLOW = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
KEEP = ALLOW | {
    "Effect": "Deny",
    "Action": ["Update:Delete", "Update:Replace"],
    "Condition": {"StringEquals": {"ResourceType": HOLDING}},
}


def main() -> None:
    """Set the stack policy, if there is a stack. Exit with 2 if that fails."""
    policy = {"Statement": [ALLOW] if "--lift" in sys.argv else [ALLOW, KEEP]}
    try:
        chosen = target(sys.argv[1:], tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8")))
        cloudformation(chosen).set_stack_policy(StackName=chosen.stack, StackPolicyBody=json.dumps(policy))
    except (CannotDeploy, BotoCoreError, ClientError) as error:
        if not any(each in str(error) for each in NO_STACK):
            sys.stderr.write(
                f"The stack policy is not set. If access is denied, attach deployer-policy.json: {error}\n"
            )
            sys.exit(2)


if __name__ == "__main__":
    main()
