"""The tables of docs/development/performance.md are those of the benchmark, and keep the limits that the text names."""

import json
import re
from pathlib import Path

import pytest

from tests.benchmarks.bench_ingest import RESULT
from tests.benchmarks.bench_startup import COMMANDS, IMPORTS, PACKAGES, Measurement, tables
from tests.benchmarks.ingest_report import tables as ingest_tables

DOCUMENT = (Path(__file__).parents[2] / "docs" / "development" / "performance.md").read_text(encoding="utf-8")
FLOWING = " ".join(DOCUMENT.split())
ROWS = {
    name: (float(middle), float(low), float(high))
    for name, middle, low, high in re.findall(r"(?m)^\| (.+?) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|$", DOCUMENT)
}


def test_the_document_has_every_row_of_the_benchmark_in_its_order() -> None:
    assert list(ROWS) == [*IMPORTS, *PACKAGES, *COMMANDS]


def test_the_document_has_the_heads_of_the_benchmarks_tables() -> None:
    measured = dict.fromkeys((*IMPORTS, *PACKAGES, *COMMANDS), Measurement([1.0, 1.0, 1.0]))
    heads = [line for line in "\n".join(tables(measured)).splitlines() if line not in ("", "| --- | --- | --- |")]
    heads = [line for line in heads if "1.00" not in line and "| 1 |" not in line]
    assert len(heads) == 3
    assert all(f"{head}\n| --- | --- | --- |\n" in DOCUMENT for head in heads)


@pytest.mark.parametrize("name", ROWS)
def test_a_median_lies_in_the_middle_half_of_the_runs(name: str) -> None:
    middle, low, high = ROWS[name]
    assert low <= middle <= high


def test_ingest_stays_within_its_limit() -> None:
    limit = re.search(r"ingest is kept below ([\d.]+)\.", DOCUMENT)
    assert limit
    assert ROWS["ingest"][2] < float(limit[1]) == 1.15


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_stays_within_its_limit(command: str) -> None:
    limit = re.search(r"Each is to stay below (\d+) ms\.", DOCUMENT)
    assert limit
    assert ROWS[command][2] < float(limit[1]) == 500


INGEST = json.loads(RESULT.read_text())


def test_the_tables_of_ingest_are_those_of_the_recorded_run() -> None:
    for table in ingest_tables(INGEST).split("\n\n"):
        assert table.strip() in DOCUMENT, table


def test_the_text_about_ingest_states_what_was_measured() -> None:
    mixed, us = (INGEST[countries]["microseconds"]["1000"] for countries in ("21 countries", "US"))
    by_segment = [each["segment"]["median"] / each["ours"]["median"] for each in (mixed, us)]
    by_floor = [each["ours"]["median"] / each["floor"]["median"] for each in (mixed, us)]
    assert f"{by_segment[0]:.2f} times as many events a second as Segment's code, and {by_segment[1]:.2f}" in FLOWING
    assert f"{by_floor[0]:.1f} times the floor, and {by_floor[1]:.1f}" in FLOWING
    peak = INGEST["21 countries"]["peakMegabytes"]["1000"]
    assert f"{peak:.0f} MB beside the body of {INGEST['21 countries']['bytesAnEvent'] / 1000:.1f} MB" in FLOWING
