"""Reads the dashboard's facts from a stack, each part at an interval that suits its changes and its cost."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from typing import Any, Literal, NamedTuple

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.checkpoint import AUDIT, Checkpoint
from audience_sync.runtime.metric_names import FINDINGS
from audience_sync_cli.dashboard import logs, plots
from audience_sync_cli.dashboard.facts import (
    Activity,
    Alarm,
    AudienceFacts,
    DeadLetterFacts,
    DeadLetterList,
    Facts,
    Place,
    RejectedEvents,
    ShareFacts,
    ShownLine,
    Warnings,
)
from audience_sync_cli.dashboard.operator import Blockers, Operator
from audience_sync_cli.dashboard.parts import Part
from audience_sync_cli.dashboard.ranges import RANGES, USUAL, Range
from audience_sync_cli.frame.session import NO_API
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.stack.counts import Counts, Depth, depth, event_queue_depth
from audience_sync_cli.stack.dead_letters import DeadLetters
from audience_sync_cli.stack.findings import open_findings
from audience_sync_cli.stack.function_logs import FUNCTIONS
from audience_sync_cli.stack.stack_metrics import StackMetrics

# Seconds between two readings of a part; the intervals for CloudWatch are in plots.py.
QUEUES = 10
SMALL = 60  # alarms, the audit's progress, the newest log lines
REASONS = 20
SHARES = 300
MAX_DEAD_LETTERS = 200  # messages to read; reading hides them from other readers for a moment
PATIENT = 3.0  # seconds to wait for parts that the page can do without

type Lines = tuple[ShownLine, ...]  # newest first


class Pace(NamedTuple):
    """Intervals that suit a stack; by default those for AWS, where each reading costs."""

    longest: float = inf  # seconds between two readings of a part; shorter intervals stay
    usual: Range = USUAL  # for an address without a range
    sizes: int = HOUR  # seconds for which an audience has one size


AT_AWS = Pace()


class DeployedStack:
    """A stack in AWS, or one on this machine that answers as AWS does, for the dashboard. For calls of any thread."""

    def __init__(self, stack: Stack, now: Callable[[], float], cost: str = "", pace: Pace = AT_AWS) -> None:
        """`now` is in epoch seconds; `cost` is a sentence about an open page."""
        self._stack = stack
        self._now = now
        self._pace = pace
        self._ranges = RANGES | {"": pace.usual}
        self._operator = Operator(stack, now)
        self._lock = threading.Lock()
        for service in _SERVICES:  # here: boto3 cannot build clients in several threads
            stack.service(service)
        self._executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="dashboard")
        self._metrics = StackMetrics(stack)
        region = str(stack.service("cloudwatch").meta.region_name)
        kind: Literal["local", "deployed"] = "local" if stack.local else "deployed"
        self._place = Place(kind, stack.name, stack.api or NO_API, min(QUEUES, pace.longest), region, cost)
        self._counts = Part("counts", plots.EVERY_COUNT, lambda: self._metrics.counts(stack.created, now()), Counts())
        self._activity = {each.span: self._activity_part(each) for each in self._ranges.values()}
        self._reasons = {each.span: self._reasons_part(each) for each in self._ranges.values()}
        self._queue = Part("change queue", QUEUES, lambda: depth(stack, "ChangeQueue"), Depth(0, 0, 0))
        self._jobs = Part("job queue", QUEUES, lambda: depth(stack, "JobQueue"), Depth(0, 0, 0))
        self._dead = Part("dead letters", QUEUES, lambda: depth(stack, "DeadLetterQueue"), Depth(0, 0, 0))
        self._events = Part("event queue", QUEUES, lambda: event_queue_depth(stack), None)
        self._parked = Part("reasons of dead letters", 0, self._dead_letters, DeadLetterList())
        self._audiences: Part[tuple[AudienceFacts, ...]] = Part("audiences", plots.EVERY_AUDIENCE, self._history, ())
        self._shares: Part[Mapping[str, tuple[ShareFacts, ...]]] = Part("shares", SHARES, self._read_shares, {})
        self._alarms: Part[tuple[Alarm, ...] | None] = Part("alarms", SMALL, self._read_alarms, None)
        self._audit = Part("audit", SMALL, self._audited_until, None)
        self._blocked: Part[Blockers] = Part("reasons why changes wait", REASONS, self._blockers, ())
        self._uploads: Part[Lines] = Part("uploads", SMALL, lambda: self._lines("Worker", logs.UPLOADS), ())
        self._rejections: Part[Lines] = Part("rejected events", SMALL, lambda: self._lines("Ingest", logs.REJECTED), ())
        self._trouble: Part[Lines] = Part("log", SMALL, self._warnings_and_errors, ())
        self._reading = threading.Lock()  # dead letters: those that are being read are hidden from a redrive
        self._listed_of = self._counted = 0  # dead letters, when they were last read and counted
        self._needed: list[Part[Any]] = [self._counts, self._queue, self._dead]
        self._others: list[Part[Any]] = [
            *(self._jobs, self._audiences, self._shares, self._alarms, self._audit),
            *(self._uploads, self._rejections, self._trouble, self._events),
        ]

    def read(self, chosen: str) -> Facts:
        """Return the facts for one of the ranges; parts that are not due keep their values."""
        with self._lock:
            now, span = self._now(), self._ranges[chosen].span
            others: list[Part[Any]] = [*self._others, self._activity[span], self._reasons[span]]
            for part in (*self._needed, *others):
                self._begin(part, now)
            for part in self._needed:
                part.finish(now)
            self._read_dead_letters(now)
            self._begin(self._blocked, now)  # depends on the queue
            deadline = time.monotonic() + PATIENT
            for part in (*others, self._parked, self._blocked):
                part.finish(now, max(0.0, deadline - time.monotonic()) if part.read_at is None else 0)
            return self._facts(now, chosen, (*self._needed, *others, self._parked, self._blocked))

    def redrive(self, reason: str) -> list[str]:
        """Redrive dead letters with this reason, or all if it is empty. Returns sentences."""
        with self._reading:
            done = self._operator.redrive(reason)
        with self._lock:
            for part in (self._queue, self._dead, self._parked):
                part.expire()
            self._listed_of = -1
        return done

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        """Pause or resume delivery: note. Raises OperatorError."""
        done = self._operator.switch(action, fields)
        with self._lock:
            self._blocked.expire()
        return done

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return everything stored under a member id or a message id: title and facts of each. Raises OperatorError."""
        return self._operator.find(fields)

    def close(self) -> None:
        """End the threads, without waiting for running reads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _facts(self, now: float, chosen: str, parts: Sequence[Part[Any]]) -> Facts:
        span, since = self._ranges[chosen].span, now - self._ranges[chosen].history
        activity, warnings = self._activity[span].value
        parked = self._parked.value if self._dead.value.total else DeadLetterList()
        return Facts(
            at=now,
            place=self._place,
            counts=self._counts.value,
            queue=self._queue.value,
            dead_letters=self._dead.value.total,
            jobs_pending=self._jobs.value.total,
            event_queue=self._events.value,
            warnings=warnings,
            activity=activity,
            range=chosen,
            audiences=tuple(
                replace(each.since(since), shares=self._shares.value.get(each.audience_id, ()))
                for each in self._audiences.value
            ),
            rejected=self._reasons[span].value,
            rejected_events=self._rejections.value,
            uploads=logs.uploads(self._uploads.value),
            parked=parked,
            log=self._trouble.value,
            alarms=self._alarms.value,
            blockers=self._blocked.value,
            audited_until=self._audit.value,
            problems=tuple(part.problem for part in parts if part.problem),
            unread=tuple(part.name for part in parts if part.is_unread),
        )

    def _read_dead_letters(self, now: float) -> None:
        """Read dead letters if their number has changed, not on a schedule: reading hides them for a moment.

        While their number falls, a command redrives or drops them, and would miss those that are hidden.
        """
        count, before = self._dead.value.total, self._counted
        self._counted = count
        is_falling = count < min(before, self._listed_of)
        if count != self._listed_of and not is_falling and not self._parked.is_running:
            self._listed_of = count
            self._parked.expire()
            self._begin(self._parked, now)

    def _dead_letters(self) -> DeadLetterList:
        with self._reading, DeadLetters.of(self._stack).reader(limit=MAX_DEAD_LETTERS) as reader:
            found = [message for messages in reader.batches() for message in messages]
        newest_first = sorted(found, key=lambda message: -message.at)
        return DeadLetterList(tuple(map(DeadLetterFacts.of, newest_first)), self._now(), not reader.stopped)

    def _blockers(self) -> Blockers:
        return self._operator.blockers(waits=self._queue.value.total > 0)

    def _begin(self, part: Part[Any], now: float) -> None:
        part.begin(self._executor, now, self._pace.longest)

    def _activity_part(self, chosen: Range) -> Part[tuple[Activity, Warnings]]:
        every = plots.EVERY_COUNT if chosen.span <= DAY else plots.EVERY_LONG
        none = Activity(chosen.period), Warnings()
        return Part("activity", every, lambda: plots.activity(self._metrics, chosen, self._now()), none)

    def _reasons_part(self, chosen: Range) -> Part[tuple[RejectedEvents, ...]]:
        every, now = plots.EVERY_REASON, self._now
        return Part("reasons of rejections", every, lambda: plots.rejections(self._metrics, chosen, now()), ())

    def _history(self) -> tuple[AudienceFacts, ...]:
        listed = AudienceTable(self._stack.service("dynamodb"), self._stack["AudienceTable"]).all()
        return plots.audience_history(self._metrics, listed, self._now(), self._pace.sizes)

    def _read_shares(self) -> Mapping[str, tuple[ShareFacts, ...]]:
        if "DatasetsLogGroup" not in self._stack:  # an older version
            return {}
        return logs.shares(self._stack.service("logs"), self._stack["DatasetsLogGroup"], self._now())

    def _read_alarms(self) -> tuple[Alarm, ...]:
        """Return the stack's alarms by name. Another stack may begin with this name; alarm names have no dash."""
        prefix = f"{self._stack.name}-"
        pages = self._stack.service("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
        found = "\n".join(each.sentence for each in open_findings(self._stack))  # of one alarm, with a fixed text
        alarms = [
            Alarm(
                each["AlarmName"].removeprefix(prefix),
                each["StateValue"],
                each["StateUpdatedTimestamp"].timestamp(),
                found if each.get("MetricName") == FINDINGS else each.get("AlarmDescription", ""),
            )
            for page in pages
            for each in page["MetricAlarms"]
        ]
        return tuple(sorted((each for each in alarms if "-" not in each.name), key=lambda each: each.name))

    def _audited_until(self) -> float | None:
        return Checkpoint(self._stack.service("dynamodb"), self._stack["MembershipTable"], AUDIT).time()

    def _warnings_and_errors(self) -> Lines:
        found = [line for name in FUNCTIONS for line in self._lines(name, logs.TROUBLE)]
        return tuple(sorted(found, key=lambda line: -line.at)[: logs.SHOWN])

    def _lines(self, function: str, pattern: str) -> Lines:
        group = self._stack[f"{function}LogGroup"]
        return logs.newest_lines(self._stack.service("logs"), function.lower(), group, pattern, self._now())


_SERVICES = ("cloudformation", "cloudwatch", "dynamodb", "lambda", "logs", "sqs")
