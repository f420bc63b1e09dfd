"""Targets of the worker and of `jobs`: a message of any content, beside one that is right; and a job's end."""

import contextlib
import io
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from audience_sync.amazon_ads.job import JobReport, job_report
from audience_sync.amazon_ads.timings import Timings
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import InvalidMessage, OutcomeUnknown, RequestRejected, TransientError
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Audience, Identity, Version
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, pack
from audience_sync.operations.job_tracking import JobContext, JobTracker
from audience_sync.runtime import telemetry
from functions.worker import handler
from local.amazon import records
from local.amazon.refusals import Refusal, json_object
from tests.fuzz.inputs import json_or_none
from tests.support.builders import change
from tests.support.doubles.amazon import FakeGate
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.lambda_context import Context
from tests.support.doubles.queues import FakeQueue

NOW = 1_774_000_000.0  # epoch seconds
CLOCK = Clock(lambda: NOW, lambda: 0.0, lambda _: None)
LATER = 900.0  # seconds until a job is checked
GOOD_AUDIENCE = 7_000_000_000_000_000_001
GOOD_CHANGE = change("good_1", "ab" * 32, at=round(NOW * 1000), audience_id=str(GOOD_AUDIENCE))
(GOOD,) = pack([GOOD_CHANGE], DeliveryHistory())


class Amazon:
    """Takes what Amazon's stand-in finds right, and ends jobs as it is asked to."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.is_down = False  # for all audiences but the one of the right message
        self.report = JobReport("SUCCEEDED")

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Take an upload."""
        assert timeout > 0
        if self.is_down and f'"audienceId":{GOOD_AUDIENCE},'.encode() not in upload.body():
            raise OutcomeUnknown("no usable answer")
        try:
            body = json_object(upload.body())
            records.read_upload(body)
        except Refusal as refusal:
            raise RequestRejected(refusal.message, status=400) from None
        self.taken.append(body)
        return Submission(f"job-{len(self.taken)}")

    def job(self, _job_id: str) -> JobReport:
        return self.report


def deliver_message(data: bytes) -> None:
    """Input: the body of a message of the change queue.

    Whether Amazon answers or not, the worker ends without an error, and delivers the right message, too. What Amazon
    refuses is parked. Each dead letter can be read, as far as its message could, and so can each job message, whose end
    leads to no error.
    """
    try:
        body = data.decode()
    except UnicodeDecodeError:
        return
    amazon, changes, jobs, dead_letters = Amazon(), FakeQueue(), FakeQueue(), FakeQueue()
    table = _table()
    context = DeliveryContext(
        changes, dead_letters, jobs, table, lambda: [Audience(str(GOOD_AUDIENCE))], Limits(), CLOCK, FakeGate()
    )
    for is_down in (True, False):
        amazon.is_down = is_down
        left = _work([body, GOOD, *changes.bodies], amazon, context)
        assert "1" not in left, "a right message is held back"
    delivered = [upload for upload in amazon.taken if upload["audienceId"] == GOOD_AUDIENCE]
    assert len(delivered) == 2, "a right message was not delivered"
    for each in dead_letters.bodies:
        with contextlib.suppress(InvalidMessage):
            DeadLetter.from_body(each)
            continue
        assert each == body, "a dead letter that cannot be read"
    later = CLOCK._replace(now=lambda: NOW + LATER)
    tracker = JobTracker(JobContext(amazon, table, changes, jobs, dead_letters, later, Timings(LATER)))
    for each in list(jobs.bodies):
        message = JobMessage.from_body(each)
        amazon.report = JobReport("FAILED")
        tracker.check(message, deadline=180.0)
        amazon.report = JobReport("SUCCEEDED")
        tracker.check(message, deadline=180.0)


def check_job(data: bytes) -> None:
    """Input: the body of a message of the job queue, an empty line, and what Amazon answers about the job, in JSON.

    A message is InvalidMessage, or its check leads to an outcome, or to TransientError; what it sends can be read.
    """
    body, _, answer = data.partition(b"\n\n")
    try:
        message = JobMessage.from_body(body.decode("utf-8", "replace"))
    except InvalidMessage:
        return
    amazon, changes, jobs, dead_letters = Amazon(), FakeQueue(), FakeQueue(), FakeQueue()
    table = _table()
    table.write([_member(message, each) for each in {each.member: each for each in message.members}.values()])
    parsed = json_or_none(answer)
    amazon.report = job_report(parsed if isinstance(parsed, dict) else {})
    tracker = JobTracker(JobContext(amazon, table, changes, jobs, dead_letters, CLOCK, Timings(LATER)))
    with contextlib.suppress(TransientError):
        tracker.check(message, deadline=180.0)
    for each in jobs.bodies:
        JobMessage.from_body(each)
    for each in changes.bodies:
        ChangeMessage.from_body(each)
    for each in dead_letters.bodies:
        DeadLetter.from_body(each)


def _table() -> MembershipTable:
    client: Any = MembershipRows()
    return MembershipTable(client, "members", Sharding(4), CLOCK, lambda: 0.0)


def _member(message: JobMessage, each: JobMember) -> MemberState:
    """Return the state of a member who has entered with one identity, or has left with it, as the job says."""
    version = Version.from_text(each.version)
    enter = change(each.member, "ab" * 32, at=version.at - 1, message_id="m0", audience_id=message.audience_id)
    named = (Identity(version.at, enter.identities[0].digests),)
    leave = replace(
        enter, at=version.at, message_id=version.message_id, exits=True, identities=named, erase=each.erases
    )
    return apply_changes(None, [leave if each.removes else enter], now=round(NOW), timing=Timing(1020)).state


def _work(bodies: Sequence[str], amazon: Amazon, context: DeliveryContext) -> list[str]:
    """Invoke the handler with messages. Returns the numbers of those that stay in the queue."""
    wrap = SimpleNamespace(wrap=lambda _: amazon)
    settings = SimpleNamespace(hosts=SimpleNamespace(api="https://amazon.example"), account=None)
    parts: Any = SimpleNamespace(
        settings=settings,
        queue=context.queue,
        context=context,
        circuit_breakers=wrap,
        budget=wrap,
        tokens=SimpleNamespace(never_connected=lambda: False),
    )
    return invoke(handler, parts, context.clock, bodies)[0]


def invoke(function: ModuleType, parts: Any, clock: Clock, bodies: Sequence[str]) -> tuple[list[str], list[Any]]:
    """Invoke the handler of a queue's function. Returns the numbers of messages that stay, and the lines of the log."""
    event = {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": f"receipt-{number}",
                "body": each,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(round(NOW * 1000))},
            }
            for number, each in enumerate(bodies)
        ]
    }
    printed = io.StringIO()
    with (
        patch.object(function, "dependencies", lambda: parts),
        patch.object(function, "CLOCK", clock),
        patch.object(time, "time_ns", lambda: round(NOW * 1e9)),
        patch.object(telemetry.logger.registered_handler, "stream", printed),
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(action="ignore", category=UserWarning),  # of Powertools, about the age of a metric
    ):
        answer = function.lambda_handler(event, Context())
    log = [json_or_none(line.encode()) for line in printed.getvalue().splitlines()]
    assert all(log)
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]], log
