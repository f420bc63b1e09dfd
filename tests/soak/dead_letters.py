"""The dead letters of a simulation: examined as they arrive, and redriven as an operator does."""

import json
from collections.abc import Container
from random import Random
from typing import Any

from audience_sync.errors import InvalidMessage
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.membership import EVERY_AUDIENCE
from local.sqs.message import SqsMessage
from tests.soak.amazon import Amazon
from tests.soak.clock import SimulatedClock
from tests.soak.held import Member
from tests.soak.stack import Stack


class DeadLetters:
    """The dead letter queue of the change queue, and what is wrong with what has arrived in it."""

    def __init__(self, stack: Stack, amazon: Amazon, clock: SimulatedClock, random: Random) -> None:
        self.unexplained = 0  # without a reason
        self.misparked: list[tuple[Member, str]] = []  # member, and why it is wrong
        self.needless: list[Member] = []  # members of exits parked without an identifier
        self.redrives: list[tuple[float, Member]] = []  # epoch seconds, and one member of the message
        self._queue = stack.queue("DeadLetterQueue")
        self._stack = stack
        self._amazon = amazon
        self._clock = clock
        self._random = random
        self._queue.on_put.append(self._examine)

    def bodies(self) -> list[str]:
        """Return what lies in the queue."""
        return [message.body for message in self._queue.messages(self._clock.now)]

    def members(self) -> set[Member]:
        """Return the members that the queue's messages are about."""
        return {member for body in self.bodies() for member in _members(body)}

    def redrive(self, known: Container[Member], share: float = 1.0) -> None:
        """Send messages back to the change queue. Those that name no known member are deleted.

        Args:
            known: members about whom events have stated something.
            share: of the messages.
        """
        now = self._clock.now
        for received in self._queue.receive(len(self.bodies()) or 1, visibility=0, now=now, dead_letters=None):
            if self._random.random() > share:
                continue
            self._queue.delete(received.receipt_handle, now=now)
            bodies = _redrive_bodies(received.message.body)
            members = sorted(_members(received.message.body))
            if any(member in known or member[0] == EVERY_AUDIENCE for member in members):
                self.redrives += [(now, member) for member in members]
                for body in bodies:
                    self._stack.send("ChangeQueue", body)

    def _examine(self, message: SqsMessage) -> None:
        failure = _failure(message.body)
        if not message.attributes.get("reason") and not failure.get("reason"):
            self.unexplained += 1
        if failure.get("reason") == "no_identifier":
            self.needless += [member for member, record in _records(message.body) if record["action"] == "DELETE"]
        self._compare_with_job(message.body)

    def _compare_with_job(self, body: str) -> None:
        """Compare what was parked because of a job with what that job has rejected."""
        if _failure(body).get("reason") == "request_rejected":
            refused = self._amazon.datasets.refused
            datasets = {dataset_id for dataset_id, _ in self._amazon.datasets.accepted}
            others = {member for member in _members(body) if member[0] in datasets} - refused
            self.misparked += [(member, "Amazon has not refused this member") for member in sorted(others)]
        job = self._amazon.jobs.get(str(_failure(body).get("requestId")))
        if job is None:
            return
        for member, parked in _records(body):
            sent = [record for record in job.records if record["externalUserId"] == member[1]]
            if all(record["action"] != parked["action"] for record in sent):
                self.misparked.append((member, f"{job.job_id} did not hold this {parked['action']}"))
            elif parked["action"] == "CREATE" and all(_is_foreign(parked, record) for record in sent):
                self.misparked.append((member, f"{job.job_id} did not hold these identities"))


def _redrive_bodies(body: str) -> list[str]:
    """Return what redriving a dead letter sends; nothing for one that cannot be read."""
    try:
        return DeadLetter.from_body(body).redrive_bodies()
    except InvalidMessage:
        return []


def _records(body: str) -> list[tuple[Member, dict[str, Any]]]:
    """Return the records that a dead parked holds, with their members; none for one that cannot be read."""
    try:
        parked = json.loads(body)
        records = [change["record"] for change in parked["changes"]]
        return [((parked["audienceId"], record["externalUserId"]), record) for record in records]
    except (ValueError, KeyError, TypeError):
        return []


def _members(body: str) -> set[Member]:
    """Return the members that a dead letter is about."""
    return {member for member, _ in _records(body)}


def _failure(body: str) -> dict[str, Any]:
    """Return why a dead letter was parked; empty where it does not say."""
    try:
        failure = json.loads(body)["failure"]
    except (ValueError, KeyError, TypeError):
        return {}
    return failure if isinstance(failure, dict) else {}


def _is_foreign(parked: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Return whether two records have no identity in common."""
    return not any(identity in sent["hashedPII"] for identity in parked["hashedPII"])
