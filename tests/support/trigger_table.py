"""The tables of docs/triggers.md: conditions, and the values for which they hold."""

import json
import re
from collections.abc import Iterator
from typing import Any

from local.template import ROOT
from tests.support import markdown
from tests.support.markdown import section

DOCUMENT = (ROOT / "docs/triggers.md").read_text(encoding="utf-8")


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
