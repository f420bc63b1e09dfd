"""Writes docs/fault-matrix.md: every fault, what is expected of the product, and what the tests measured just now.

`.venv/bin/python -m tests.faults.matrix` runs the tests and replaces the table.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.measurements import VARIABLE

ROOT = Path(__file__).parents[2]
TESTS = ("tests/faults", "tests/model/test_outage.py")
INGEST, WORKER = "tests/faults/test_ingest_faults.py", "tests/faults/test_worker_faults.py"
AMAZON, TOKEN = "tests/faults/test_amazon_faults.py", "tests/faults/test_token_faults.py"
MODEL = "tests/model/test_protocol.py"


class Row(NamedTuple):
    """One fault."""

    number: int
    component: str
    fault: str
    expected: str
    shown_by: str
    missing: str = ""  # what the product does not do yet


ROWS = [
    Row(1, "ingest", "secret store throttled or down", "503 when cold, the known value when warm; never 401", INGEST),
    Row(2, "ingest", "secret rotated under traffic", "nobody refused", INGEST),
    Row(
        3, "ingest", "send fails, hangs, or its answer is lost", "503 unless all is confirmed; duplicates only", INGEST
    ),
    Row(4, "ingest", "some entries of a batch fail", "they are sent again in time, else 503", INGEST),
    Row(5, "ingest", "more than one message or batch can hold", "every message below the limit", INGEST),
    Row(6, "ingest", "killed between two sends", "no 2xx; the repeat completes it", INGEST),
    Row(7, "ingest", "300 ms left", "503 at once", INGEST),
    Row(8, "worker", "killed at any point", "redelivered; sent at most once more", f"{WORKER}, {MODEL}"),
    Row(9, "worker", "function timeout in mid batch", "nothing lost; the next run completes it", WORKER),
    Row(10, "worker", "one message at two workers", "duplicates only; an exit wins", f"{WORKER}, {MODEL}"),
    Row(11, "worker", "reordered, or redriven late", "superseded, not sent", f"{WORKER}, {MODEL}"),
    Row(12, "worker", "a message nobody can read", "parked alone; neighbours delivered", WORKER),
    Row(13, "worker", "dead letters down", "it stays in the queue", WORKER),
    Row(
        14,
        "worker",
        "table throttled, broken, silent, answer lost",
        "not acknowledged, then delivered",
        f"{WORKER}, {MODEL}",
    ),
    Row(15, "Amazon", "429, with every kind of Retry-After", "obeyed within 0 s to 15 min", AMAZON),
    Row(
        16,
        "Amazon",
        "5xx once, at random, for twelve hours",
        "backoff; the circuit opens; nothing parked; recovered within a quarter of an hour",
        f"{AMAZON}, tests/model/test_outage.py",
    ),
    Row(17, "Amazon", "reset before, in, after the request", "settle time, then sent again: one upload more", AMAZON),
    Row(18, "Amazon", "an answer that says nothing", "unknown outcome; bounded read", AMAZON),
    Row(19, "Amazon", "401 on one request, or on all", "one new token, the request repeated; no loop", AMAZON),
    Row(20, "Amazon", "403 or 404 for one audience", "parked without halving; others go on", AMAZON),
    Row(
        21,
        "Amazon",
        "400 because of some records, or of all of them",
        "halving finds them within its budget, and stops where it is not the records",
        AMAZON,
    ),
    Row(22, "Amazon", "413 above some size", "halved until it fits", AMAZON),
    Row(23, "Amazon", "trickle, silence, closed port, bad certificate", "given up in time, handed back", AMAZON),
    Row(24, "Amazon", "redirect", "not followed", AMAZON),
    Row(25, "Amazon", "applied after the client gave up", "an exit stays the last word", f"{AMAZON}, {MODEL}"),
    Row(
        26,
        "Amazon",
        "jobs fail, partly or wholly, never end, end in reverse",
        "rejected records parked; order kept",
        f"{AMAZON}, tests/functions/test_jobs.py, tests/unit/operations/test_job_tracking.py, {MODEL}",
    ),
    Row(
        27, "token", "login down, 429, HTML, invalid_grant, odd expires_in", "messages wait; refusal asked once", TOKEN
    ),
    Row(28, "token", "many workers at expiry", "one request, however many", TOKEN),
    Row(29, "token", "the token cannot be stored", "uploads go on", TOKEN),
    Row(30, "clock", "steps while workers wait", "deadlines by monotonic time; the newest change wins", MODEL),
    Row(31, "data", "100,000 changes of one member; ids alike", "one record; never merged", f"{WORKER}, {MODEL}"),
    Row(32, "tenants", "one audience throttled, or a flood", "the other is delivered at once", f"{AMAZON}, {WORKER}"),
    Row(
        33,
        "operations",
        "redrive into live traffic; older messages",
        "undoes nothing newer; older messages are still read",
        WORKER,
    ),
    Row(34, "all", "the faults again, with marked secrets and persons", "found nowhere", TOKEN),
]

INTRODUCTION = """# Faults

What can go wrong between Segment and Amazon, what is expected then, and what was measured. The faults are made where
they happen: on the wire before AWS, in the answers of Amazon's stand-in, or with SIGKILL. The tests named here run with
all others; `.venv/bin/python -m tests.faults.matrix` measures again and rewrites this page.

The orders of events that no list can hold are searched by a state machine (`tests/model/test_protocol.py`); the bugs
in `tests/model/seeded_bugs.py` show that it, and its neighbours, would notice.
"""


def main() -> int:
    """Run the tests, write the page, and return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures"
        path.touch()
        command = [sys.executable, "-m", "pytest", "-q", *TESTS]
        ended = subprocess.run(command, cwd=ROOT, env=os.environ | {VARIABLE: str(path)}, check=False)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    if ended.returncode == 0:
        (ROOT / "docs" / "fault-matrix.md").write_text(page(lines))
    return ended.returncode


def page(lines: list[dict[str, Any]]) -> str:
    """Lay out the page."""
    of_row: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        of_row[line["row"]][line["case"]] = line["figures"]
    text = [INTRODUCTION, "| # | where | fault | expected | shown by |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        tests = ", ".join(f"`{test}`" for test in row.shown_by.split(", "))
        missing = f" **Not yet:** {row.missing}." if row.missing else ""
        text.append(f"| {row.number} | {row.component} | {row.fault} | {row.expected}{missing} | {tests} |")
    text += ["", "## Measured", "", "| # | case | figures |", "| --- | --- | --- |"]
    for number in sorted(of_row):
        for case, figures in of_row[number].items():
            shown = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in figures.items())
            text.append(f"| {number} | {case} | {shown} |")
    return "\n".join(text) + "\n"


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
