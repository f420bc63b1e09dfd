"""The tables of docs/mapping.md, line by line."""

import json
import re
from typing import Any

import pytest

from audience_sync.amazon_ads import normalize
from audience_sync.fields import FIELDS, MappedField
from audience_sync.ingest.mapped_values import MAX_WORK
from audience_sync.segment.budget import MAX_STEPS
from audience_sync.segment.default_mapping import DEFAULT_MAPPING, DEFAULT_TRIGGER
from audience_sync.segment.directives import compiler, texts, values
from audience_sync.segment.mapping import DIRECTIVES, resolve
from audience_sync.segment.mapping_config import MAX_MAPPINGS, MAX_NAME, parse_mappings
from audience_sync.segment.trigger import compile_trigger
from local.template import ROOT
from tests.support import markdown
from tests.support.markdown import section

DOCUMENT = (ROOT / "docs/mapping.md").read_text()


def table(heading: str) -> list[list[str]]:
    return markdown.table(section(DOCUMENT, heading), "|")


def code(cell: str) -> Any:
    """The JSON between the backticks of a cell."""
    return json.loads(cell.removeprefix("`").removesuffix("`"))


def paths_of(directive: Any) -> list[str]:
    """Every path of a directive, in the order in which they are tried."""
    if isinstance(directive, dict):
        found = [directive["@path"]] if "@path" in directive else []
        return found + [path for inner in directive.values() for path in paths_of(inner)]
    return []


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in table("Directives")])
def test_a_documented_directive_has_its_documented_value(row: list[str]) -> None:
    directive, event, expected = row
    assert resolve(code(directive), code(event)) == (None if expected == "nothing" else code(expected))


def test_every_directive_is_documented() -> None:
    shown = {name for row in table("Directives") for name in re.findall(r'"(@\w+)"', row[0])}
    assert shown == set(DIRECTIVES) - {"@liquid"}, "the document says of that one that it is refused"


def test_an_optional_part_of_a_member_id_is_left_out_as_documented() -> None:
    fields = json.loads(
        DOCUMENT.split("Put an optional part in `@if`", 1)[1].split("```json\n", 1)[1].split("```", 1)[0]
    )
    traits = {"number": 7, "region": "eu"}
    assert resolve(fields, {"traits": traits}) == {"external_user_id": "loy-7-eu"}
    assert resolve(fields, {"traits": {"number": 7}}) == {"external_user_id": "loy-7"}


def test_exactly_the_fields_of_the_code_are_documented() -> None:
    assert [row[0] for row in table("Fields")] == [f"`{field.name}`" for field in FIELDS]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_documented_default_paths_are_those_of_the_default_mapping(field: MappedField) -> None:
    [(meaning, default)] = [row[1:] for row in table("Fields") if row[0] == f"`{field.name}`"]
    paths = list(dict.fromkeys(paths_of(DEFAULT_MAPPING.fields.get(field.name))))
    assert meaning
    assert re.findall(r"`(\$[^`]*)`", default) == paths
    assert paths or re.fullmatch(r"nothing: \w.*", default)


def test_the_documented_default_trigger_matches_the_code() -> None:
    assert f"`{DEFAULT_TRIGGER}`" in DOCUMENT


def test_the_documented_example_is_a_valid_mapping() -> None:
    example = DOCUMENT.split("```json\n", 1)[1].split("```", 1)[0]
    [mapping] = parse_mappings(json.loads(example), compile_trigger)
    assert mapping.enabled


def test_documented_limits_match_the_code() -> None:
    assert [int(row[1].replace(",", "")) for row in table("Limits")] == [
        *(MAX_MAPPINGS, MAX_NAME, compiler.MAX_DEPTH, compiler.MAX_SIZE, compiler.MAX_CHARACTERS, texts.MAX_PATTERN),
        *(values.MAX_TEXT, values.MAX_VALUES, values.MAX_NESTING, normalize.MAX_VALUES, MAX_STEPS, MAX_WORK),
    ]
