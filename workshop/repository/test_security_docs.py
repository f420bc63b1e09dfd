"""The command writes files only where docs/security.md says so, and what the page has an operator paste is valid."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from local.template import ROOT, read_document


def test_only_import_commands_and_new_private_files_are_written() -> None:
    def writes(call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        return name in {"open", "write_text", "write_bytes", "dump", "mkdir", "touch", "NamedTemporaryFile", "mkstemp"}

    calls = [
        f"{path.name}:{node.lineno}"
        for path in Path(ROOT / "audience_sync_cli").rglob("*.py")
        if (path.parent.name, path.stem)
        not in {
            ("frame", "files"),
            *(("member_files", name) for name in ("import_state", "lists", "member_file")),
        }
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and writes(node) and not re.match(r"webbrowser|.*'rb'\)$", ast.unparse(node))
    ]
    assert calls == []


def test_the_cloudtrail_selectors_are_valid_and_exclude_only_the_functions() -> None:
    text, resources = (ROOT / "docs/security.md").read_text(encoding="utf-8"), read_document()["Resources"]
    selectors = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    session: Any = botocore.session.get_session()
    shape = session.get_service_model("cloudtrail").operation_model("PutEventSelectors").input_shape
    report = ParamValidator().validate({"TrailName": "trail", "AdvancedEventSelectors": selectors}, shape)
    assert report.generate_report() == ""
    fields = [{each["Field"]: each for each in selector["FieldSelectors"]} for selector in selectors[1:]]
    assert {each["resources.type"]["Equals"][0] for each in fields} == {"AWS::DynamoDB::Table", "AWS::SQS::Queue"}
    for each in fields:
        (left_out,) = each["userIdentity.arn"]["NotStartsWith"]
        assert left_out.endswith(":assumed-role/audience-sync-")
    names = [resources[name]["Properties"].get("RoleName") for name in resources if name.endswith("Role")]
    assert set(names) == {None}, "CloudFormation makes names of the stack's name and the role's"
