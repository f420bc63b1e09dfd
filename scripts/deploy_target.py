"""Print the target of `make deploy` before it builds; or what is missing, and the remedy.

python -m scripts.deploy_target ARGUMENTS OF sam deploy...
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from local.template import read_document
from scripts.parameter_overrides import NOW, CannotDeploy
from scripts.sam_options import Target, read_target

UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",  # of a first change set that nobody has applied; SAM makes a new one
)
WITHOUT_ROLLBACK = ("CREATE_FAILED", "UPDATE_FAILED")  # of --disable-rollback, which repeating them needs as well
FIRST_FAILED = "Its first deployment failed. Delete it and deploy again: .tools/sam/bin/sam delete --stack-name {stack}"
UNFINISHED = (
    "Remove the cause, then deploy with ARGS=--disable-rollback. Or have an administrator undo it: "
    "aws cloudformation rollback-stack --stack-name {stack}"
)
REMEDIES = {
    "ROLLBACK_COMPLETE": FIRST_FAILED,
    "ROLLBACK_FAILED": FIRST_FAILED,
    "DELETE_FAILED": "Its removal failed. Finish it: .tools/sam/bin/sam delete --stack-name {stack}",
    "UPDATE_ROLLBACK_FAILED": "An update failed, and so did its rollback. Do not delete the stack with its waiting "
    "changes. Remove the cause, then run: aws cloudformation continue-update-rollback --stack-name {stack}",
    "CREATE_FAILED": UNFINISHED,
    "UPDATE_FAILED": UNFINISHED,
}
BECOMES = {  # those whose other values a stack may have in use: what becomes of it
    "AcceptFirstEventSignature": "Batches that are signed over their first event, without an event key, get a 401, and "
    "Segment does not send them again. Have the mapping send the key in a header.",
    "OrderingGuard": "The worker keeps a row of each member, and the table has none yet, or old ones: switch `renew` "
    "off, and re-sync the audiences in Segment afterwards.",
    "AllowIdRetention": "Segment can create no dataset whose hashes Amazon keeps; audience-sync audiences create can.",
}
CALLS = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})  # seconds
ACCOUNTS = ("amzn1.ads1.ma1.", "ENTITY")  # ids of manager and DSP accounts, which go in different headers
GUIDED_REGION = "us-east-1"  # of the credentials' account; `sam deploy --guided` asks for the stack's region


def describe(chosen: Target, environment: Mapping[str, str]) -> str:
    """Look up the account of the credentials, and return a sentence about the deployment.

    Raises:
        CannotDeploy: there is no region, there are no credentials, or AWS does not accept them.
    """
    try:
        session = boto3.Session(profile_name=chosen.profile)
    except ProfileNotFound:
        raise CannotDeploy("Your AWS configuration has no such profile. Set AWS_PROFILE to one.") from None
    region = chosen.region or environment.get("AWS_REGION") or session.region_name
    if not region and not chosen.guided:
        raise CannotDeploy(
            "No AWS region is set. Set AWS_REGION, for example: AWS_REGION=eu-west-1 make deploy. "
            "Or choose it with ARGS='--region eu-west-1'."
        )
    try:
        account = session.client("sts", region_name=region or GUIDED_REGION, config=CALLS).get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError):
        raise CannotDeploy(
            "AWS credentials are missing or incomplete. Sign in, e.g. with `aws sso login`, and set AWS_PROFILE, "
            "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise CannotDeploy(f"AWS does not accept the credentials ({code}). Sign in again.") from None
    except BotoCoreError as error:
        raise CannotDeploy(
            f"AWS does not answer in {region or GUIDED_REGION} ({type(error).__name__}). "
            "Check the network, the name of the region and, with SSO, sign in again."
        ) from None
    _refuse_account(chosen.parameters)
    note = _refuse_stack(session, region, chosen) if region else ""
    where = f"in {region}" if region else "in the region that SAM asks for"
    return f"The stack is {chosen.stack}, in the account {account['Account']}, {where}.{note}"


def cloudformation(chosen: Target) -> Any:
    """Return a client for the account and region of the stack."""
    session = boto3.Session(profile_name=chosen.profile, region_name=chosen.region or os.environ.get("AWS_REGION"))
    return session.client("cloudformation", config=CALLS)


def _refuse_account(parameters: Mapping[str, str]) -> None:
    """Raise CannotDeploy if Amazon would get the account of the datasets in the wrong header."""
    account = parameters.get("DataManagerAccountId", "")
    if account and not account.startswith(ACCOUNTS):
        raise CannotDeploy(
            f"DataManagerAccountId is neither a manager account's id, which begins with {ACCOUNTS[0]}, nor a DSP "
            f"account's, which begins with {ACCOUNTS[1]}. Copy it from Amazon's console."
        )


def _refuse_mappings(session: boto3.Session, region: str, stack: Mapping[str, Any]) -> str:
    """Raise CannotDeploy if events would be refused because of a stored mapping. Return a note if nobody can look."""
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if "AudienceTableName" not in outputs:
        return ""  # the first deployment has not made one
    table = session.client("dynamodb", region_name=region, config=CALLS)
    try:
        row = table.get_item(TableName=outputs["AudienceTableName"], Key={"audienceId": {"S": "#mappings"}}).get("Item")
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return f" These credentials cannot tell ({code}): `audience-sync mappings show` must show no @liquid."
    document = json.loads(row["document"]["S"]) if row else []
    mappings = document["mappings"] if isinstance(document, dict) else document
    if using := [each["name"] for each in mappings if '"@liquid":' in json.dumps(each)]:
        raise CannotDeploy(
            "Every event would get a 503, because @liquid is no longer possible, and these mappings use it: "
            f"{', '.join(using)}. Write that part with @template, @if, @case or @replace, and apply it with "
            "`audience-sync mappings apply`; then deploy."
        )
    return ""


def _refuse_stack(session: boto3.Session, region: str, chosen: Target) -> str:
    """Raise CannotDeploy if the deployment cannot update the existing stack, or would reset its parameters.

    Returns a note about what nobody can look at with these credentials.
    """
    try:
        stacks: Any = session.client("cloudformation", region_name=region, config=CALLS)
        (stack,) = stacks.describe_stacks(StackName=chosen.stack)["Stacks"]
    except (BotoCoreError, ClientError):
        return ""  # none, or not visible; SAM reports missing permissions
    if remedy := _remedy(stack["StackStatus"], chosen):
        raise CannotDeploy(f"CloudFormation cannot update the stack {chosen.stack} ({stack['StackStatus']}). {remedy}")
    held = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
    if (shards := held.get("MembershipShards", NOW["MembershipShards"])) != NOW["MembershipShards"]:
        raise CannotDeploy(
            f"Most rows of {chosen.stack} would not be found: they are in {shards} shards, and this version looks in "
            f"{NOW['MembershipShards']}. Deploy a second stack, and re-sync the audiences in Segment."
        )
    for name, becomes in BECOMES.items():
        if held.get(name, NOW[name]) != NOW[name]:
            raise CannotDeploy(
                f"{chosen.stack} has {name}={held[name]}, which is no longer possible. {becomes} Then set "
                f"{name}={NOW[name]} with the version that runs, the stack's output Commit, and deploy again."
            )
    dsp = held.get("DataManagerDspAccountId", "")
    if dsp and not chosen.parameters.get("DataManagerAccountId"):
        raise CannotDeploy(
            f"{chosen.stack} would have no account of Ads Data Manager any more: DataManagerAccountId takes the id of "
            f"a DSP account as well. Also give DataManagerAccountId={dsp}."
        )
    updated = held | dict(chosen.parameters)
    _refuse_account(updated)
    key = held.get("KmsKeyArn", "")
    if key and key not in (updated["KmsKeyArn"], updated.get("PreviousKmsKeyArn")):
        raise CannotDeploy(
            "Messages in the queues are under the key that KmsKeyArn names now, and the functions could no longer read "
            f"them. Also give PreviousKmsKeyArn={key}, and clear it after 14 days."
        )
    if chosen.guided and (changed := _changed(stack, chosen.parameters)):
        raise CannotDeploy(
            f"The stack {chosen.stack} exists, and --guided does not offer its values: Enter would change "
            f"{', '.join(changed)}. Deploy without --guided, which keeps them; set others with "
            "ARGS='--parameter-overrides NAME=VALUE'. For another stack: ARGS='--guided --stack-name NAME'."
        )
    return _refuse_mappings(session, region, stack)


def _remedy(status: str, chosen: Target) -> str | None:
    """Return what to do before the deployment; None if a stack in this state can be updated."""
    if status in UPDATABLE or (status in WITHOUT_ROLLBACK and chosen.disable_rollback):
        return None
    if status.endswith("_IN_PROGRESS"):
        return "An operation is running. Wait until it has ended, then deploy again."
    see = "See why: aws cloudformation describe-stack-events --stack-name {stack}"
    return REMEDIES.get(status, see).format(stack=chosen.stack)


def _changed(stack: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """Return the parameters for which SAM would offer a different value than the stack's."""
    defaults = {name: str(each.get("Default", "")) for name, each in read_document()["Parameters"].items()}
    offered = defaults | dict(given)
    return sorted(
        each["ParameterKey"]
        for each in stack.get("Parameters", [])
        if each["ParameterValue"] != offered.get(each["ParameterKey"], each["ParameterValue"])
    )


def main() -> None:
    """Print one sentence. Exit with 2 if deploying is impossible."""
    try:
        sentence = describe(read_target(sys.argv[1:]), os.environ)
    except CannotDeploy as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
