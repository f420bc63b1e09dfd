"""A stack whose clock stands still unless the command waits: then events arrive, and worker and jobs run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.destination import destination_of_changes
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import Consent
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from tests.command.conftest import Deployment, Printed
from tests.support.builders import change, sha256
from tests.support.worker_stack import DEADLINE, GRANTED, Amazon, MemoryStack


@dataclass
class Amazons:
    """Amazon, with the members of each audience."""

    audiences: dict[str, Amazon] = field(default_factory=dict)

    def of(self, audience_id: str) -> Amazon:
        return self.audiences.setdefault(audience_id, Amazon())

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        return self.of(upload.target.audience_id).send_records(upload, timeout=timeout)

    def delete_people(self, people: Sequence[str], *, timeout: float) -> None:
        for amazon in self.audiences.values():
            amazon.delete_people(people, timeout=timeout)


@dataclass
class World:
    """A deployment's audiences and Amazon's sandbox, with members' rows and queues in memory, on one clock."""

    deployment: Deployment
    amazon: Amazons = field(default_factory=Amazons)
    rows: MemoryStack = field(default_factory=MemoryStack)
    events: int = 0
    script: list[tuple[float, Callable[[], None]]] = field(default_factory=list)  # epoch seconds, and what happens
    truth: dict[str, tuple[int, bool, set[str]]] = field(default_factory=dict)  # newest event: at, in, digests
    rejected: list[str] = field(default_factory=list)  # members of events that reach no audience

    def __post_init__(self) -> None:
        self.rows.amazon = self.amazon  # type: ignore[assignment]
        self.listing = AudienceListing(self.session().audiences, lambda: self.now)

    @property
    def now(self) -> float:
        return self.rows.now

    def session(self, *, yes: bool = True, as_json: bool = False) -> Session:
        deployment = self.deployment
        screen = Screen(as_json=as_json, assume_yes=yes, answers=deployment._answer)
        session = Session(screen, lambda: deployment.stack, now=lambda: self.now, sleep=self.sleep)
        scanned: Any = {"members": self.rows.members(), "member_scan": self.rows.scan()}
        session.__dict__ |= scanned
        queues = {"ChangeQueue": self.rows.queue}
        session.queue = lambda logical_id: queues[logical_id]  # type: ignore[method-assign, assignment, return-value]
        return session

    def printed(
        self, command: Any, *arguments: Any, yes: bool = True, as_json: bool = False, raises: Any = None, **options: Any
    ) -> Printed:
        """Run a command, and return what it prints."""
        session = self.session(yes=yes, as_json=as_json)
        return self.deployment.printed(lambda _: command(session, *arguments, **options), raises=raises)

    def json(self, command: Any, *arguments: Any, **options: Any) -> Any:
        """Run a command with --json, and return its document."""
        return self.printed(command, *arguments, as_json=True, **options).json

    # Segment

    def event(
        self,
        audience_id: str,
        member: str,
        *emails: str,
        exits: bool = False,
        consent: Consent = GRANTED,
    ) -> None:
        """Have an event arrive at ingest that names an audience by its id."""
        self.events += 1
        at, message_id = round(self.now * 1000), f"event-{self.events}"
        digests = [*map(sha256, emails)]
        before = self.truth.get(member, (0, False, set()))[2]
        self.truth[member] = (at, not exits, set() if exits else {*digests} | before)
        reached = self.listing.for_request().by_id(audience_id)
        if not reached:
            self.rejected.append(member)
        for audience in reached:
            made = change(member, *digests, at=at, exits=exits, message_id=message_id, country="DE")
            destination = destination_of_changes(audience)
            stated = consent_of_exit({}, destination) if exits else consent
            sent = replace(made, audience_id=audience.audience_id, destination=destination, consent=stated)
            self.rows.queue.send(pack([sent], DeliveryHistory(first_at=at)), deadline=DEADLINE)
            self.deployment.publish(self.now, **{CHANGES_ACCEPTED: 1})

    def notice(self, person: str) -> None:
        """Have a deletion notice arrive."""
        at = round(self.now * 1000)
        self.truth[person] = (at, False, set())
        self.rows.queue.send(pack([erasing_exit(person, at, f"notice-{person}")]), deadline=DEADLINE)

    # Time

    def sleep(self, seconds: float) -> None:
        """Let time pass. Whatever is due by then happens."""
        until = self.now + seconds
        while True:
            waiting = [each.due for queue in (self.rows.queue, self.rows.jobs) for each in queue.messages]
            due = min([*waiting, *(at for at, _ in self.script)], default=inf)
            if due > until:
                break
            self.rows.now = max(self.now, due)
            self._happen()
        self.rows.now = until

    def _happen(self) -> None:
        rows = self.rows
        for each in [each for each in self.script if each[0] <= self.now]:
            self.script.remove(each)
            each[1]()
        rows.audiences = [*self.listing.with_unlinked()]
        if messages := rows.queue.receive():
            report = rows.deliver_messages(*messages)
            for deferred in report.deferred:
                rows.queue.put_back(deferred.message, deferred.delay)
            for accepted_at, completed in report.completed.items():
                self.deployment.publish(accepted_at / 1000, **{CHANGES_COMPLETED: completed})
        if jobs := rows.jobs.receive():
            rows.check_jobs(None, *(each.body for each in jobs))

    def inside(self) -> dict[str, set[str]]:
        """Return who should be in now, and with which digests, by Segment's events."""
        return {member: digests for member, (_, is_in, digests) in self.truth.items() if is_in}

    def at_amazon(self, audience_id: str) -> dict[str, set[str]]:
        return {member: held for member, held in self.amazon.of(audience_id).members.items() if held}
