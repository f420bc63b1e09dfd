"""Check version and audiences of a deployed stack with the operator's command, as from another machine.

python -m scripts.ask_stack STACK
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3

from scripts.one_event import expect
from scripts.stand_ins import AUDIENCE

ROOT = Path(__file__).resolve().parent.parent
COMMAND = str(Path(sys.executable).parent / "audience-sync")


def main() -> None:
    """Exit with 1 if the stack's version differs, or the command does not find its parts."""
    (stack,) = sys.argv[1:]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    described: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    expect(tags.get("version") == version, f"the tags of the stack name its version: {tags}")
    policy = boto3.client("cloudformation").get_stack_policy(StackName=stack)["StackPolicyBody"]
    expect('"Update:Replace"' in policy, "updates may not replace tables, secrets and queues")
    status, notes = _ask("status", stack)
    same = status["version"] == version and "this command is version" not in notes
    expect(same, f"audience-sync finds version {version}, which is its own")
    listed, _ = _ask("audiences", "list", stack)
    expect(AUDIENCE.audience_id in json.dumps(listed), "audience-sync lists the audience")


def _ask(*words: str) -> tuple[Any, str]:
    """Run the command on the stack; return its JSON document and its notes."""
    *command, stack = words
    asked = [COMMAND, *command, "--json", "--stack", stack]
    done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=120)  # noqa: S603 - our own command
    return json.loads(done.stdout), done.stderr


if __name__ == "__main__":
    main()
