"""Whether a million members cost as much each as a few: `.venv/bin/python -m tests.benchmarks.bench_million`.

From the bodies of requests, 1,000 events each, to uploads: ingest's and the worker's own code, in one process, with a
table, queues and Amazon that answer at once. Each member is new. Prints a line for each tenth: processor time for an
event, the most memory the process has had, and uploads beside the fewest possible. SIZE=100000 takes fewer members.

Left out of the time are the events themselves and the table, which SQLite keeps in a file, so that it takes no memory.
"""

import marshal
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.uploads import Limits
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.messages import pack
from local.dynamodb_statements import read_statement
from tests.benchmarks.sample_events import NOW, Audiences, body, event
from tests.doubles.amazon import FakeGate
from tests.doubles.dynamodb import MEMBERSHIP_KEY
from tests.doubles.queues import FakeQueue

EVENTS = 1_000  # of one request
MAX_MESSAGES, MAX_EVENT = 50, 6_000_000  # of one invocation of the worker: messages, bytes
_AROUND = 1_000  # bytes that Lambda adds to a message, about
HEAD = (
    "| members | ingest, µs an event | worker, µs an event | peak memory, MB | uploads | fewest |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)
_TENTHS = 10
_LIMITS = Limits()


class Tenth(NamedTuple):
    """What is known after a tenth of the members."""

    members: int  # so far
    ingest: float  # microseconds of processor an event, in this tenth
    worker: float  # the same
    peak: float  # megabytes, so far
    uploads: int  # so far
    fewest: int  # uploads that could hold as many records and bytes


class TableInAFile:
    """As much of DynamoDB's client as new members need. Counts the processor time that it takes."""

    def __init__(self, path: Path) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE r (k PRIMARY KEY, v) WITHOUT ROWID"
        )
        self._lock = threading.Lock()
        self.seconds = 0.0

    def batch_execute_statement(self, *, Statements: list[Any]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Insert rows that are not there yet."""
        with self._counted():
            return {"Responses": [self._insert(each["Statement"], each["Parameters"]) for each in Statements]}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        """Read rows; those that do not exist are left out."""
        ((table, request),) = RequestItems.items()
        names = request.get("ProjectionExpression", "").split(", ")
        with self._counted():
            found = [row for key in request["Keys"] if (row := self._row(key))]
        if names != [""]:
            found = [{name: row[name] for name in names} for row in found]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def count(self) -> int:
        (number,) = self._rows.execute("SELECT count(*) FROM r").fetchone()
        return int(number)

    def close(self) -> None:
        self._rows.close()

    def _insert(self, statement: str, parameters: list[Any]) -> dict[str, Any]:
        row = read_statement(statement, parameters).attributes
        made = self._rows.execute("INSERT OR IGNORE INTO r VALUES (?, ?)", (_key(row), marshal.dumps(row)))
        return {} if made.rowcount else {"Error": {"Code": "DuplicateItem", "Message": "the row exists"}}

    def _row(self, key: Any) -> Any:
        found = self._rows.execute("SELECT v FROM r WHERE k = ?", (_key(key),)).fetchone()
        return found and marshal.loads(found[0])  # noqa: S302 - written above

    def _counted(self) -> "_Counted":
        return _Counted(self, self._lock)


@dataclass
class _Counted:
    """One use of the table at a time; adds up the processor time of the thread."""

    table: TableInAFile
    lock: threading.Lock

    def __enter__(self) -> None:
        self.lock.acquire()
        self._began = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.table.seconds += time.thread_time() - self._began
        self.lock.release()


def _key(row: Any) -> str:
    return "\n".join(row[name]["S"] for name in MEMBERSHIP_KEY)


@dataclass
class Amazon:
    """Accepts every upload, and counts."""

    uploads: int = 0
    records: int = 0
    bytes: int = 0  # of records

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert timeout > 0
        assert len(upload.body()) <= _LIMITS.max_bytes
        self.uploads += 1
        self.records += len(upload.encoded)
        self.bytes += sum(map(len, upload.encoded))
        return Submission(f"job-{self.uploads}")

    @property
    def fewest(self) -> int:
        return max(ceil(self.bytes / _LIMITS.max_bytes), ceil(self.records / _LIMITS.max_records))


class Ignored:
    """A queue whose messages nobody reads."""

    def send(self, bodies: Sequence[str], **_: Any) -> None:
        assert bodies


@dataclass
class Pipeline:
    """Ingest, a change queue and one worker."""

    table: TableInAFile
    amazon: Amazon = field(default_factory=Amazon)
    waiting: list[str] = field(default_factory=list)  # messages
    ingest: float = 0.0  # seconds of processor
    worker: float = 0.0  # the same, without the table's

    def __post_init__(self) -> None:
        clock = Clock(lambda: NOW / 1000, lambda: 0.0, _never)
        members = MembershipTable(self.table, "members", Sharding(8), clock)  # type: ignore[arg-type]
        ignored = Ignored()
        context = DeliveryContext(ignored, FakeQueue(room=0), ignored, members, list, _LIMITS, clock, FakeGate())
        self._delivery = Delivery(self.amazon, context, jitter=lambda: 1.0)
        self._audiences, self._mappings = Audiences(), compiled(None)

    def accept(self, request: bytes) -> None:
        began = time.process_time()
        result = changes_from(request, mappings=self._mappings, audiences=self._audiences, now=NOW)
        made = pack(result.changes)
        self.ingest += time.process_time() - began
        for message in made:
            size = sum(len(each) + _AROUND for each in [*self.waiting, message])
            if self.waiting and (len(self.waiting) == MAX_MESSAGES or size > MAX_EVENT):
                self.deliver()
            self.waiting.append(message)

    def deliver(self) -> None:
        """Invoke the worker with what waits."""
        messages = [Message(str(number), "handle", text, 1, NOW) for number, text in enumerate(self.waiting)]
        began, of_table = time.process_time(), self.table.seconds
        report = self._delivery.deliver(messages, deadline=60.0)
        self.worker += time.process_time() - began - (self.table.seconds - of_table)
        assert not report.deferred
        self.waiting.clear()


def _never(_: float) -> None:
    raise AssertionError("the worker waited for the table")


def peak() -> float:
    """Return the most memory that this process has had, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(size: int, memory: Callable[[], float] = peak) -> Iterator[Tenth]:
    """Take so many new members through ingest and the worker, and give what is known after each tenth."""
    with tempfile.TemporaryDirectory() as folder:
        table = TableInAFile(Path(folder) / "rows")
        pipeline = Pipeline(table)
        for some in batched(range(size), size // _TENTHS):
            ingest, worker = pipeline.ingest, pipeline.worker
            for numbers in batched(some, EVENTS):
                pipeline.accept(body([event(number, "US") for number in numbers]))
            pipeline.deliver()
            amazon, done = pipeline.amazon, some[-1] + 1
            assert amazon.records == table.count() == done
            ingest, worker = (
                (spent / len(some) * 1e6) for spent in (pipeline.ingest - ingest, pipeline.worker - worker)
            )
            yield Tenth(done, ingest, worker, memory(), amazon.uploads, amazon.fewest)
        table.close()


def main() -> None:
    sys.stdout.write(HEAD)
    for tenth in measure(int(os.environ.get("SIZE", "1000000"))):
        members, ingest, worker, memory, uploads, fewest = tenth
        sys.stdout.write(f"| {members:,} | {ingest:.0f} | {worker:.0f} | {memory:.0f} | {uploads:,} | {fewest:,} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
