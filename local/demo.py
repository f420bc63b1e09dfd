"""`make demo`: real Segment traffic through the real functions to Amazon's sandbox, on this machine."""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import requests
from rich.console import Console

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import Api
from local.demo_progress import NotFinished, progress, wait_until_quiescent
from local.demo_report import Outcome, report
from local.demo_traffic import NotTaken, Sent, create_dataset, events_of, send
from local.example_audiences import EXAMPLE
from local.hard_cases import Events, groups_of, play
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
            outcome = run(where, enter=options.enter, leave=options.leave, console=console, api=Api(options.api))
            exit_code = report(outcome, console)
            if options.keep:
                _keep_running(where, console)
    except (NotTaken, NotFinished) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("Ended.")
        return 128 + signal.SIGINT
    return exit_code


def run(where: dict[str, str], *, enter: int, leave: int, console: Console, api: Api = Api.AUDIENCES) -> Outcome:
    """Let `enter` members enter, and the first `leave` of them leave, some of them in a hard case.

    `where` is the line that `python -m local` prints. Raises NotTaken, NotFinished.
    """
    audience = create_dataset(where) if api is Api.DATA_MANAGER else EXAMPLE
    people = [Person(number) for number in range(1, enter + 1)]
    leaving, staying = people[:leave], people[leave:]
    began = time.monotonic()
    groups = groups_of(leaving if has_jobs(audience.destination) else [])
    hard = sum(map(len, groups.values()))  # the first people
    events = events_of(people[hard:], leaving[hard:], audience)
    rounds, last_step = [events], "Jobs at Amazon"
    if not has_jobs(audience.destination):
        # Amazon ignores a removal without the consent under which the member was added, so all are added first.
        names = ("Audience Entered", "Audience Exited")
        rounds, last_step = [[event for event in events if event["event"] == name] for name in names], "Dataset updated"
    state, rows = partial(_read, f"{where['api']}/local/state"), _rows_of(where)
    sent, naive, at_amazon = Sent(0, 0.0, 0), 0, f"{where['amazon']}/sandbox/audiences"
    for part in rounds:
        with _sending(where, console) as post:
            more, naive = play(where, groups, part, post) if groups else (post(part), 0)
        sent += more
        last = wait_until_quiescent(state, rows, members=enter, last_step=last_step, console=console)
    seconds = time.monotonic() - began
    held, beside = _read(f"{at_amazon}/{audience.audience_id}"), _read(f"{at_amazon}/{naive}") if naive else {}
    return Outcome(sent, last, seconds, staying, held, groups, beside)


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


@contextmanager
def _sending(where: dict[str, str], console: Console) -> Iterator[Callable[[Events], Sent]]:
    """Yield a function that sends events, which one bar shows."""
    with progress(console) as bars:
        bar = bars.add_task("Segment sends", total=0)

        def post(events: Events) -> Sent:
            bars.update(bar, total=(bars.tasks[0].total or 0) + len(events))
            return send(where, events, lambda count: bars.advance(bar, count))

        yield post


def _read(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(url, timeout=30).json()
    return answer


def _rows_of(where: dict[str, str]) -> Callable[[], int]:
    from local import resources  # noqa: PLC0415 - loads boto3, which the stack has compiled by then

    names = _read(f"{where['api']}/local/resources")["names"]
    dynamodb = resources.client("dynamodb", where["aws"])

    def rows() -> int:
        count: int = dynamodb.describe_table(TableName=names["MembershipTable"])["Table"]["ItemCount"]
        return count

    return rows


def _keep_running(where: dict[str, str], console: Console) -> None:
    from local.command import next_steps  # noqa: PLC0415 - loads the whole stack, which takes a second

    console.print(f"\n{next_steps(where)}", soft_wrap=True, highlight=False)
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    console.print("Ended.")


if __name__ == "__main__":
    sys.exit(main())
