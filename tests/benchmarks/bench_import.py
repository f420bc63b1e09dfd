"""What `audience-sync import` does a second, and in how much memory: `python -m tests.benchmarks.bench_import`.

Files of several sizes, whose rows have all eight identifiers, go through the command in a process of its own
(import_process.py) into the local SQS, which another process serves. `--record` keeps the result, which docs/import.md
shows.
"""

import argparse
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import Any

import boto3

from audience_sync.aws.audience_table import AudienceTable
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import AUDIENCE, recreate_tables
from tests.benchmarks.sample_events import event
from tests.servers import serve_aws

RESULT = Path(__file__).with_name("import.json")
ROOT = Path(__file__).parents[2]
SIZES = (10_000, 100_000, 1_000_000)  # rows
COLUMNS = ("email", "first_name", "last_name", "phone", "address", "city", "state", "postal")
PEOPLE = 5_000  # different ones, but for e-mail address and id


def write(path: Path, rows: int) -> None:
    """Write a CSV file of members in the US."""
    people = [event(number, "US")["properties"] for number in range(PEOPLE)]
    tails = [",".join(f'"{each[name]}"' for name in COLUMNS[1:]) for each in people]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(("userId", *COLUMNS)) + "\n")
        for number in range(rows):
            file.write(f"cust_{number:08d},Shopper.{number}@Example.com,{tails[number % PEOPLE]}\n")


def _serve(ready: Connection) -> None:
    with serve_aws(SqsQueues(time.time)) as url:
        stop = Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        ready.send(url)
        stop.wait()


@contextmanager
def _server() -> Iterator[dict[str, Any]]:
    """Run the local AWS in a process of its own; yields the arguments of a boto3 client for it."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(sender,))
    process.start()
    try:
        yield {
            "endpoint_url": receiver.recv(),
            "region_name": "eu-west-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
    finally:
        process.terminate()
        process.join()


@contextmanager
def stack() -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Serve a queue and an audience table; gives the arguments of a client, and the names of both."""
    with _server() as server:
        queue = boto3.client("sqs", **server).create_queue(QueueName="changes")["QueueUrl"]
        dynamodb = boto3.client("dynamodb", **server)
        table = recreate_tables(dynamodb, "AudienceTable")
        AudienceTable(dynamodb, table).put(AUDIENCE, created=1)
        yield server, {"ChangeQueue": queue, "AudienceTable": table}


def measure(rows: int, folder: Path) -> dict[str, Any]:
    """Import a file of so many rows."""
    file = folder / "members.csv"
    write(file, rows)
    with stack() as (server, names):
        arguments = json.dumps({"file": str(file), "audience": AUDIENCE.audience_id, "server": server, "names": names})
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.import_process"],
            cwd=ROOT,
            env=os.environ | {"XDG_STATE_HOME": str(folder)},
            input=arguments,
            capture_output=True,
            text=True,
            check=True,
        )
    report, _, figures = done.stdout.rpartition("\n#")
    sent = json.loads(report)
    assert (sent["rows"], sent["changes"]) == (rows, rows)
    found: dict[str, Any] = json.loads(figures)
    return {
        "rows": rows,
        "fileMegabytes": round(file.stat().st_size / 1e6, 1),
        "messages": sent["messages"],
        "megabytesSent": round(found.pop("bytesSent") / 1e6, 1),
        "rowsASecond": round(rows / found["seconds"]),
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep the result, which the docs show")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = [measure(rows, Path(folder)) for rows in SIZES]
    result = {"python": platform.python_version(), "machine": platform.machine(), "sizes": sizes}
    text = json.dumps(result, indent=1) + "\n"
    if options.record:
        RESULT.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
