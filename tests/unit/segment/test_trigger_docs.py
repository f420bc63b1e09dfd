"""The tables of docs/triggers.md, line by line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audience_sync.segment.fql import grammar
from audience_sync.segment.trigger import matches
from tests.support import markdown
from tests.support.markdown import section

DOCUMENT = (Path(__file__).parents[3] / "docs" / "triggers.md").read_text()


def table(heading: str) -> list[list[str]]:
    return markdown.table(section(DOCUMENT, heading), "|")


def code(cell: str) -> str:
    """The text between the backticks of a cell."""
    return cell.removeprefix("`").removesuffix("`")


def conditions() -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Condition, value as written, an event with it, and whether the condition holds."""
    for trigger, *outcomes in table("Conditions"):
        for expected, cell in zip((True, False), outcomes, strict=True):
            for value in re.findall(r"(?<=`)[^` ][^`]*(?=`)|missing", cell):
                properties = {} if value == "missing" else {"x": json.loads(value)}
                yield code(trigger), value, {"type": "track", "properties": properties}, expected


@pytest.mark.parametrize(
    ("trigger", "event", "expected"),
    [
        pytest.param(trigger, event, expected, id=f"{trigger}: {value}")
        for trigger, value, event, expected in conditions()
    ],
)
def test_a_documented_condition_holds_for_its_documented_values(
    trigger: str, event: dict[str, Any], expected: bool
) -> None:
    assert matches(trigger, event) is expected


def test_the_documented_grammar_matches_the_parser() -> None:
    productions = re.findall(r"^    .+$", str(grammar.__doc__), re.MULTILINE)
    assert len(productions) == 6
    assert "\n".join(productions) in DOCUMENT
