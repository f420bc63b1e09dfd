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
    Row(
        1,
        "ingest",
        "Secrets Manager throttles or is down",
        "503 after a cold start, else the cached value; never 401",
        INGEST,
    ),
    Row(2, "ingest", "secret rotated while requests arrive", "no request refused", INGEST),
    Row(
        3,
        "ingest",
        "the send to SQS fails, hangs, or its response is lost",
        "503 unless SQS confirmed all; duplicates only",
        INGEST,
    ),
    Row(4, "ingest", "some entries of a batch fail", "they are sent again within the time limit, else 503", INGEST),
    Row(5, "ingest", "more changes than one message or batch can hold", "every message is below the limit", INGEST),
    Row(6, "ingest", "killed between two sends", "no 2xx; the retry completes it", INGEST),
    Row(7, "ingest", "300 ms left", "503 at once", INGEST),
    Row(8, "worker", "killed at any point", "redelivered; uploaded at most once more", f"{WORKER}, {MODEL}"),
    Row(9, "worker", "function times out in the middle of a batch", "nothing lost; the next run completes it", WORKER),
    Row(10, "worker", "one message at two workers", "duplicates only; an exit wins", f"{WORKER}, {MODEL}"),
    Row(11, "worker", "reordered, or redriven late", "superseded, not sent", f"{WORKER}, {MODEL}"),
    Row(12, "worker", "an unreadable message", "only this message is parked; the others are delivered", WORKER),
    Row(13, "worker", "the dead letter queue is down", "the message stays in the change queue", WORKER),
    Row(
        14,
        "worker",
        "table throttles, fails, does not respond, or its response is lost",
        "not acknowledged, then delivered",
        f"{WORKER}, {MODEL}",
    ),
    Row(
        15,
        "Amazon",
        "429, with every kind of Retry-After",
        "respected, up to 15 min; long waits end on the next mark of five minutes",
        AMAZON,
    ),
    Row(
        16,
        "Amazon",
        "5xx once, at random, for twelve hours",
        "backoff; the circuit breaker opens; nothing parked; recovered within 6 minutes",
        f"{AMAZON}, tests/model/test_outage.py",
    ),
    Row(
        17,
        "Amazon",
        "connection reset before, during, after the request",
        "settle time, then sent again: one more upload",
        AMAZON,
    ),
    Row(18, "Amazon", "an unusable response", "outcome unknown; the read is limited", AMAZON),
    Row(19, "Amazon", "401 on one request, or on all", "one new token, one retry; no loop", AMAZON),
    Row(20, "Amazon", "403 or 404 for one audience", "parked without bisection; other audiences are delivered", AMAZON),
    Row(
        21,
        "Amazon",
        "400 because of some records, or of all of them",
        "bisection finds them within its budget, and stops if single records are not the cause",
        AMAZON,
    ),
    Row(22, "Amazon", "413 above some size", "split in half until it fits", AMAZON),
    Row(
        23,
        "Amazon",
        "slow response, no response, closed port, bad certificate",
        "ended by the timeout; the message returns to the queue",
        AMAZON,
    ),
    Row(24, "Amazon", "redirect", "not followed", AMAZON),
    Row(25, "Amazon", "upload applied after the client gave up", "the exit still wins", f"{AMAZON}, {MODEL}"),
    Row(
        26,
        "Amazon",
        "jobs fail partly or completely, never end, or end in reverse order",
        "rejected records are parked; the newest change wins",
        f"{AMAZON}, tests/functions/test_jobs.py, tests/unit/operations/test_job_tracking.py, {MODEL}",
    ),
    Row(
        27,
        "token",
        "Login with Amazon down, 429, HTML, invalid_grant, odd expires_in",
        "messages wait; after a refusal no more requests",
        TOKEN,
    ),
    Row(28, "token", "many workers when the token expires", "one token request, however many workers", TOKEN),
    Row(29, "token", "the token cannot be stored", "uploads continue", TOKEN),
    Row(30, "clock", "clock changes while workers wait", "deadlines by monotonic time; the newest change wins", MODEL),
    Row(
        31,
        "data",
        "100,000 changes of one member; similar ids",
        "one record; different ids are never merged",
        f"{WORKER}, {MODEL}",
    ),
    Row(
        32,
        "audiences",
        "one audience throttled, or with very many changes",
        "the other is delivered without delay",
        f"{AMAZON}, {WORKER}",
    ),
    Row(
        33,
        "operations",
        "redrive while events arrive; older messages",
        "no newer change is undone; older messages are still read",
        WORKER,
    ),
    Row(34, "all", "all faults again, with marked secrets and personal data", "the markers appear nowhere", TOKEN),
]

INTRODUCTION = """# Faults

What can fail between Segment and Amazon, the expected result, and what was measured. Each fault is injected where it
would occur: on the connection to AWS, in the responses of the Amazon simulator, or with SIGKILL. The tests named here
run with all other tests. `.venv/bin/python -m tests.faults.matrix` measures again and rewrites this page.

There are too many orders of events for a list: a state machine searches them (`tests/model/test_protocol.py`).
`tests/model/test_seeded_bugs.py` shows that it would find bugs that depend on the order; mutation tests cover the rest.
"""


def main() -> int:
    """Run the tests, write the page, and return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measurements"
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
