"""docs/normalization.md shows what the code does: every example table is read and run."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from audience_sync.amazon_ads.normalize import COUNTRIES, normalize
from audience_sync.fields import IDENTIFIERS
from local.template import ROOT
from scripts.match_quality import as_segment_normalizes, report

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


@pytest.mark.parametrize("cells", list(rows("field | country | as sent | hashed | Segment hashes")))
def test_the_documented_hashes_of_segment_are_right(cells: list[str]) -> None:
    field, _, sent, hashed, segment = cells
    assert as_segment_normalizes(field, code(sent) or "") == code(segment) != code(hashed)


def test_the_supported_countries_are_listed() -> None:
    assert " ".join(sorted(COUNTRIES)) in " ".join(PAGE.split())


def test_every_field_has_a_measured_share() -> None:
    assert {field for field, *_ in rows("field | digests")} == FIELDS | {"all"}


def test_match_quality_counts_what_the_rules_reproduce_of_a_small_sample(tmp_path: Path) -> None:
    phones = {"0171 2345678": "491712345678", "+1 202 555 0143": "12025550143", "555": ""}  # to what is hashed
    for country, column, hashed in (("de", "phone", phones), ("uk", "zip", {"sw1a 1aa": "SW1A1AA", "M1 1AE": "m11ae"})):
        folder = tmp_path / f"source/tests/unit_test/amc_transformation/sample_data/test_{country}"
        folder.mkdir(parents=True)
        raw = [{"id": number, column: value} for number, value in enumerate(hashed)]
        check = [{"id": str(n), column: sha256(each.encode()).hexdigest()} for n, each in enumerate(hashed.values())]
        (folder / f"{country}_raw.json").write_text(json.dumps(raw))
        (folder / f"{country}_check.json").write_text(json.dumps(check))
    with pytest.raises(SystemExit, match="name a clone"):
        report(tmp_path / "elsewhere")
    lines = [" ".join(line.split()) for line in report(tmp_path).splitlines()]
    assert lines[2] == "phone 2 100.0 % 50.0 %"
    assert lines[8:] == ["postal 2 50.0 % 50.0 %", "phone, as +E.164 2 100.0 % 100.0 %", "all 4 75.0 % 50.0 %"]
