"""Asks Amazon to delete people from all datasets when they are due (person_deletion.py). Use case of `jobs`.

A message of the job queue names them; their rows decide. A request that fails for now is made again later, up to
MAX_ATTEMPTS times. People whom Amazon refuses to delete are queued again by the check of erasures, every six hours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched, chain
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.clock import CLOCKS_APART, Clock, to_seconds
from audience_sync.errors import InvalidRequest, MovedOn, OutOfTime, RequestRejected, TransientError
from audience_sync.members.job_messages import DeletionMessage
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync.members.person_deletion import (
    claimed,
    entered_again,
    enters_wait_until,
    next_request,
    with_deletion,
)
from audience_sync.members.repetitions import MAX_DELAY, MAX_PEOPLE, deletion_messages, repetition_messages
from audience_sync.members.stores import MemberRows, MessageQueue
from audience_sync.operations.job_tracking import update

TIMEOUT = 30.0  # seconds for one request
RESERVE = 20.0  # seconds kept to write rows and to queue what follows
CLAIM = 300.0  # seconds for which nobody else asks: longer than an invocation may last
MAX_ATTEMPTS = 20  # the last one after less than six hours, when the check of erasures looks
BISECTABLE_STATUSES = (400, 413, 422)  # one id can cause these; others concern the whole request
SAMPLE_SIZE = 8  # ids refused one by one, none accepted, after which the ids are not at fault


class PersonDeleter(Protocol):
    """Ads Data Manager."""

    def delete_people(self, people: Sequence[str], *, timeout: float) -> None:
        """Request the deletion of people from all datasets."""


@dataclass(slots=True)
class DeletionReport:
    """The people of one message."""

    accepted: int = 0  # Amazon deletes them
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    waiting: int = 0  # not due yet, or their request failed for now
    entered_again: int = 0  # members of datasets who will be: Amazon has accepted the deletion late
    detail: str = ""  # of the last failure


class _Due(NamedTuple):
    at: float  # epoch seconds
    enters_wait_until: float  # epoch seconds


class DeletionContext(NamedTuple):
    """The collaborators of deletion."""

    amazon: PersonDeleter
    members: MemberRows
    audiences: Callable[[], Sequence[Audience]]  # all, unlinked ones also; raises Unavailable
    changes: MessageQueue  # the change queue, for members who are entered again
    jobs: MessageQueue
    clock: Clock
    timing: Timing  # of datasets


class PeopleDeletion:
    """Handles deletion messages, one at a time."""

    def __init__(self, context: DeletionContext) -> None:
        self._context = context
        self._clock = context.clock

    def handle(self, message: DeletionMessage, *, deadline: float) -> DeletionReport:
        """Ask Amazon to delete those people of a message who are due. The others wait, or need no deletion.

        Args:
            message: names the people.
            deadline: monotonic seconds at which Lambda stops the function.

        Raises:
            TransientError: a table or a queue does not answer; the message must come back.
        """
        report, now = DeletionReport(), self._clock.now()
        if message.due > now:
            self._wait(dict.fromkeys(message.people, message.due), message.attempts, report, deadline)
            return report
        rows = self._context.members.read((EVERY_AUDIENCE, person) for person in message.people)
        due = self._due(rows.values(), now)
        claims = self._claim([rows[EVERY_AUDIENCE, person] for person, each in due.items() if each.at <= now], now)
        later = {
            person: each.at if each.at > now else now + CLAIM for person, each in due.items() if person not in claims
        }
        self._wait(later, 0, report, deadline)
        left = [*batched(claims, MAX_PEOPLE)][::-1]  # the next ones last
        while left:
            people = left.pop()
            asked = self._clock.now_ms()
            try:
                self._request(people, deadline)
            except (RequestRejected, InvalidRequest) as error:
                left += self._refused(people, error, report)
            except TransientError as error:
                self._try_again([*people, *chain.from_iterable(left)], message.attempts, error, report, deadline)
                break
            else:
                report.accepted += len(people)
                entered_since = [
                    person for person in people if due[person].enters_wait_until < to_seconds(asked) + CLOCKS_APART
                ]
                self._enter_again(entered_since, asked, report, deadline)
                self._record([claims[person] for person in people], asked)
        return report

    def _due(self, rows: Iterable[MemberState], now: float) -> dict[str, _Due]:
        """Return when each person is due, without those who need no deletion."""
        datasets = self._datasets()
        planned = {state.member[1]: state for state in rows if state.plan and state.plan.deletion_due}
        known = [(each, person) for person, state in planned.items() for each in datasets if each in _known_in(state)]
        states = self._context.members.read(known)
        by_person: dict[str, list[MemberState]] = {person: [] for person in planned}
        for (_, person), state in states.items():
            by_person[person].append(state)
        timing = self._context.timing
        return {
            person: _Due(at, enters_wait_until(state, by_person[person], timing))
            for person, state in planned.items()
            if (at := next_request(state, by_person[person], now)) is not None
        }

    def _claim(self, everywhere: Sequence[MemberState], now: float) -> dict[str, MemberState]:
        """Claim people before Amazon is asked. Returns the rows of those whom nobody else has claimed meanwhile."""
        results = self._context.members.write([claimed(state, now + CLAIM) for state in everywhere])
        for result in results:
            if isinstance(result, TransientError) and not isinstance(result, MovedOn):
                raise result
        return {result.member[1]: result for result in results if isinstance(result, MemberState)}

    def _datasets(self) -> list[str]:
        return [each.audience_id for each in self._context.audiences() if not has_jobs(each.destination)]

    def _request(self, people: Sequence[str], deadline: float) -> None:
        if self._clock.monotonic() > deadline - TIMEOUT - RESERVE:
            raise OutOfTime("no time left for a request")
        self._context.amazon.delete_people(people, timeout=TIMEOUT)

    def _refused(
        self, people: Sequence[str], error: RequestRejected | InvalidRequest, report: DeletionReport
    ) -> list[tuple[str, ...]]:
        """Count people whom Amazon refuses to delete. Returns halves to try again if one of them may be the cause."""
        status = error.status if isinstance(error, RequestRejected) else None
        is_hopeless = not report.accepted and report.refused.total() >= SAMPLE_SIZE
        if len(people) > 1 and status in BISECTABLE_STATUSES and not is_hopeless:
            middle = len(people) // 2
            return [tuple(people[middle:]), tuple(people[:middle])]
        report.refused[error.reason] += len(people)
        report.detail = str(error)
        return []

    def _try_again(
        self, people: Sequence[str], attempts: int, error: TransientError, report: DeletionReport, deadline: float
    ) -> None:
        report.detail = str(error)
        if attempts + 1 < MAX_ATTEMPTS:
            delay = max(min(MAX_DELAY, CLAIM * 2.0**attempts), error.retry_after or 0.0)
            self._wait(dict.fromkeys(people, self._clock.now() + delay), attempts + 1, report, deadline)

    def _wait(self, due: Mapping[str, float], attempts: int, report: DeletionReport, deadline: float) -> None:
        report.waiting += len(due)
        for body, delay in deletion_messages(due, self._clock.now(), attempts):
            self._context.jobs.send([body], deadline=deadline, delay=delay)

    def _enter_again(self, people: Sequence[str], asked: int, report: DeletionReport, deadline: float) -> None:
        """Have members of datasets entered again who may have been entered before an accepted deletion."""
        if not people:
            return
        table, timing = self._context.members, self._context.timing
        states = table.read((each, person) for each in self._datasets() for person in people)
        changed = update(table, states, lambda state: entered_again(state, to_seconds(asked), timing))
        after = states | {state.member: state for _, state in changed}
        for bodies, delay in repetition_messages(after.values(), self._clock.now(), timing):
            self._context.changes.send(bodies, deadline=deadline, delay=delay)
        report.entered_again += len(changed)

    def _record(self, everywhere: Sequence[MemberState], asked: int) -> None:
        """Record an accepted deletion; `asked` in epoch milliseconds.

        This comes last. So if the function stops before, Amazon is asked again, and nobody who is in stays deleted.
        """
        states, now = {state.member: state for state in everywhere}, self._clock.now_ms()
        update(self._context.members, states, lambda state: with_deletion(state, asked, now))


def _known_in(everywhere: MemberState) -> set[str]:
    return everywhere.plan.known_in if everywhere.plan else set()
