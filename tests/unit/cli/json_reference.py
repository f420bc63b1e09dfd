"""Generates docs/cli-json.md from docs/cli.schema.json: `python -m tests.unit.cli.json_reference`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCS = Path(__file__).parents[3] / "docs"
DOCUMENT = DOCS / "cli-json.md"
SCHEMA: dict[str, Any] = json.loads((DOCS / "cli.schema.json").read_text(encoding="utf-8"))
HEAD = """# What the command prints under --json

With `--json`, every command of `audience-sync` prints one JSON document on standard output, also when it fails. `tail`
prints one for each line, and a command that is interrupted (exit code 130) none. This page is made from
[cli.schema.json](cli.schema.json), which has a JSON Schema for each command, to validate with or generate types from.

* Names are in camel case. Ids are texts, because Amazon's have more digits than many programs keep of a number.
* A time is a text in UTC: `2026-03-04T09:15:22.000Z`. A duration is a number of seconds.
* `null` is a value that is not known or not set. What a command leaves out is marked below.
* Later versions may add fields. Where one that is here changes, [CHANGELOG.md](../CHANGELOG.md) says so.
* The shapes of Amazon's connections and profiles are Amazon's own; only their ids are read here.
"""
_TYPES = {
    "string": "text",
    "integer": "number",
    "boolean": "true or false",
    "number": "number",
    "null": "null",
    "object": "object",
}


def reference() -> str:
    """Return the document: the shared objects, and what each command prints."""
    shared = {name: schema for name, schema in SCHEMA["$defs"].items() if schema["type"] == "object"}
    parts = [HEAD]
    for name, schema in shared.items():
        parts.append(f"\n## {_title(name)}\n\n{_sentence(schema['description'])}\n{_table(schema)}")
    for name, schema in SCHEMA["commands"].items():
        parts.append(f"\n## `audience-sync {name}`\n\n{_opening(schema)}\n{_table(schema)}")
    return "".join(parts)


def faults(command: str, document: Any) -> list[str]:
    """Return what in a document is not as its command's schema has it."""
    validator = Draft202012Validator(SCHEMA["commands"][command] | {"$defs": SCHEMA["$defs"]})
    return [f"{command}: {fault.json_path}: {fault.message}" for fault in validator.iter_errors(document)]


def _opening(schema: dict[str, Any]) -> str:
    described = schema.get("description", "")
    if "$ref" in schema:
        return f"Prints one [{_name(schema)}](#{_anchor(schema)})."
    if schema["type"] == "array":
        items = schema["items"]
        kind = f"[{_name(items)}](#{_anchor(items)})" if "$ref" in items else items.get("description", "an object")
        return f"Prints a list: {described}. Each is {kind}."
    return f"Prints an object. {_sentence(described)}".strip()


def _table(schema: dict[str, Any]) -> str:
    rows = [f"| `{path}` | {kind} | {meaning} |" for path, kind, meaning in _rows(schema, "")]
    return "\n| field | type | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n" if rows else ""


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    if schema.get("type") == "array":
        yield from _rows(schema["items"], f"{prefix}[]." if prefix else "[].")
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        meaning = field.get("description", "")
        yield path, _kind(field), meaning if name in required else f"{meaning} (may be left out)"
        yield from _rows(field, path if field.get("type") == "array" else f"{path}.")


def _kind(field: dict[str, Any]) -> str:
    match field:
        case {"anyOf": kinds}:
            kind = " or ".join(map(_kind, kinds))
        case {"const": value}:
            kind = f"`{value}`"
        case {"$ref": "#/$defs/time"}:
            kind = "time"
        case {"$ref": _}:
            kind = f"[{_name(field)}](#{_anchor(field)})"
        case {"enum": values}:
            kind = ", ".join(f"`{each}`" for each in values)
        case {"type": "array", "items": items}:
            kind = f"list of {_kind(items)}"
        case {"type": list(types)}:
            kind = " or ".join(_TYPES[each] for each in types)
        case {"type": name}:
            kind = _TYPES[name]
        case _:
            kind = "any"
    return kind


def _name(schema: dict[str, Any]) -> str:
    name = schema["$ref"].rpartition("/")[2]
    return re.sub(r"(?=[A-Z])", " ", name).lower()


def _anchor(schema: dict[str, Any]) -> str:
    return _name(schema).replace(" ", "-")


def _title(name: str) -> str:
    return re.sub(r"(?=[A-Z])", " ", name).capitalize()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
