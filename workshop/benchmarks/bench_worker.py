"""Members a second that one worker delivers on one processor: `.venv/bin/python -m workshop.benchmarks.bench_worker`.

It runs the worker's handler as Lambda does: the template's environment, events of up to 6 MB, boto3 and requests over
HTTP. DynamoDB, SQS and Amazon answer after 5 ms each, from a process on another processor.
Left out: TLS, and the start of an execution environment. Processor time is user and system time of all threads.

Prints JSON, which `make bench` puts into its result.
"""

import gc
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import requests

from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.sending import Uploads
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Destination, MembershipChange
from audience_sync.members.messages import ChangeMessage, pack
from audience_sync.runtime import telemetry
from functions.worker import handler
from local.template import ACCOUNT, REGION, Template
from tests.support.doubles.lambda_context import Context
from workshop.benchmarks.dynamodb_server import CONTROL, serve

DELAY = 0.005  # seconds until an answer
MEMBERS = 6_900  # of one event
WITH_CONSENT = 6_200  # of these, in an event of longer changes
MAX_EVENT = 6_000_000  # bytes; Lambda takes no more
ROUNDS = 5
DAY = 86_400  # seconds
NOW = time.time_ns() // 1_000_000
GRANTED = {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}  # without consent, a dataset takes nobody
FIELDS = tuple(field.amazon_name for field in IDENTIFIERS)
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("parse", ChangeMessage, "from_body"),
    ("read", MembershipTable, "read_each"),
    ("write", MembershipTable, "write"),
    ("upload", Uploads, "send_in_uploads"),  # with the job's message
)


@dataclass(frozen=True)
class Scenario:
    """Changes of the same members, and what was delivered of the same members before."""

    action: str
    before: tuple[tuple[str, int], ...] = ()  # action, and how many days ago
    audiences: int = 1
    api: Api = Api.AUDIENCES
    uploads: bool = True  # whether Amazon gets the members, or the changes are superseded

    @property
    def members(self) -> int:
        """The number of members."""
        return MEMBERS if self.api is Api.AUDIENCES else WITH_CONSENT

    def changes(self, action: str, at: int) -> Iterator[MembershipChange]:
        """One change of each member, with all eight identifiers, at an epoch millisecond."""
        is_dataset = self.api is Api.DATA_MANAGER
        destination = ads_data_manager() if is_dataset else Destination()
        for number in range(self.members):
            record: dict[str, Any] = {
                "externalUserId": sha256(f"user-{number}".encode()).hexdigest()[:32],
                "countryCode": "US",
                "action": action,
                "hashedPII": [{field: sha256(f"{field}-{number}".encode()).hexdigest() for field in FIELDS}],
                "userConsent": {"consent": {"amzn": GRANTED}} if is_dataset and action == "CREATE" else {},
            }
            audience_id = f"{'adm-ds-' if is_dataset else ''}{418_273_650_912_345_600 + number % self.audiences}"
            yield MembershipChange(audience_id, destination, at, f"segment-{number:028d}", record)


SCENARIOS = {
    "new members": Scenario("CREATE"),
    "new members of ten audiences": Scenario("CREATE", audiences=10),
    "members that entered before": Scenario("CREATE", (("CREATE", 30),)),
    "members that left before": Scenario("CREATE", (("CREATE", 60), ("DELETE", 30))),
    "members that leave": Scenario("DELETE", (("CREATE", 30),)),
    "new members, Ads Data Manager": Scenario("CREATE", api=Api.DATA_MANAGER),
    "members that leave, Ads Data Manager": Scenario("DELETE", (("CREATE", 30),), api=Api.DATA_MANAGER),
    "superseded changes": Scenario("CREATE", (("CREATE", -1),), uploads=False),
}


class Run(NamedTuple):
    """One invocation: seconds for each member."""

    processor: float
    wall: float
    parts: Mapping[str, float]  # processor time


class Stopwatch:
    """Adds up the processor time of each part. Only one of them runs at a time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        for part, owner, name in PARTS:
            call = self._timed(part, getattr(owner, name))
            setattr(owner, name, staticmethod(call) if owner is ChangeMessage else call)

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return call(*args, **options)
            finally:
                self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - began

        return timed


@contextmanager
def server() -> Iterator[str]:
    """Run the services on the last processor of this machine, and this process on the first. Gives their URL."""
    first, *_, last = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, DELAY, last))
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.close()
        process.join()


def environment(url: str) -> dict[str, str]:
    """The worker's environment, from the template."""
    template = Template.load()
    for queue in template.resources("AWS::SQS::Queue"):
        template.name(queue, f"{url}/{ACCOUNT}/{queue}", Arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")
    for secret in template.resources("AWS::SecretsManager::Secret"):
        template.name(secret, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{secret}")
    for table in template.resources("AWS::DynamoDB::Table"):
        template.name(table, f"local-{table}")
    declared = template.resolve(dict(template.functions()["WorkerFunction"].environment))
    return {name: str(value) for name, value in declared.items()} | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "x" * 900,  # characters, about as in Lambda
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AMAZON_API_URL": url,
        "AMAZON_LOGIN_URL": f"{url}/login",
        "DATA_MANAGER_ACCOUNT_ID": "local",
    }


def event_of(some: Iterable[MembershipChange]) -> str:
    """The event that Lambda makes of the messages of these changes, as JSON."""
    records = [
        {
            "messageId": f"19dd0b57-b21e-4ac1-bd88-{number:012d}",
            "receiptHandle": f"{number:0400d}",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": str(NOW),
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": str(NOW),
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:changes",
            "awsRegion": REGION,
        }
        for number, body in enumerate(pack(some))
    ]
    text = json.dumps({"Records": records})
    assert len(text) <= MAX_EVENT, len(text)
    return text


class Bench:
    """The worker, warm, with the rows of each scenario kept in the server."""

    def __init__(self, url: str, names: Iterable[str]) -> None:
        self._url = url
        self._stopwatch = Stopwatch()
        self.events = {}
        for name in names:
            scenario = SCENARIOS[name]
            self.events[name] = event_of(scenario.changes(scenario.action, NOW))
            for action, days in scenario.before:
                handler.CLOCK = Clock(now=lambda days=days: time.time() - days * DAY)  # type: ignore[misc]
                handler.dependencies.cache_clear()
                self.invoke(event_of(scenario.changes(action, NOW - days * DAY * 1000)))
            self.control(keep=name)
            self.control(restore="none")
        handler.CLOCK = Clock()
        handler.dependencies.cache_clear()

    def control(self, **what: str) -> Any:
        return requests.put(self._url + CONTROL, json=what, timeout=60).json()

    def invoke(self, event: str) -> None:
        answer = handler.lambda_handler(json.loads(event), Context(900_000))
        assert answer == {"batchItemFailures": []}, answer

    def run(self, name: str) -> Run:
        """Invoke the worker once, and check that every member was recorded, and sent where it had to be."""
        self.control(restore=name)
        self._stopwatch.seconds.clear()
        gc.collect()
        wall, processor = time.perf_counter(), time.process_time()
        self.invoke(self.events[name])
        members = SCENARIOS[name].members
        processor, wall = (time.process_time() - processor) / members, (time.perf_counter() - wall) / members
        run = Run(processor, wall, {part: spent / members for part, spent in self._stopwatch.seconds.items()})
        counted = self.control()
        assert counted["records"] == (members if SCENARIOS[name].uploads else 0), counted
        assert counted["rows"] == members, counted
        return run


def as_json(runs: Mapping[str, list[Run]]) -> dict[str, Any]:
    """Microseconds of processor time a member: median, quickest and slowest run, and the medians of the parts."""
    found: dict[str, Any] = {}
    for name, measured in runs.items():
        costs = sorted(run.processor * 1e6 for run in measured)
        parts = {part: median(run.parts.get(part, 0.0) for run in measured) * 1e6 for part, *_ in PARTS}
        parts["rest"] = median(costs) - sum(parts.values())
        rounded = {part: round(cost, 1) for part, cost in parts.items()}
        found[name] = {
            "median": round(median(costs), 1),
            "low": round(costs[0], 1),
            "high": round(costs[-1], 1),
            "parts": rounded,
        }
    return found


def main() -> None:
    out = sys.stdout
    with server() as url, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        lines: Any = telemetry.logger.registered_handler
        lines.setStream(nowhere)
        os.environ.update(environment(url))
        bench = Bench(url, SCENARIOS)
        runs: dict[str, list[Run]] = {name: [] for name in SCENARIOS}
        for number in range(ROUNDS + 1):
            for name, measured in runs.items():
                run = bench.run(name)
                if number:  # the first round warms up
                    measured.append(run)
    json.dump(as_json(runs), out)


if __name__ == "__main__":
    main()
