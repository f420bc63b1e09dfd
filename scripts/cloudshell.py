"""Run the lines for AWS CloudShell that `make release` prints, on a machine without the AWS CLI.

python -m scripts.cloudshell < FILE
"""

import shlex
import sys
from collections.abc import Sequence
from typing import Any

import boto3
from botocore import xform_name

COMMAND = "aws cloudformation "


def main() -> None:
    """Run every line of CloudFormation on the standard input; other lines are text for people."""
    for line in sys.stdin.read().replace("\\\n", " ").splitlines():
        if line.startswith(COMMAND):
            _run(shlex.split(line.removeprefix(COMMAND)))


def _run(words: Sequence[str]) -> None:
    start = next(index for index, word in enumerate(words) if word.startswith("--"))
    options: dict[str, list[str]] = {}
    for word in words[start:]:
        if word.startswith("--"):
            options[word.removeprefix("--")] = values = []
        else:
            values.append(word)
    client: Any = boto3.client("cloudformation", region_name=options.pop("region")[0])
    name = words[start - 1]  # of the operation, or of the waiter behind `wait`
    model = client.meta.service_model.operation_model(_camel(name if start == 1 else "describe-stacks")).input_shape
    given = {
        _camel(option): [_structure(each) for each in values]
        if model.members[_camel(option)].type_name == "list"
        else values[0]
        for option, values in options.items()
        if option not in ("query", "output")  # these two concern what the AWS CLI prints
    }
    if start == 1:
        getattr(client, xform_name(_camel(name)))(**given)
    else:
        client.get_waiter(xform_name(_camel(name))).wait(**given, WaiterConfig={"Delay": 1})  # seconds


def _camel(name: str) -> str:
    words = name.split("-")
    return "".join(word.upper() if word == "url" else word.capitalize() for word in words)


def _structure(value: str) -> str | dict[str, str]:
    """Read the AWS CLI's shorthand, `Key=a,Value=b`."""
    pairs = [part.split("=", 1) for part in value.split(",")]
    return {pair[0]: pair[1] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else value


if __name__ == "__main__":
    main()
