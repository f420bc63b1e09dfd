"""Say where `make deploy` would deploy, before it builds; or what is missing, and how to set it.

python -m scripts.deploy_target ARGUMENTS OF sam deploy...
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

ROOT = Path(__file__).resolve().parent.parent
CALLS = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})  # seconds
GUIDED_REGION = (
    "us-east-1"  # `sam deploy --guided` asks for the region; this one serves to ask whose credentials these are
)


@dataclass(frozen=True, slots=True)
class Target:
    """What the arguments and samconfig.toml choose. None where they leave it to the environment."""

    region: str | None
    profile: str | None
    stack: str
    guided: bool


class CannotDeploy(Exception):
    """Nothing was built or changed. The text says what is missing, and the remedy."""


def target(arguments: Sequence[str], config: Mapping[str, Any]) -> Target:
    """Read the arguments of `sam deploy` as it reads them: what they leave open, samconfig.toml decides.

    Raises:
        CannotDeploy: samconfig.toml has no environment of this name.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--region", "--profile", "--stack-name"):
        parser.add_argument(option)
    parser.add_argument("--config-env", default="default")
    parser.add_argument("--guided", "-g", action="store_true")
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
    )


def describe(chosen: Target, environment: Mapping[str, str]) -> str:
    """Ask AWS whose credentials these are, and return a sentence about the deployment.

    Raises:
        CannotDeploy: there is no region, there are no credentials, or AWS does not accept them.
    """
    try:
        session = boto3.Session(profile_name=chosen.profile)
    except ProfileNotFound:
        raise CannotDeploy("Your AWS configuration has no such profile. Name another with AWS_PROFILE.") from None
    region = chosen.region or environment.get("AWS_REGION") or session.region_name
    if not region and not chosen.guided:
        raise CannotDeploy(
            "No AWS region is chosen. Set AWS_REGION, for example: AWS_REGION=eu-west-1 make deploy. "
            "Or choose it with ARGS='--region eu-west-1'."
        )
    try:
        account = session.client("sts", region_name=region or GUIDED_REGION, config=CALLS).get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError):
        raise CannotDeploy(
            "There are no complete AWS credentials. Sign in, for example with `aws sso login`, and set AWS_PROFILE; "
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
    where = f"in {region}" if region else "in the region that SAM asks for"
    return f"Deploys the stack {chosen.stack} to the account {account['Account']} {where}."


def main() -> None:
    """Print one sentence. Exit with 2 where nothing can be deployed."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    try:
        sentence = describe(target(sys.argv[1:], config), os.environ)
    except CannotDeploy as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
