"""`make demo`: real Segment traffic through the real functions to Amazon's sandbox, on this machine.

Exits with 0 exactly if the audience at Amazon has the right members, by digests computed without the product's code.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import Api
from audience_sync.members.membership import Audience
from local.demo_progress import NotFinished, progress, wait_until_quiescent
from local.demo_traffic import BATCH, NotTaken, Sent, create_dataset, events_of, send
from local.example_audiences import EXAMPLE
from local.sample_profiles import Person

STOP = 20.0  # seconds for the local stack to end


def main() -> int:
    """Run the demonstration. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description="The main job on this machine.")
    parser.add_argument("--enter", type=int, default=5000, help="members that enter (%(default)s)")
    parser.add_argument(
        "--exit", type=int, default=800, dest="leave", help="members of these that exit again (%(default)s)"
    )
    parser.add_argument(
        "--api",
        choices=list(Api),
        default=Api.AUDIENCES,
        help="Amazon's API: an audience of the audience API, or a dataset of Ads Data Manager (%(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave it running, and show commands to try")
    ports = "any free one, or {} with --keep"
    parser.add_argument("--port", type=int, help=f"of the API ({ports.format(8080)})")
    parser.add_argument("--amazon-port", type=int, help=f"of Amazon's sandbox ({ports.format(8081)})")
    options = parser.parse_args()
    console = Console(stderr=False)
    usual = (8080, 8081) if options.keep else (0, 0)
    given = (options.port, options.amazon_port)
    port, amazon_port = (own if chosen is None else chosen for chosen, own in zip(given, usual, strict=True))
    try:
        listening = ["--port", str(port), "--amazon-port", str(amazon_port)]
        with _stack([*listening, "--job-delay", "0", "--batch-window", "0.3"], console) as where:
            exit_code = demonstrate(
                where, enter=options.enter, leave=options.leave, console=console, api=Api(options.api)
            )
            if options.keep:
                _keep_running(where, console)
    except (NotTaken, NotFinished) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("Ended.")
        return 128 + signal.SIGINT
    return exit_code


def demonstrate(where: dict[str, str], *, enter: int, leave: int, console: Console, api: Api = Api.AUDIENCES) -> int:
    """Send enters of `enter` members, and exits of the first `leave`. Returns the exit code.

    `where` is the line that `python -m local` prints. Raises NotTaken, NotFinished.
    """
    audience = create_dataset(where) if api is Api.DATA_MANAGER else EXAMPLE
    people = [Person(number) for number in range(1, enter + 1)]
    leaving, staying = people[:leave], people[leave:]
    began = time.monotonic()
    events = events_of(people, leaving, audience)
    rounds, last_step = [events], "Jobs at Amazon"
    if not has_jobs(audience.destination):
        # Amazon ignores a removal without the consent under which the member was added, so all are added first.
        names = ("Audience Entered", "Audience Exited")
        rounds, last_step = [[event for event in events if event["event"] == name] for name in names], "Dataset updated"
    sent = Sent(0, 0.0, 0)
    for part in rounds:
        sent += _send(where, part, console)
        state = wait_until_quiescent(
            _state_of(where), _rows_of(where), members=enter, last_step=last_step, console=console
        )
    seconds = time.monotonic() - began
    held = _at_amazon(where, audience)
    problems = differences(held["members"], staying)
    console.print(_table(sent, state, len(staying), seconds, held))
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    if not problems:
        console.print("[green]The audience at Amazon holds exactly the members it should.[/green]")
    return 1 if problems else 0


@contextmanager
def _stack(arguments: list[str], console: Console) -> Iterator[dict[str, str]]:
    """Start the local stack. It ends with the block, or with this process in any case."""
    command = [sys.executable, "-m", "local", "--end-with-stdin", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with progress(console) as bars:
            bar = bars.add_task("Starting stack", total=None)
            line = process.stdout.readline() if process.stdout else ""
            bars.update(bar, total=1, completed=int(bool(line)))
        if not line:
            raise SystemExit("the local stack did not start; its error is shown above")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP)
        except subprocess.TimeoutExpired:
            process.kill()


def _send(where: dict[str, str], events: list[dict[str, Any]], console: Console) -> Sent:
    with progress(console) as bars:
        bar = bars.add_task("Segment sends", total=len(events))
        return send(where, events, lambda count: bars.advance(bar, count))


def _state_of(where: dict[str, str]) -> Callable[[], dict[str, Any]]:
    def state() -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(f"{where['api']}/local/state", timeout=10).json()
        return answer

    return state


def _rows_of(where: dict[str, str]) -> Callable[[], int]:
    from local import resources  # noqa: PLC0415 - loads boto3, which the stack has compiled by then

    names = requests.get(f"{where['api']}/local/resources", timeout=10).json()["names"]
    dynamodb = resources.client("dynamodb", where["aws"])

    def rows() -> int:
        count: int = dynamodb.describe_table(TableName=names["MembershipTable"])["Table"]["ItemCount"]
        return count

    return rows


def _at_amazon(where: dict[str, str], audience: Audience) -> dict[str, Any]:
    """Read the audience from the sandbox: its members, and the shares of a dataset."""
    url = f"{where['amazon']}/sandbox/audiences/{audience.audience_id}"
    held: dict[str, Any] = requests.get(url, timeout=30).json()
    return held


def differences(members: dict[str, Any], expected: list[Person]) -> list[str]:
    """Compare the members at Amazon with the expected ones."""
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


def _table(sent: Sent, state: dict[str, Any], expected: int, seconds: float, held: dict[str, Any]) -> Table:
    table = Table(title="Segment to Amazon Ads", show_header=False)
    table.add_row("events accepted", f"{sent.accepted:,}")
    table.add_row(f"slowest answer to a batch of {BATCH}", f"{sent.slowest * 1000:,.0f} ms")
    if sent.repeated:
        table.add_row("requests sent again", f"{sent.repeated:,}")
    for name in ("delivered", "superseded", "parked", "uploads"):
        label = {"uploads": "uploads to Amazon"}.get(name, f"changes {name}")
        table.add_row(label, f"{state[name]:,}")
    table.add_row("audience size (expected)", f"{held['size']:,} ({expected:,})")
    for share in held.get("shares", ()):
        table.add_row(f"shared with {share['destinationAccountId']}", f"{share['size']:,}")
    table.add_row("seconds", f"{seconds:.1f}")
    return table


def _keep_running(where: dict[str, str], console: Console) -> None:
    console.print(f"\nStatus page: {where['status']}\nTry another event:")
    console.print(
        f"  curl -s {where['api']}/v1/events -H 'Authorization: Bearer {where['eventKey']}' "
        "-H 'Content-Type: application/json' -d @events/segment/01-track-entered-full-pii.json",
        soft_wrap=True,
        highlight=False,
    )
    console.print(
        f"Ask the stack:\n  .venv/bin/audience-sync --local {where['api']} status --members",
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
