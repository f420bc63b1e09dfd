"""Writes the documents and pictures that are generated: `make docs`.

The transcripts of commands are the other generated part: tests/e2e/transcript.py compares and writes them.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import bench_ingest, ingest_report, scaling_plot
from tests.markdown import model

GENERATED: dict[Path, Callable[[], str]] = {
    scaling_plot.PICTURE: lambda: scaling_plot.plot(model(scaling_plot.DOCUMENT.read_text(encoding="utf-8"))),
    bench_ingest.CHART: lambda: ingest_report.plot(json.loads(bench_ingest.RESULT.read_text(encoding="utf-8"))),
}


def main() -> None:
    """Write every generated file."""
    for path, make in GENERATED.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
