"""Read access to a running stack, for the status page, the operator's command and `GET /local/state`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience_sync.errors import InvalidMessage
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.reasons import Reason
from audience_sync.runtime import metric_names
from local.amazon.sandbox import Sandbox
from local.functions import Functions
from local.metrics import Metrics
from local.poller import Poller
from local.sqs.queues import SqsQueues
from local.template import STACK, Template

_TOTALS = {
    "accepted": metric_names.CHANGES_ACCEPTED,
    "delivered": metric_names.CHANGES_DELIVERED,
    "superseded": metric_names.CHANGES_SUPERSEDED,
    "parked": metric_names.CHANGES_PARKED,
    "eventsAccepted": metric_names.EVENTS_ACCEPTED,
    "ignored": metric_names.EVENTS_IGNORED,
    "rejected": metric_names.EVENTS_REJECTED,
    "uploads": metric_names.UPLOADS_SENT,
}


@dataclass(frozen=True, slots=True)
class StackView:
    """Reads the parts of a stack; never starts or stops them."""

    template: Template
    queues: SqsQueues
    metrics: Metrics
    functions: Functions
    sandbox: Sandbox
    urls: Mapping[str, str]
    pollers: Mapping[str, Poller]  # by function

    def state(self) -> dict[str, Any]:
        """Return the number of changes by state: `accepted` = `delivered` + `superseded` + `parked` + waiting ones."""
        totals = {
            field: self.metrics.total(metric_names.NAMESPACE, name, {"service": STACK})
            for field, name in _TOTALS.items()
        }
        changes = self.queues.counts(self.queue("ChangeQueue"))
        others = [each for each in ("JobQueue", "EventsQueue") if each in self.template.resources("AWS::SQS::Queue")]
        waiting = changes.total + sum(self.queues.counts(self.queue(each)).total for each in others)
        self.sandbox.now()  # finishes due jobs
        return {
            "queued": changes.visible + changes.delayed,
            "inFlight": changes.in_flight,
            "deadLetters": [_summary(message.body) for message in self.queues.peek(self.queue("DeadLetterQueue"))],
            **totals,
            "quiescent": not (waiting or self.functions.running or self.sandbox.has_uploads_without_effect),
        }

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
    action = "DELETE" if change.exits else "CREATE"
    return failure | {"audienceId": audience_id, "externalUserId": external_user_id, "action": action}
