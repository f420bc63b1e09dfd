"""The tables of docs/triggers.md, line by line."""

import re
from typing import Any

import pytest

from audience_sync.segment.fql import grammar
from audience_sync.segment.trigger import matches
from tests.support.trigger_table import DOCUMENT, conditions


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
