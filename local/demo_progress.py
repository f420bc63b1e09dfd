"""Shows the progress of the stack until every accepted change has its outcome."""

import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

TIMEOUT = 300.0  # seconds until everything must have arrived
INTERVAL = 0.1  # seconds between two checks


class NotFinished(Exception):
    """Not everything arrived in time. The message is the last state."""


def progress(console: Console) -> Progress:
    """Return progress bars with the demo's look."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def wait_until_quiescent(
    state: Callable[[], dict[str, Any]],
    rows: Callable[[], int],
    *,
    members: int,
    last_step: str = "Jobs at Amazon",
    console: Console,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Wait until nothing is waiting or in progress. Returns the last state. Raises NotFinished after TIMEOUT.

    The worker counts outcomes at the end of an invocation, thousands at once; its rows show the progress in between.
    `state` returns the answer of `GET /local/state`, `rows` counts the rows of the membership table, of which `members`
    are expected. `last_step` is the name of the bar for uploads that have taken effect.
    """
    deadline = clock() + TIMEOUT
    with progress(console) as bars:
        recorded = bars.add_task("Worker records", total=members)
        completed = bars.add_task("Completed", total=None)  # delivered or superseded
        jobs = bars.add_task(last_step, total=None)
        while True:
            now = state()
            settled = now["delivered"] + now["superseded"] + now["parked"]
            bars.update(recorded, completed=min(rows(), members))
            bars.update(completed, completed=settled, total=now["accepted"])
            if now["quiescent"] and settled >= now["accepted"]:
                bars.update(jobs, completed=now["uploads"], total=now["uploads"])
                return now
            if clock() > deadline:
                raise NotFinished(f"not everything arrived within {TIMEOUT:g} s: {json.dumps(now)}")
            bars.refresh()
            sleep(INTERVAL)
