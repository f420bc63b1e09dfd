"""Print the target of `make deploy` before it builds; or what is missing, and the remedy.

python -m scripts.deploy_target ARGUMENTS OF sam deploy...
"""

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from local.template import read_document

ROOT = Path(__file__).resolve().parent.parent
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
# A name, its value, and what SAM drops behind it: without quotes of its own, a value ends at the first space.
PARAMETER = re.compile(
    r"""(?<!\S)(\w+)=("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"]*)((?: +(?=\n)|\s+[^\s=]+(?!\S))*)"""
)
CUT = (
    "Without quotes of its own, SAM cuts a value at a space and ignores an empty one: see the value of {name}. Write "
    'ARGS="--parameter-overrides \'{name}=\\"VALUE\\"\'", or in samconfig.toml: '
    "parameter_overrides = '{name}=\"VALUE\"'."
)
NOW = {  # parameters of earlier versions, and the constant in place of each
    "AcceptFirstEventSignature": "no",
    "AllowIdRetention": "no",
    "DataManagerDspAccountId": "DataManagerAccountId",
    "ErasureAlarmDays": "4",
    "JobsConcurrency": "MaximumConcurrency",
    "LiteralEmail": "no",
    "LogLevel": "INFO",
    "MatchRateFallPercent": "30",
    "MaxRecordsPerUpload": "6,000",
    "MaxUploadBytes": "1,000,000",
    "MembershipShards": "8",
    "OrderingGuard": "yes",
    "SilentDays": "4",
}
BECOMES = {  # those whose other values a stack may have in use: what becomes of it
    "AcceptFirstEventSignature": "Batches that are signed over their first event, without an event key, get a 401, and "
    "Segment does not send them again. Have the mapping send the key in a header.",
    "OrderingGuard": "The worker keeps a row of each member, and the table has none yet, or old ones: switch `renew` "
    "off, and re-sync the audiences in Segment afterwards.",
    "AllowIdRetention": "Segment can create no dataset whose hashes Amazon keeps; audience-sync audiences create can.",
}
UNCHECKED = (
    "SAM would read {what}, whose names nobody checks here, and would leave out a misspelt one. Write NAME=VALUE in "
    "ARGS, or in parameter_overrides of samconfig.toml."
)
CALLS = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})  # seconds
GUIDED_REGION = "us-east-1"  # of the credentials' account; `sam deploy --guided` asks for the stack's region


@dataclass(frozen=True, slots=True)
class Target:
    """Choices of the arguments and samconfig.toml; None if left to the environment."""

    region: str | None
    profile: str | None
    stack: str
    guided: bool
    parameters: Mapping[str, str] = field(default_factory=dict)  # given or saved values
    disable_rollback: bool = False


class CannotDeploy(Exception):
    """Nothing was built or changed. The message says what is missing, and the remedy."""


def target(arguments: Sequence[str], config: Mapping[str, Any]) -> Target:
    """Read the arguments of `sam deploy` as SAM does: samconfig.toml has the defaults.

    Raises:
        CannotDeploy: samconfig.toml has no environment of this name.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--region", "--profile", "--stack-name"):
        parser.add_argument(option)
    parser.add_argument("--config-env", default="default")
    parser.add_argument("--guided", "-g", action="store_true")
    parser.add_argument("--disable-rollback", action="store_true")
    parser.add_argument("--parameter-overrides", nargs="*")
    given, _ = parser.parse_known_args(list(arguments))
    if given.config_env not in config:
        environments = ", ".join(name for name in config if isinstance(config[name], dict))
        raise CannotDeploy(f"samconfig.toml has no environment {given.config_env}. It has: {environments}.")
    sections = config[given.config_env]
    saved = {
        key: value
        for section in ("global", "deploy")
        for key, value in sections.get(section, {}).get("parameters", {}).items()
    }
    return Target(
        region=given.region or saved.get("region"),
        profile=given.profile or saved.get("profile"),
        stack=given.stack_name or saved.get("stack_name", "audience-sync"),
        guided=given.guided,
        parameters=_values(given.parameter_overrides or saved.get("parameter_overrides", [])),
        disable_rollback=given.disable_rollback or bool(saved.get("disable_rollback")),
    )


def _values(overrides: str | Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """Read `Name=value Other=value`, as one string, a list or a table. Raises CannotDeploy if SAM would read less."""
    if isinstance(overrides, Mapping):
        return _declared({name: str(value) for name, value in overrides.items()})
    written = overrides if isinstance(overrides, str) else "".join(f"{word}\n" for word in overrides)
    if unchecked := re.search(r"""(?<!\S)(file://|["']\w+["']=)""", written):
        raise CannotDeploy(UNCHECKED.format(what="the file" if unchecked[1] == "file://" else "names in quotes"))
    found = PARAMETER.findall(written.replace("ParameterKey=", "").replace(",ParameterValue=", "="))
    for name in [name for name, value, dropped in found if dropped or not value]:
        raise CannotDeploy(CUT.format(name=name))
    return _declared({name: value[1:-1] if value[0] in "\"'" else value for name, value, _ in found})


def _declared(given: dict[str, str]) -> dict[str, str]:
    """Return the parameters. Raises CannotDeploy if the template lacks one, which SAM would silently leave out."""
    declared = read_document()["Parameters"]
    if faults := [_fault(name, declared) for name in sorted(given.keys() - declared)]:
        raise CannotDeploy(f"{' '.join(faults)} Correct ARGS, or parameter_overrides in samconfig.toml.")
    return given


def _fault(name: str, declared: Iterable[str]) -> str:
    if name in NOW:
        return f"{name} is no longer a parameter: {NOW[name]} applies."
    near = [f" Is it {each}?" for each in get_close_matches(name, declared, 1)]
    return f"No parameter {name}.{''.join(near)}"


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
    if region:
        _refuse_stack(session.client("cloudformation", region_name=region, config=CALLS), chosen)
    where = f"in {region}" if region else "in the region that SAM asks for"
    return f"The stack is {chosen.stack}, in the account {account['Account']}, {where}."


def cloudformation(chosen: Target) -> Any:
    """Return a client for the account and region of the stack."""
    session = boto3.Session(profile_name=chosen.profile, region_name=chosen.region or os.environ.get("AWS_REGION"))
    return session.client("cloudformation", config=CALLS)


def _refuse_stack(cloudformation: Any, chosen: Target) -> None:
    """Raise CannotDeploy if the deployment cannot update the existing stack, or would reset its parameters."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=chosen.stack)["Stacks"]
    except (BotoCoreError, ClientError):
        return  # none, or not visible; SAM reports missing permissions
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
    key = held.get("KmsKeyArn", "")
    updated = held | dict(chosen.parameters)
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
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    try:
        sentence = describe(target(sys.argv[1:], config), os.environ)
    except CannotDeploy as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
