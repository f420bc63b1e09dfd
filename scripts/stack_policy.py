"""Let updates of a stack delete and replace no table, secret or queue; `--lift` lets the next one.

python -m scripts.stack_policy [--lift] ARGUMENTS OF sam deploy...
"""

import json
import sys
import tomllib

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from scripts.deploy_target import ROOT, CannotDeploy, cloudformation, target

HOLDING = ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::SQS::Queue")  # hold what no deployment restores
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
    except NoRegionError:
        return  # `sam deploy --guided` asks for it
    except (CannotDeploy, BotoCoreError, ClientError) as error:
        if "does not exist" in str(error) or "REVIEW_IN_PROGRESS" in str(error):
            return  # before the first deployment
        sys.stderr.write(
            f"The stack policy is not set: {error}\nIf access is denied, attach this docs/deployer-policy.json.\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
