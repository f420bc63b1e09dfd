"""Print the parts of a stack that an update must keep: tables, queues, secrets, API, and a digest of the event key.

python -m scripts.kept STACK
"""

import hashlib
import json
import sys

import boto3

from scripts.one_event import outputs_of

TYPES = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SecretsManager::Secret", "AWS::ApiGatewayV2::Api")


def main() -> None:
    """Print one line for each."""
    (stack,) = sys.argv[1:]
    found = boto3.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    kept = [
        f"{each['LogicalResourceId']} {each['PhysicalResourceId']}" for each in found if each["ResourceType"] in TYPES
    ]
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=outputs_of(stack)["IngestSecretArn"])[
        "SecretString"
    ]
    digest = hashlib.sha256(json.loads(secret)["eventKey"].encode()).hexdigest()[:8]
    sys.stdout.write("\n".join([*sorted(kept), f"event key {digest}"]) + "\n")


if __name__ == "__main__":
    main()
