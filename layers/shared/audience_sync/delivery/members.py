"""Delivers the members of one invocation: sends changes, defers those that must wait, and queues repetitions.

The newest change of each member is found among the messages, then in the membership table. The row is dated before the
first attempt, or right after a later one, so that the next worker knows which uploads may still take effect.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from audience_sync.amazon_ads.apis import has_jobs, max_identities, requests_of, with_deletion
from audience_sync.amazon_ads.upload import Request, Target
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.deletion_notices import DeletionNotices, with_notices
from audience_sync.delivery.groups import groups
from audience_sync.delivery.job_members import member_of_change, member_of_state
from audience_sync.delivery.outcomes import ChangeOutcome, Outcomes
from audience_sync.delivery.uploads import Deferred, Job, Track, Uploads, first_trouble
from audience_sync.errors import JobRunning, MovedOn, NoIdentifier, OutOfTime, TransientError
from audience_sync.member_state import MemberState
from audience_sync.member_step import Step, repetition, sent, step
from audience_sync.membership import EVERY_AUDIENCE, Member, MembershipChange
from audience_sync.messages import JobMember, job_messages
from audience_sync.repetitions import repetition_messages

MAX_ROUNDS = 3  # attempts at a row that other workers write at the same time


@dataclass(slots=True)
class _Delivery:
    """One member that is being delivered."""

    step: Step
    at: int  # epoch seconds; before anything was sent
    is_removed: bool = False  # by an earlier attempt; only the deletion of identities is left

    @property
    def state(self) -> MemberState:
        return self.step.state

    @property
    def member(self) -> Member:
        return self.step.state.member


class MemberDelivery:
    """Delivers the members of one invocation."""

    def __init__(self, context: DeliveryContext, uploads: Uploads, outcomes: Outcomes, deadline: float) -> None:
        """Set up delivery of the changes in `outcomes`; `deadline` in monotonic seconds."""
        self.accepted: Counter[int] = Counter()  # exits caused by deletion notices, by epoch millisecond
        self.repeated: Counter[str] = Counter()  # members for whom something was sent again, by audience
        self._context = context
        self._uploads = uploads
        self._outcomes = outcomes
        self._deadline = deadline

    def run(self) -> None:
        """Deliver the newest change of every member, audience by audience, as far as time and Amazon allow."""
        by_target: dict[Target, dict[Member, list[MembershipChange]]] = {}
        notices: list[MembershipChange] = []
        repetitions = self._outcomes.repetitions.values() if self._context.members else ()  # needs the rows
        for change in [*self._outcomes.changes, *repetitions]:
            newest = self._outcomes.newest.get(change.member, change)
            if newest.audience_id == EVERY_AUDIENCE:
                notices.append(change)
                continue
            target = Target(newest.audience_id, newest.destination)
            by_target.setdefault(target, {}).setdefault(change.member, []).append(change)
        self._deliver_notices(notices)
        for target, members in by_target.items():
            trouble: Deferred | None = None
            for some in groups(target, [*members.values()], self._context.limits):
                if trouble is None:
                    trouble = self._deliver(target, some)
                if trouble is not None:
                    of_these = (of_member[0].member for of_member in some)
                    self._outcomes.defer(of_these, replace(trouble, job=None), unless_decided=True)

    def _deliver_notices(self, notices: Sequence[MembershipChange]) -> None:
        """Spread deletion notices over the audiences. Amazon is not called, so this waits for no upload."""
        table = self._context.members
        if not notices:
            return
        if table is None:
            unknown = NoIdentifier("OrderingGuard is off, so no identifier is known; remove the person by hand")
            self._outcomes.park((notice, unknown) for notice in notices)
            return
        spreading = DeletionNotices(self._context, table, self._deadline)
        self.accepted = spreading.accepted
        left = [notice.member for notice in notices]
        try:
            for some in spreading.batches(notices):
                if not self._uploads.has_time_to_record:
                    raise OutOfTime("no time left to spread deletion notices")
                failed = spreading.spread(some, lambda notice: self._outcomes.was_tried(notice.member))
                self._outcomes.settle((notice.member for notice in some), ChangeOutcome.SUPERSEDED)
                for member, error in failed.items():
                    self._outcomes.defer([member], Deferred.after(error))
                del left[: len(some)]
        except TransientError as error:
            self._outcomes.defer(left, Deferred.after(error))

    def _deliver(self, target: Target, members: Sequence[Sequence[MembershipChange]]) -> Deferred | None:
        """Record, send and date members of one audience. Returns a deferral if its other members must wait."""
        if not self._uploads.has_time_to_record:
            return Deferred.after(OutOfTime("no time left to record changes"))
        try:
            self._context.gate.check(target)
        except TransientError as error:  # before anything is written: a waiting change costs nothing
            return Deferred.after(error)
        if self._context.members is None:
            return self._send_unguarded(target, members)
        trouble: Deferred | None = None
        pending: dict[Member, Sequence[MembershipChange]] = {changes[0].member: changes for changes in members}
        for _ in range(MAX_ROUNDS):
            try:
                deliveries, again = self._record(self._context.members, pending)
                accepted, failed = self._send(target, deliveries)
                trouble = trouble or failed
                self._date(self._context.members, deliveries, accepted)
            except TransientError as error:
                self._outcomes.defer(self._outcomes.undecided(pending), Deferred.after(error))
                return trouble
            pending = {member: pending[member] for member in again}
            if not pending:
                return trouble
        self._outcomes.defer(pending, Deferred.after(MovedOn("the member's row kept changing")))
        return trouble

    def _record(
        self, table: MembershipTable, pending: dict[Member, Sequence[MembershipChange]]
    ) -> tuple[list[_Delivery], list[Member]]:
        """Record changes in the table. Returns the deliveries to send, and the members whose rows changed meanwhile."""
        states, pending = self._read(table, pending)
        now = int(self._context.clock.now())
        steps = {
            member: each
            for member, changes in pending.items()
            if (each := self._step(states.get(member), member, changes, now)) is not None
        }
        writing = {member: each for member, each in steps.items() if each.writes}
        has_time = lambda: self._uploads.has_time_to_record  # noqa: E731
        results = table.write([each.state for each in writing.values()], has_time)
        written = dict(zip(writing, results, strict=True))
        deliveries: list[_Delivery] = []
        again: list[Member] = []
        unsent: list[MemberState] = []
        for member, each in steps.items():
            result = written.get(member, each.state)
            if isinstance(result, MovedOn):
                again.append(member)
            elif isinstance(result, TransientError):
                self._outcomes.defer([member], Deferred.after(result))
            else:
                self._settle(member, each, now)
                if each.sends:
                    is_removed = self._is_removed(states.get(member), each, now)
                    deliveries.append(_Delivery(each._replace(state=result), now, is_removed))
                elif each.writes:
                    unsent.append(result)
        self._queue_due(unsent)
        return deliveries, again

    def _step(
        self, state: MemberState | None, member: Member, changes: Sequence[MembershipChange], now: int
    ) -> Step | None:
        timing = self._context.limits.timing_of(changes[-1].destination)
        if member in self._outcomes.repetitions:
            return repetition(state, changes[-1].version, now=now, timing=timing)
        return step(state, changes, now=now, timing=timing, attempted=self._outcomes.attempted(member))

    def _settle(self, member: Member, each: Step, now: int) -> None:
        """Settle the finished changes of a member, and defer an enter that must wait."""
        if each.waits_until is not None:
            waits = JobRunning("an opposite upload may still take effect")
            left = None if member in self._outcomes.repetitions else each.state.left
            self._outcomes.defer([member], Deferred(waits, each.waits_until - now, newer_than=left))
            is_moot = not each.removes or each.state.version != left
        else:
            is_moot = each.is_superseded
        self._outcomes.settle([member], ChangeOutcome.SUPERSEDED if is_moot else ChangeOutcome.DELIVERED)

    def _read(
        self, table: MembershipTable, pending: dict[Member, Sequence[MembershipChange]]
    ) -> tuple[dict[Member, MemberState], dict[Member, Sequence[MembershipChange]]]:
        """Read the states of members. Returns them with the changes that still count."""
        found = table.read_each(pending, self._uploads.half_of_time_to_record())
        unread = {member: each for member, each in found.items() if isinstance(each, TransientError)}
        for member, error in unread.items():  # such a row does not hold back other members
            self._outcomes.defer([member], Deferred.after(error))
        states = {member: each for member, each in found.items() if isinstance(each, MemberState)}
        known = {member: changes for member, changes in pending.items() if member in states}
        unknown = pending.keys() - found.keys() - self._outcomes.repetitions.keys()
        new = {member: changes for member, changes in pending.items() if member in unknown}
        counting = with_notices(table, new, self._uploads.half_of_time_to_record())
        untimely = Deferred.after(OutOfTime("no time left to read the deletion notices"))
        self._outcomes.defer(new.keys() - counting.keys(), untimely)
        moot = [member for member, changes in counting.items() if not changes]
        self._outcomes.settle(moot, ChangeOutcome.SUPERSEDED)
        return states, known | {member: changes for member, changes in counting.items() if changes}

    def _send(self, target: Target, deliveries: Sequence[_Delivery]) -> tuple[list[_Delivery], Deferred | None]:
        """Send the first record of each member, then the second. Returns the deliveries whose records all went out."""
        at_most = max_identities(target.destination)
        queues = [(each, self._records(each, at_most)) for each in deliveries]
        trouble: Deferred | None = None
        going = {each.member for each in deliveries}
        number = 0
        by_member = {each.member: each for each in deliveries}
        removed = {each.member for each in deliveries if each.is_removed}
        in_parts = {each.member for each, records in queues if len(records) > 1}

        def job_member(change: MembershipChange) -> JobMember:
            state = by_member[change.member].state
            is_replay = self._outcomes.is_replay(change.member, state.version)
            return member_of_state(change, state, is_replay=is_replay)

        track = self._tracker(job_member)
        while batch := [
            (each, records[number]) for each, records in queues if number < len(records) and each.member in going
        ]:
            outcomes = self._uploads.send(target, [record for _, record in batch], track, removed)
            for member in in_parts & outcomes.keys():
                if isinstance(outcome := outcomes[member], Deferred):  # other parts are not removed yet
                    outcomes[member] = replace(outcome, is_removed=False)
            trouble = trouble or first_trouble(outcomes.values())
            accepted = self._outcomes.take([record for _, record in batch], outcomes)
            going = {member for member in going if member in accepted or member not in outcomes}
            number += 1
        sent_all = [each for each in deliveries if each.member in going]
        self.repeated.update(each.member[0] for each in sent_all if each.step.repeats)
        return sent_all, trouble

    def _is_removed(self, known: MemberState | None, each: Step, now: int) -> bool:
        """Return whether Amazon has accepted the removal, so that only the deletion of the identities is left.

        Args:
            known: the row as it was read.
            each: the removal.
            now: epoch seconds.
        """
        if known is None or known.member not in self._outcomes.removed or each.state.to_remove != known.to_remove:
            return False
        due = known.removal_due(self._context.limits.timing_of(known.newest.destination))
        return each.removes and (due is None or due.at > now)

    def _records(self, each: _Delivery, at_most: int) -> list[MembershipChange]:
        state, timing = each.state, self._context.limits.timing_of(each.state.newest.destination)
        erases = state.must_erase and each.step.removes
        follows_enter = state.entered > 0 and each.at < state.enters_ended(timing) + timing.longest_job
        repeats = each.step.repeats
        records = state.records(removes=each.step.removes, at_most=at_most)
        return [with_deletion(one, erases=erases, repeats=repeats, follows_enter=follows_enter) for one in records]

    def _date(self, table: MembershipTable, deliveries: Sequence[_Delivery], accepted: Sequence[_Delivery]) -> None:
        """Date rows that were not dated before sending, in their current state, and queue repetitions that follow.

        Nothing is written before a later attempt, so that a change that only waits costs nothing.
        """
        left = {each.member: each for each in accepted if not each.step.writes}
        states = {member: each.state for member, each in left.items()}
        rows = [each.state for each in deliveries if each.step.writes]  # even if Amazon has refused the record
        for _ in range(MAX_ROUNDS):
            if not states:
                return self._queue_due(rows)
            after = [self._dated(left[member], state) for member, state in states.items()]
            moved: list[Member] = []
            results = table.write(after, lambda: self._uploads.has_time_to_date)
            for state, result in zip(after, results, strict=True):
                if isinstance(result, MovedOn):
                    moved.append(state.member)
                elif isinstance(result, OutOfTime):
                    self._outcomes.defer([state.member], Deferred.after(result))
                elif isinstance(result, TransientError):
                    raise result
                else:
                    rows.append(result)
            states = table.read(moved) if moved else {}
        raise MovedOn("the member's row kept changing")

    def _dated(self, each: _Delivery, state: MemberState) -> MemberState:
        """Date the sent records in the member's current row, with the attempts counted for it."""
        timing = self._context.limits.timing_of(state.newest.destination)
        dated = sent(state, each.state.version, each.at, timing, removes=each.step.removes)
        return replace(dated, enters_end=max(dated.enters_end, each.state.enters_end))

    def _queue_due(self, states: Sequence[MemberState]) -> None:
        """Queue repetitions for when they are due; `states` are of one audience."""
        if not states:
            return
        timing = self._context.limits.timing_of(states[0].newest.destination)
        for bodies, delay in repetition_messages(states, self._context.clock.now(), timing):
            self._context.queue.send(bodies, deadline=self._deadline, delay=delay)

    def _tracker(self, job_member: Callable[[MembershipChange], JobMember]) -> Track:
        """Return the callback that stores a job message. Storing it is part of the delivery."""

        def track(job: Job) -> None:
            destination = job.target.destination
            described = ((job_member(change), change) for change in job.changes)
            if has_jobs(destination):
                members = [member for member, _ in described]
            else:  # nothing to ask; identities to erase are erased in time, after the change's last request
                members = [
                    member._replace(
                        erases=member.erases and requests_of(change)[-1] is job.request,
                        deletes=job.request is Request.IDENTITIES,
                    )
                    for member, change in described
                    if member.proves
                ]
            bodies = job_messages(job.job_id, job.audience_id, members, job.sent_at, destination)
            self._context.jobs.send(bodies, deadline=self._deadline, delay=self._context.limits.job)

        return track

    def _send_unguarded(self, target: Target, members: Sequence[Sequence[MembershipChange]]) -> Deferred | None:
        newest = [changes[-1] for changes in members]
        self._outcomes.settle((change.member for change in newest), ChangeOutcome.DELIVERED)

        def job_member(change: MembershipChange) -> JobMember:
            return member_of_change(change, is_replay=self._outcomes.is_replay(change.member, change.version))

        outcomes = self._uploads.send(target, newest, self._tracker(job_member))
        self._outcomes.take(newest, outcomes)
        return first_trouble(outcomes.values())
