"""The schema of what each command prints under --json, docs/cli.schema.json."""

import json
from typing import Any

from jsonschema import Draft202012Validator

from local.template import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/cli.schema.json").read_text(encoding="utf-8"))


def faults(command: str, document: Any) -> list[str]:
    """Return what in a document is not as its command's schema has it."""
    validator = Draft202012Validator(SCHEMA["commands"][command] | {"$defs": SCHEMA["$defs"]})
    return [f"{command}: {fault.json_path}: {fault.message}" for fault in validator.iter_errors(document)]
