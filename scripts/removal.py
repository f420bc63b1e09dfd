"""Run the command that removes a stack, then check that exactly the resources to keep remain.

python -m scripts.removal STACK COMMAND...
"""

import subprocess
import sys
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scripts.one_event import expect, outputs_of

KEPT_TABLES = ("AudienceTableName", "MembershipTableName")  # outputs of the stack
KEPT_SECRETS = ("IngestSecretArn", "CredentialsSecretArn")


def main() -> None:
    """Exit with 1 if the command fails, or if resources are wrongly kept or deleted."""
    stack, *command = sys.argv[1:]
    outputs = outputs_of(stack)
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - the command line is the caller's own
    dynamodb: Any = boto3.client("dynamodb")
    for table in KEPT_TABLES:
        found = dynamodb.describe_table(TableName=outputs[table])["Table"]
        expect(found["DeletionProtectionEnabled"] is True, f"the table is kept and protected: {table}")
    for secret in KEPT_SECRETS:
        expect(_exists(outputs[secret]), f"the secret is kept: {secret}")
    expect(not _exists(outputs["TokenSecretArn"]), "the token is deleted")


def _exists(secret: str) -> bool:
    try:
        boto3.client("secretsmanager").get_secret_value(SecretId=secret)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", "InvalidRequestException"):
            return False  # the second one: it is marked for deletion
        raise
    return True


if __name__ == "__main__":
    main()
