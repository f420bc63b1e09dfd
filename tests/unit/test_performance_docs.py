"""The tables of docs/development/performance.md are those of the benchmark, and keep the limits that the text names."""

import json
import re
from pathlib import Path

from tests.benchmarks.bench_ingest import RESULT
from tests.benchmarks.bench_startup import COMMANDS, IMPORTS, PACKAGES
from tests.benchmarks.ingest_report import tables as ingest_tables
from tests.markdown import paragraph

DOCUMENT = (Path(__file__).parents[2] / "docs" / "development" / "performance.md").read_text(encoding="utf-8")
ROWS = {
    name: (float(middle), float(low), float(high))
    for name, middle, low, high in re.findall(r"(?m)^\| (.+?) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|$", DOCUMENT)
}


def test_the_document_has_every_row_of_the_benchmark_in_its_order() -> None:
    assert list(ROWS) == [*IMPORTS, *PACKAGES, *COMMANDS]


def test_the_rows_stay_within_the_limits() -> None:
    assert ROWS["ingest"][2] < 1.15
    assert [command for command in COMMANDS if ROWS[command][2] >= 500] == []


INGEST = json.loads(RESULT.read_text())


def test_the_tables_of_ingest_are_those_of_the_recorded_run() -> None:
    for table in ingest_tables(INGEST).split("\n\n"):
        assert table.strip() in DOCUMENT, table


def test_the_text_about_ingest_states_what_was_measured() -> None:
    mixed, us = (INGEST[countries]["microseconds"]["1000"] for countries in ("21 countries", "US"))
    compared = paragraph(DOCUMENT, "With 1,000 events of 21 countries")
    for each in (mixed, us):
        assert f"{each['segment']['median'] / each['ours']['median']:.2f} times" in compared
        assert f"{each['ours']['median'] / each['floor']['median']:.1f} times" in compared
    run = INGEST["21 countries"]
    assert f"{run['peakMegabytes']['1000']:.0f} MB" in paragraph(DOCUMENT, f"{run['bytesAnEvent'] / 1000:.1f} MB")
