"""Stands in for the AWS CLI, so that the rehearsal can run the lines which `make release` and docs/operate.md print.

python -m scripts.cloudshell cloudformation OPERATION --OPTION VALUE...
"""

import sys
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name


def main() -> None:
    """Run one operation, or waiter, of CloudFormation. Prints only what `--query` selects `--output text`."""
    words = sys.argv[2:]
    start = next(index for index, word in enumerate(words) if word.startswith("--"))
    options: dict[str, list[str]] = {}
    for word in words[start:]:
        if word.startswith("--"):
            options[word.removeprefix("--")] = values = []
        else:
            values.append(word)
    client: Any = boto3.client("cloudformation", region_name=options.pop("region", [None])[0])
    (query,), (output,) = options.pop("query", [""]), options.pop("output", [""])
    name = words[start - 1]  # of the operation, or of the waiter behind `wait`
    model = client.meta.service_model.operation_model(_camel(name if start == 1 else "describe-stacks")).input_shape
    given: dict[str, Any] = {
        _camel(option): [_structure(each) for each in values]
        if model.members[_camel(option)].type_name == "list"
        else values[0]
        for option, values in options.items()
    }
    if name == "update-stack":  # CloudFormation refuses parameters that the new template lacks; the emulator does not
        summary = client.get_template_summary(TemplateURL=given["TemplateURL"])
        unknown = {each["ParameterKey"] for each in given["Parameters"]}
        if unknown := unknown - {each["ParameterKey"] for each in summary["Parameters"]}:
            sys.exit(f"ValidationError: Parameters: {sorted(unknown)} do not exist in the template")
    if start > 1:
        client.get_waiter(xform_name(_camel(name))).wait(**given, WaiterConfig={"Delay": 1})  # seconds
        return
    answer = getattr(client, xform_name(_camel(name)))(**given)
    if output == "text":
        found = jmespath.search(query, answer)  # the AWS CLI prints None for what is not there
        sys.stdout.write(("\t".join(found) if isinstance(found, list) else str(found)) + "\n")


def _camel(name: str) -> str:
    return "".join(word.upper() if word == "url" else word.capitalize() for word in name.split("-"))


def _structure(value: str) -> str | dict[str, Any]:
    """Read the AWS CLI's shorthand, `Key=a,Value=b`."""
    pairs = [part.split("=", 1) for part in value.split(",")]
    return {pair[0]: pair[1] == "true" or pair[1] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else value


if __name__ == "__main__":
    main()
