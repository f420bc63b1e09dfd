"""`make demo`: the main job on this machine. Real Segment traffic through the real functions to Amazon's sandbox.

Exits with 0 exactly when the audience at Amazon holds who it should, by digests computed without the product's code.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.sample_profiles import Person, audience_event, segment_request
from local.stack import EXAMPLE

BATCH = 500  # events in one request
TIMEOUT = 300.0  # seconds until everything must have arrived


def main() -> int:
    """Run the demonstration. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description="The main job on this machine.")
    parser.add_argument("--enter", type=int, default=5000, help="members that enter (%(default)s)")
    parser.add_argument("--exit", type=int, default=800, dest="leave", help="of them exit again (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave it running, and show what to try")
    options = parser.parse_args()
    console = Console(stderr=False)
    port, amazon_port = ("8080", "8081") if options.keep else ("0", "0")
    with _stack(["--port", port, "--amazon-port", amazon_port]) as where:
        exit_code = demonstrate(where, enter=options.enter, leave=options.leave, console=console)
        if options.keep:
            _keep_running(where, console)
    return exit_code


def demonstrate(where: dict[str, str], *, enter: int, leave: int, console: Console) -> int:
    """Have `enter` members enter and the first `leave` of them exit again. Returns the exit code.

    `where` is the line that `python -m local` prints.
    """
    people = [Person(number) for number in range(1, enter + 1)]
    leaving, staying = people[:leave], people[leave:]
    began = time.monotonic()
    sent, slowest = _send(where, _events(people, leaving), console)
    state = _wait_until_quiescent(where, console)
    seconds = time.monotonic() - began
    problems = _differences(where, staying)
    console.print(_table(sent, slowest, state, len(staying), seconds, where))
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    if not problems:
        console.print("[green]The audience at Amazon holds exactly the members it should.[/green]")
    return 1 if problems else 0


@contextmanager
def _stack(arguments: list[str]) -> Iterator[dict[str, str]]:
    process = subprocess.Popen([sys.executable, "-m", "local", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("the local stack did not start; its error is shown above")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _events(people: list[Person], leaving: list[Person]) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    about = {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    entering = [audience_event(person, enters=True, at=now - timedelta(minutes=2), **about) for person in people]
    return entering + [
        audience_event(person, enters=False, at=now - timedelta(minutes=1), **about) for person in leaving
    ]


def _send(where: dict[str, str], events: list[dict[str, Any]], console: Console) -> tuple[int, float]:
    """Deliver all events; return how many were accepted and the slowest answer in seconds."""
    accepted, slowest = 0, 0.0
    with requests.Session() as session, _progress(console) as progress:
        bar = progress.add_task("Segment sends", total=len(events))
        for batch in batched(events, BATCH, strict=False):
            body, headers = segment_request(batch, where["eventKey"], where["signingSecret"])
            began = time.monotonic()
            response = session.post(f"{where['api']}/v1/events", data=body, headers=headers, timeout=10)
            slowest = max(slowest, time.monotonic() - began)
            if response.status_code != 200:
                raise SystemExit(f"the API answered {response.status_code}: {response.text}")
            accepted += response.json()["accepted"]
            progress.advance(bar, len(batch))
    return accepted, slowest


def _wait_until_quiescent(where: dict[str, str], console: Console) -> dict[str, Any]:
    """Wait until nothing is waiting or in work any more."""
    deadline = time.monotonic() + TIMEOUT
    with _progress(console) as progress:
        bar = progress.add_task("Delivered    ", total=None)
        while True:
            state: dict[str, Any] = requests.get(f"{where['api']}/local/state", timeout=10).json()
            settled = state["delivered"] + state["superseded"] + state["parked"]
            progress.update(bar, completed=settled, total=state["accepted"])
            if state["quiescent"] and settled >= state["accepted"]:
                return state
            if time.monotonic() > deadline:
                raise SystemExit(f"not everything arrived within {TIMEOUT:g} s: {json.dumps(state)}")
            time.sleep(0.2)


def _differences(where: dict[str, str], expected: list[Person]) -> list[str]:
    """Compare the audience at Amazon with who should be in it."""
    audience = requests.get(f"{where['amazon']}/sandbox/audiences/{EXAMPLE.audience_id}", timeout=30).json()
    members = audience["members"]
    wanted = {person.user_id: person.email_digest for person in expected}
    problems = []
    if missing := wanted.keys() - members.keys():
        problems.append(f"{len(missing)} members are missing at Amazon, for example {min(missing)}")
    if surplus := members.keys() - wanted.keys():
        problems.append(f"{len(surplus)} members should not be at Amazon, for example {min(surplus)}")
    wrong = [
        name for name in wanted.keys() & members.keys() if members[name]["identifiers"].get("email") != [wanted[name]]
    ]
    if wrong:
        problems.append(
            f"{len(wrong)} members have another e-mail digest than Amazon computes, for example {min(wrong)}"
        )
    return problems


def _table(
    sent: int, slowest: float, state: dict[str, Any], expected: int, seconds: float, where: dict[str, str]
) -> Table:
    audience = requests.get(f"{where['amazon']}/sandbox/audiences/{EXAMPLE.audience_id}", timeout=30).json()
    table = Table(title="Segment to Amazon Ads", show_header=False)
    table.add_row("events accepted", f"{sent:,}")
    table.add_row(f"slowest answer to a batch of {BATCH}", f"{slowest * 1000:,.0f} ms")
    for name in ("delivered", "superseded", "parked", "uploads"):
        label = {"uploads": "uploads to Amazon"}.get(name, f"changes {name}")
        table.add_row(label, f"{state[name]:,}")
    table.add_row("audience size (expected)", f"{audience['size']:,} ({expected:,})")
    table.add_row("seconds", f"{seconds:.1f}")
    return table


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _keep_running(where: dict[str, str], console: Console) -> None:
    console.print(f"\nStatus page: {where['status']}\nTry another event:")
    console.print(
        f"  curl -s {where['api']}/v1/events -H 'Authorization: Bearer {where['eventKey']}' "
        "-H 'Content-Type: application/json' -d @events/segment/01-track-entered-full-pii.json",
        soft_wrap=True,
        highlight=False,
    )
    console.print("Ctrl-C ends it.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Ended.")


if __name__ == "__main__":
    sys.exit(main())
