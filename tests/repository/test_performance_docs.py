"""What docs/development/performance.md says of ingest is the recorded run of the benchmark."""

import json
from pathlib import Path

from tests.benchmarks.bench_ingest import RESULT
from tests.benchmarks.ingest_report import tables as ingest_tables
from tests.markdown import paragraph

DOCUMENT = (Path(__file__).parents[2] / "docs" / "development" / "performance.md").read_text(encoding="utf-8")
INGEST = json.loads(RESULT.read_text())


def test_the_ingest_tables_show_the_recorded_run() -> None:
    for table in ingest_tables(INGEST).split("\n\n"):
        assert table.strip() in DOCUMENT, table


def test_the_ingest_figures_in_the_text_are_the_measured_ones() -> None:
    mixed, us = (INGEST[countries]["microseconds"]["1000"] for countries in ("21 countries", "US"))
    compared = paragraph(DOCUMENT, "With 1,000 events of 21 countries")
    for each in (mixed, us):
        assert f"{each['segment']['median'] / each['ours']['median']:.2f} times" in compared
        assert f"{each['ours']['median'] / each['floor']['median']:.1f} times" in compared
    run = INGEST["21 countries"]
    assert f"{run['peakMegabytes']['1000']:.0f} MB" in paragraph(DOCUMENT, f"{run['bytesAnEvent'] / 1000:.1f} MB")
