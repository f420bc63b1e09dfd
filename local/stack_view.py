"""Read access to a running stack, for the status page, the operator's command and `GET /local/state`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience_sync.errors import InvalidMessage
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.reasons import Reason
from local.amazon.sandbox import Sandbox
from local.counters import Counters
from local.functions import Functions
from local.metrics import MetricForwarder
from local.poller import Poller
from local.sqs.queues import SqsQueues
from local.template import Template


@dataclass(frozen=True, slots=True)
class StackView:
    """Reads the parts of a stack; never starts or stops them."""

    template: Template
    queues: SqsQueues
    counters: Counters
    functions: Functions
    sandbox: Sandbox
    metrics: MetricForwarder
    urls: Mapping[str, str]
    pollers: Mapping[str, Poller]  # by function

    def state(self) -> dict[str, Any]:
        """Return the number of changes by state.

        `accepted` = `delivered` + `superseded` + `parked` + waiting ones - `countedTwice`.
        """
        totals = self.counters.totals
        changes = self.queues.counts(self.queue("ChangeQueue"))
        jobs = self.queues.counts(self.queue("JobQueue"))
        waiting = changes.total + jobs.total + sum(self.event_queue()[:1])
        self.sandbox.now()  # finishes due jobs
        return {
            "queued": changes.visible + changes.delayed,
            "inFlight": changes.in_flight,
            "inFlightTimes": self.queues.in_flight_times(self.queue("ChangeQueue")),  # since, until
            "deadLetters": [_summary(message.body) for message in self.queues.peek(self.queue("DeadLetterQueue"))],
            "accepted": totals["ChangesAccepted"],
            "delivered": totals["ChangesDelivered"],
            "superseded": totals["ChangesSuperseded"],
            "parked": totals["ChangesParked"],
            "eventsAccepted": totals["EventsAccepted"],
            "ignored": totals["EventsIgnored"],
            "rejected": totals["EventsRejected"],
            "uploads": totals["UploadsSent"],
            "uploadsFailed": totals["UploadsFailed"],
            "recordsRepeated": totals["RecordsRepeated"],
            "unaccounted": totals["AccountingGap"],
            "countedTwice": self.counters.counted_twice,
            "metricLinesPending": self.metrics.pending,
            "quiescent": not (waiting or self.functions.running or self.sandbox.has_uploads_without_effect),
        }

    def event_queue(self) -> list[int]:
        """Return how many messages the event queue and its dead letter queue hold; empty without EventQueue=yes."""
        queues, names = self.template.resources("AWS::SQS::Queue"), ("EventsQueue", "EventsDeadLetterQueue")
        return [self.queues.counts(self.queue(name)).total for name in names if name in queues]

    def queue(self, logical_id: str) -> str:
        """Return the name of a queue by its logical id in the template."""
        name: str = self.template.resolve({"Fn::GetAtt": [logical_id, "QueueName"]})
        return name


def _summary(body: str) -> dict[str, Any]:
    """Summarize a dead letter: the reason, or that the message is unreadable."""
    try:
        dead_letter = DeadLetter.from_body(body)
        change = dead_letter.changes[0]
    except (InvalidMessage, IndexError):
        return {"reason": Reason.UNREADABLE, "audienceId": None, "externalUserId": None}
    failure = dead_letter.failure.as_json() if dead_letter.failure else {"reason": Reason.RECEIVED_TOO_OFTEN}
    audience_id, external_user_id = change.member
    return failure | {"audienceId": audience_id, "externalUserId": external_user_id, "action": change.record["action"]}
