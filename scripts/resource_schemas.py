"""Summarize AWS's schemas for the stack's resource types: calls of CloudFormation, and properties that replace.

    .tools/sam/bin/python scripts/resource_schemas.py [--write]

The schemas are cfn-lint's, which comes with SAM. Writes tests/fixtures/resource-schemas.json, which the tests compare
with docs/deployer-policy.json and with the template of the last release. Without --write, exits with 1 if that file
is outdated.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.parser.parser import Parser  # type: ignore[import-not-found]
from samtranslator.translator.translator import Translator  # type: ignore[import-not-found]

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests/fixtures/resource-schemas.json"
REGION = "us-east-1"  # the region with the most complete schemas
HANDLERS = ("create", "read", "update", "delete")  # the fifth, `list`, serves imports


def resource_types() -> list[str]:
    """Return the CloudFormation types that SAM makes of the template."""
    template: Any = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = "s3://bucket/key"  # the translator does not accept folders
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    translated = translator.translate(sam_template=template, parameter_values={})
    return sorted({resource["Type"] for resource in translated["Resources"].values()})


def summary(resource_type: str) -> dict[str, Any]:
    """Summarize one schema: permissions by handler, and the properties whose change replaces the resource."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource_type).schema
    handlers = schema.get("handlers", {})
    fixed = [*schema.get("createOnlyProperties", ()), *(schema.get("conditionalCreateOnlyProperties") or ())]
    return {
        "permissions": sorted({each for name in HANDLERS for each in handlers.get(name, {}).get("permissions", ())}),
        "replacedBy": sorted(each.removeprefix("/properties/") for each in fixed),
    }


def main() -> None:
    """Compare the file with the schemas, or write it."""
    text = json.dumps({each: summary(each) for each in resource_types()}, indent=1) + "\n"
    if "--write" in sys.argv[1:]:
        FIXTURE.write_text(text, encoding="utf-8")
    elif FIXTURE.read_text(encoding="utf-8") != text:
        sys.stderr.write(
            f"{FIXTURE.relative_to(ROOT)} differs from the schemas of the template's resource types. "
            "Update it: .tools/sam/bin/python scripts/resource_schemas.py --write\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
