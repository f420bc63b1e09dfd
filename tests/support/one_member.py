"""One member on one clock: the row, both queues and Amazon's jobs, around the pure core. Nothing here has I/O.

An upload takes effect when its job ends. Messages and checks come back as the worker and `jobs` have them come back.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from audience_sync.amazon_ads.job import JobReport
from audience_sync.delivery.job_members import job_member
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.member_state import MemberState
from audience_sync.members.member_step import Attempt, Decision, after_attempt, apply_changes, apply_repetition
from audience_sync.members.membership import MembershipChange, coalesce
from audience_sync.members.repetitions import Wait
from audience_sync.operations.job_end import after_end, is_concerned, late_job
from tests.support.builders import AUDIENCE
from tests.support.member_changes import NOW, TIMING, names

FIRST_CHECK, LONGEST_DELAY, SETTLE = 900, 900, 60  # seconds


@dataclass
class OneMember:
    """The row of one member, and what Amazon holds of it."""

    jobs: Sequence[int] = ()  # seconds that each upload's job takes, in order; later ones take 300
    lost: frozenset[int] = frozenset()  # numbers of uploads whose answer is lost: the job is not known here
    lag: int = 0  # seconds by which the first check of a job is late
    now: int = NOW
    state: MemberState | None = None
    held: set[str] = field(default_factory=set)  # by Amazon
    uploads: list[tuple[int, str, list[str]]] = field(default_factory=list)  # seconds since NOW, action, names
    _events: list[tuple[int, int, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0

    def run(self, until: float = float("inf")) -> "OneMember":
        """Let everything happen up to a second, or until nothing more does."""
        while self._events and self._events[0][0] <= until:
            self.now, _, _, act = heapq.heappop(self._events)
            act()
            assert len(self.uploads) < 1_000, "there is no end"
        return self

    def receive(self, after: int, *changes: MembershipChange) -> None:
        """Have changes arrive in one message, so many seconds after NOW."""
        number = self._number + 1
        self._at(NOW + after, lambda: self._deliver(changes, number))

    def _at(self, second: float, act: Callable[[], None], number: int = 0) -> None:
        """Plan an event. Those of one second happen in the order of their numbers: messages as they arrived."""
        self._number += 1
        heapq.heappush(self._events, (round(second), number or self._number, self._number, act))

    def _deliver(self, changes: Sequence[MembershipChange], number: int) -> None:
        each = apply_changes(self.state, coalesce(changes), now=self.now, timing=TIMING)
        left = each.state.last_exit
        waiting = [change for change in changes if left is None or change.version > left]
        self._carry_out(
            each,
            again=lambda: self._deliver(changes, number),
            later=lambda: self._deliver(waiting, number),
            number=number,
        )

    def _repeat(self, of: MemberState) -> None:
        each = self.state and apply_repetition(self.state, of.version, now=self.now, timing=TIMING)
        if each:
            self._carry_out(each, again=lambda: self._repeat(of), later=lambda: self._repeat(of))

    def _carry_out(
        self, each: Decision, *, again: Callable[[], None], later: Callable[[], None], number: int = 0
    ) -> None:
        is_written = each.state != self.state
        self.state = each.state
        if each.upload:
            are_known = all(self._upload(record, each.state) for record in each.state.records(each.upload))
            result = Attempt.ACCEPTED if are_known else Attempt.NOT_ACCEPTED
            self.state = after_attempt(self.state, each.state, each.upload, result, at=self.now, timing=TIMING)
            if not are_known:
                self._at(self.now + SETTLE, again)
                return
        if each.upload or is_written:
            self._queue_due()
        if each.waits_until is not None:
            self._wait(each.waits_until, later, number, is_fixed=not each.state.late_jobs)

    def _queue_due(self) -> None:
        state = self.state
        if state is not None and (due := state.due(TIMING)) is not None:
            self._wait(due.at, lambda: self._repeat(state), is_fixed=not state.late_jobs)

    def _wait(self, at: float, act: Callable[[], None], number: int = 0, *, is_fixed: bool) -> None:
        wait = Wait.of(at, self.now, is_fixed=is_fixed)
        self._at(wait.until or self.now + wait.delay, act, number)

    def _upload(self, record: MembershipChange, state: MemberState) -> bool:
        """Send one record. Returns whether the answer arrives."""
        number = len(self.uploads)
        self.uploads.append((self.now - NOW, "DELETE" if record.exits else "CREATE", names(record)))
        ends = self.now + (self.jobs[number] if number < len(self.jobs) else 300)
        self._at(ends, lambda: self._apply(record))
        if number in self.lost:
            return False
        member = job_member(record, state, was_counted=False)
        message = JobMessage(f"job-{number}", AUDIENCE, self.now * 1000, (member,))
        self._at(self.now + FIRST_CHECK + self.lag, lambda: self._check(message, ends))
        return True

    def _apply(self, record: MembershipChange) -> None:
        self.held = self.held.difference(names(record)) if record.exits else self.held.union(names(record))

    def _check(self, message: JobMessage, ends: int) -> None:
        age, (member,) = self.now - message.sent_at // 1000, message.members
        assert self.state is not None
        message = replace(message, is_late=message.is_late or age > TIMING.effective_after)
        report = JobReport("SUCCEEDED") if ends <= self.now else None
        if report is not None or age > TIMING.longest_job:
            if is_concerned(message, report, member):
                before = self.state
                self.state = after_end(before, message, report, member, now=self.now, timing=TIMING)
                if message.is_late and self.state != before:
                    self._queue_due()
            return
        if not message.checks:
            self.state = replace(self.state, late_jobs=(*self.state.late_jobs, late_job(message, member)))
        again = replace(message, checks=message.checks + 1, is_late=True)
        self._at(self.now + min(LONGEST_DELAY, 60 * 2**message.checks), lambda: self._check(again, ends))
