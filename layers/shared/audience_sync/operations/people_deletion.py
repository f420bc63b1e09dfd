"""Reviews people whose review is due, and asks Amazon to delete them from all datasets. Use case of `jobs`.

A message of the job queue wakes it for some people, and decides nothing: their rows do (members/erasure/review.py).
Each review ends with one write, of the next one or of what Amazon was asked. A request that fails for now is made again
later, up to MAX_ATTEMPTS times. People whom Amazon refuses to delete stay past due: the check of erasures wakes them
again, every six hours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched, chain
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.bisection import BISECTABLE_STATUSES, SAMPLE_SIZE, sample
from audience_sync.clock import Clock, to_seconds
from audience_sync.errors import InvalidRequest, MovedOn, OutOfTime, RequestRejected, RowKey, TransientError
from audience_sync.members.erasure.review import (
    CLAIM,
    Review,
    after_deletion,
    enters_wait_until,
    is_past_due,
    next_review,
    review,
    with_deletion,
    with_next_review,
)
from audience_sync.members.job_messages import DeletionMessage
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync.members.repetitions import MAX_DELAY, MAX_PEOPLE, deletion_messages, repetition_messages, with_due
from audience_sync.members.stores import MemberRows, MessageQueue
from audience_sync.operations.job_tracking import update

TIMEOUT = 30.0  # seconds for one request
RESERVE = 20.0  # seconds kept to write rows and to queue what follows
MAX_ATTEMPTS = 20  # the last one after less than six hours, when the check of erasures runs


class PersonDeleter(Protocol):
    """Ads Data Manager."""

    def delete_people(self, people: Sequence[str], *, timeout: float) -> None:
        """Request the deletion of people from all datasets."""


@dataclass(slots=True)
class DeletionReport:
    """The people of one message."""

    accepted: int = 0  # Amazon deletes them
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    waiting: int = 0  # for another review, or their request failed for now
    entered_again: int = 0  # members of datasets who will be: Amazon has accepted the deletion late
    unread: set[RowKey] = field(default_factory=set)  # damaged rows, whose people stay past due
    detail: str = ""  # of the last failure


class _Person(NamedTuple):
    """One person under review."""

    everywhere: MemberState
    rows: Sequence[MemberState | None]  # in the datasets of the plan; None for one that is lost


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
        """Review those people of a message whose review is due, and ask Amazon to delete those to be deleted now.

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
        people = self._read(message.people, report, now)
        reviews = {person: review(*each, now, self._context.timing) for person, each in people.items()}
        written = self._write(people, reviews)
        later = {person: reviews[person].next_review for person in written if not reviews[person].asks}
        self._wait({person: at for person, at in later.items() if at}, 0, report, deadline)
        asks = [person for person in written if reviews[person].asks]
        left = [*batched(asks, MAX_PEOPLE)][::-1]  # the next ones last
        while left:
            some = left.pop()
            asked = self._clock.now_ms()
            try:
                self._request(some, deadline)
            except (RequestRejected, InvalidRequest) as error:
                left = self._refused(some, left, error, report)
            except TransientError as error:
                self._try_again([*some, *chain.from_iterable(left)], message.attempts, error, report, deadline)
                break
            else:
                report.accepted += len(some)
                asked_for = {person: people[person] for person in some}
                unread = self._keep_apart(asked_for, asked, report, deadline)
                known = {person: each for person, each in asked_for.items() if person not in unread}
                self._record(known, written, asked, report, deadline)
        return report

    def _read(self, people: Iterable[str], report: DeletionReport, now: float) -> dict[str, _Person]:
        """Read those people whose review is due, each with the rows in the datasets of the plan."""
        table, datasets = self._context.members, self._datasets()
        found, damaged = table.readable((EVERY_AUDIENCE, person) for person in people)
        due = {member[1]: state for member, state in found.items() if is_past_due(state, now)}
        places = {person: [each for each in datasets if each in _known_in(state)] for person, state in due.items()}
        rows, damaged_rows = table.readable((each, person) for person in due for each in places[person])
        report.unread = {error.key for error in (damaged | damaged_rows).values()}
        unread = {person for _, person in damaged_rows}
        return {
            person: _Person(state, [rows.get((each, person)) for each in places[person]])
            for person, state in due.items()
            if person not in unread
        }

    def _write(self, people: Mapping[str, _Person], reviews: Mapping[str, Review]) -> dict[str, MemberState]:
        """Write each person's next review. Returns the rows of those whom no other invocation has reviewed."""
        states = [with_next_review(each.everywhere, reviews[person].next_review) for person, each in people.items()]
        results = self._context.members.write(states)
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
        self,
        people: tuple[str, ...],
        left: list[tuple[str, ...]],
        error: RequestRejected | InvalidRequest,
        report: DeletionReport,
    ) -> list[tuple[str, ...]]:
        """Count people whom Amazon refuses to delete. Returns those still to ask for, halved if one may be at fault."""
        status = error.status if isinstance(error, RequestRejected) else None
        if status in BISECTABLE_STATUSES and len(people) > 1:
            middle = len(people) // 2
            return [*left, people[middle:], people[:middle]]
        report.refused[error.reason] += len(people)
        report.detail = str(error)
        refused, rest = report.refused.total(), [*chain.from_iterable(reversed(left))]
        if report.accepted or status not in BISECTABLE_STATUSES:
            return left
        if refused == SAMPLE_SIZE:
            chosen, others = sample(rest)
            return [*batched(others, max(1, len(others))), *((person,) for person in reversed(chosen))]
        if refused == 2 * SAMPLE_SIZE:  # the ids are not at fault
            report.refused[error.reason] += len(rest)
            return []
        return left

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

    def _keep_apart(
        self, people: Mapping[str, _Person], asked: int, report: DeletionReport, deadline: float
    ) -> set[str]:
        """Keep an accepted deletion apart from enters that do not wait until it has taken effect, whoever sends them.

        Returns people with a row that cannot be read, whose deletion is not recorded: the check of erasures asks again.
        """
        table, timing = self._context.members, self._context.timing
        in_effect_by = to_seconds(asked) + timing.effective_after
        late = [person for person, each in people.items() if enters_wait_until(*each, timing) < in_effect_by]
        if not late:
            return set()
        states, damaged = table.readable((each, person) for each in self._datasets() for person in late)
        rows = update(table, states, lambda state: after_deletion(state, to_seconds(asked), timing))
        for bodies, delay in repetition_messages(with_due((after for _, after in rows), timing), self._clock.now()):
            self._context.changes.send(bodies, deadline=deadline, delay=delay)
        report.entered_again += sum(not after.newest.exits and after != before for before, after in rows)
        report.unread |= {error.key for error in damaged.values()}
        return {person for _, person in damaged}

    def _record(
        self,
        people: Mapping[str, _Person],
        claims: Mapping[str, MemberState],
        asked: int,
        report: DeletionReport,
        deadline: float,
    ) -> None:
        """Record an accepted deletion, and wake up for the next review if there is one; `asked` in epoch milliseconds.

        This comes last. So if the function stops before, Amazon is asked again, and nobody who is in stays deleted.
        """
        now, timing = self._clock.now_ms(), self._context.timing

        def deleted(state: MemberState) -> MemberState:
            person = state.member[1]
            return with_deletion(state, claims[person], people[person].rows, asked, now, timing)

        recorded = update(self._context.members, {claims[each].member: claims[each] for each in people}, deleted)
        reviews = {state.member[1]: at for _, state in recorded if (at := next_review(state))}
        self._wait(reviews, 0, report, deadline)


def _known_in(everywhere: MemberState) -> set[str]:
    return everywhere.plan.known_in if everywhere.plan else set()
