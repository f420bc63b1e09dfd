"""docs/normalization.md shows what the code does: every example table is read and run."""

import re
from collections.abc import Iterator

import pytest

from audience_sync.amazon_ads.normalize import COUNTRIES, normalize
from audience_sync.fields import IDENTIFIERS
from local.template import ROOT

PAGE = (ROOT / "docs/normalization.md").read_text()
FIELDS = {identifier.name for identifier in IDENTIFIERS}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of every row below a table heading that begins like this."""
    for table in re.findall(rf"^\| {re.escape(heading)}.*\n\| ---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code(cell: str) -> str | None:
    return None if cell == "left out" else cell[1:-1]  # what stands between the backticks, blanks included


EXAMPLES = list(rows("field | country | as sent | hashed"))


@pytest.mark.parametrize("cells", [pytest.param(cells, id=f"{cells[0]} {cells[1]} {cells[2]!a}") for cells in EXAMPLES])
def test_a_documented_example_has_its_documented_result(cells: list[str]) -> None:
    field, country, sent, hashed = cells[:4]
    assert normalize(field, code(sent), country or None) == code(hashed)


def test_every_field_has_examples() -> None:
    assert {field for field, *_ in EXAMPLES} == FIELDS


def as_segment_hashes(field: str, value: str) -> str:
    """The three filters of Segment's destination."""
    dropped = {"email": "[^a-z0-9.@-]", "phone": "[^0-9]"}.get(field, "[^a-z0-9]")
    return re.sub(dropped, "", value.lower())


@pytest.mark.parametrize("cells", list(rows("field | country | as sent | hashed | Segment hashes")))
def test_the_documented_hashes_of_segment_are_right(cells: list[str]) -> None:
    field, _, sent, hashed, segment = cells
    assert as_segment_hashes(field, code(sent) or "") == code(segment) != code(hashed)


def test_the_supported_countries_are_listed() -> None:
    assert " ".join(sorted(COUNTRIES)) in " ".join(PAGE.split())


def test_every_field_has_a_measured_share() -> None:
    assert {field for field, *_ in rows("field | digests")} == FIELDS | {"all"}
