"""Delivers the members of one invocation: sends changes, defers those that must wait, and queues repetitions.

The newest change of each member is found among the messages, then in the membership table. The row is dated before the
first attempt, or right after a later one, so that the next worker knows which uploads may still take effect.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from audience_sync.amazon_ads.apis import has_jobs, is_ignored, is_proof, upload_rules
from audience_sync.amazon_ads.record import exit_record
from audience_sync.amazon_ads.upload import Target
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.deletion_notices import DeletionNotices, with_notices
from audience_sync.delivery.groups import groups
from audience_sync.delivery.job_members import member_of_change, member_of_state
from audience_sync.delivery.outcomes import ChangeOutcome, Outcomes
from audience_sync.delivery.sending import Uploads
from audience_sync.delivery.uploads import Deferred, Track, UploadJob, first_trouble
from audience_sync.errors import JobRunning, MovedOn, NoIdentifier, OutOfTime, TransientError
from audience_sync.members.job_messages import JobMember, job_messages
from audience_sync.members.member_state import MemberState
from audience_sync.members.member_step import Step, left_out, repetition, sent, step, without_removal
from audience_sync.members.membership import EVERY_AUDIENCE, Member, MembershipChange
from audience_sync.members.repetitions import repetition_messages

MAX_ROUNDS = 3  # attempts at a row that other workers write at the same time


@dataclass(slots=True)
class _Delivery:
    """One member that is being delivered."""

    step: Step
    at: int  # epoch seconds; before anything was sent

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
        self.left_out: Counter[str] = Counter()  # identities for which a row has no room, by audience
        self.erasures = 0  # people for whom a new deletion notice or denial was recorded
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
                self.erasures = spreading.recorded
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
                self._record_results(self._context.members, deliveries, accepted)
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
                self.left_out[member[0]] += left_out(each.state, pending[member][-1])
                if each.sends:
                    deliveries.append(_Delivery(each._replace(state=result), now))
                elif each.writes:
                    unsent.append(result)
        self._queue_due(unsent)
        return deliveries, again

    def _step(
        self, state: MemberState | None, member: Member, changes: Sequence[MembershipChange], now: int
    ) -> Step | None:
        timing = self._context.limits.timings.of(changes[-1].destination)
        attempted = self._outcomes.attempted(member)
        if member in self._outcomes.repetitions:
            found = repetition(state, changes[-1].version, now=now, timing=timing, attempted=attempted)
        else:
            found = step(state, [*map(_stated, changes)], now=now, timing=timing, attempted=attempted)
        if found and found.removes and is_ignored(found.state.newest.destination, found.state.newest.record):
            return without_removal(found, now)
        return found

    def _settle(self, member: Member, each: Step, now: int) -> None:
        """Settle the finished changes of a member, and defer an enter that must wait."""
        if each.waits_until is not None:
            waits = JobRunning("an opposite upload may still take effect")
            left = None if member in self._outcomes.repetitions else each.state.left
            is_fixed = not each.state.late_jobs
            self._outcomes.defer([member], Deferred(waits, each.waits_until - now, None, left, is_fixed))
            is_moot = not each.removes or each.state.version != left
        else:
            is_moot = each.is_superseded
        self._outcomes.settle([member], ChangeOutcome.SUPERSEDED if is_moot else ChangeOutcome.DELIVERED)

    def _read(
        self, table: MembershipTable, pending: dict[Member, Sequence[MembershipChange]]
    ) -> tuple[dict[Member, MemberState], dict[Member, Sequence[MembershipChange]]]:
        """Read the states of members. Returns them with the changes that still count."""
        found = table.read_each(pending, self._uploads.half_of_time_to_record())
        states = {member: each for member, each in found.items() if isinstance(each, MemberState)}
        known = {member: changes for member, changes in pending.items() if member in states}
        unknown = pending.keys() - found.keys() - self._outcomes.repetitions.keys()
        new = {member: changes for member, changes in pending.items() if member in unknown}
        counting, unread_notices = with_notices(table, new, self._uploads.half_of_time_to_record())
        unread = {member: each for member, each in found.items() if isinstance(each, TransientError)} | unread_notices
        for member, error in unread.items():  # such a row does not hold back other members
            self._outcomes.defer([member], Deferred.after(error))
        moot = [member for member, changes in counting.items() if not changes]
        self._outcomes.settle(moot, ChangeOutcome.SUPERSEDED)
        return states, known | {member: changes for member, changes in counting.items() if changes}

    def _send(self, target: Target, deliveries: Sequence[_Delivery]) -> tuple[list[_Delivery], Deferred | None]:
        """Send the first record of each member, then the second. Returns the deliveries whose records all went out."""
        at_most = upload_rules(target.destination).max_identities
        queues = [(each, each.state.records(removes=each.step.removes, at_most=at_most)) for each in deliveries]
        trouble: Deferred | None = None
        going = {each.member for each in deliveries}
        number = 0
        by_member = {each.member: each for each in deliveries}

        def job_member(change: MembershipChange) -> JobMember:
            state = by_member[change.member].state
            is_replay = self._outcomes.is_replay(change.member, state.version)
            return member_of_state(change, state, is_replay=is_replay)

        track = self._tracker(job_member)
        while batch := [
            (each, records[number]) for each, records in queues if number < len(records) and each.member in going
        ]:
            outcomes = self._uploads.send(target, [record for _, record in batch], track)
            trouble = trouble or first_trouble(outcomes.values())
            accepted = self._outcomes.take([record for _, record in batch], outcomes)
            going = {member for member in going if member in accepted or member not in outcomes}
            number += 1
        sent_all = [each for each in deliveries if each.member in going]
        self.repeated.update(each.member[0] for each in sent_all if each.step.repeats)
        return sent_all, trouble

    def _record_results(
        self, table: MembershipTable, deliveries: Sequence[_Delivery], accepted: Sequence[_Delivery]
    ) -> None:
        """Write the result of each upload into its row, unless the row has it, and queue the repetitions that follow.

        Nothing is written before a later attempt, so that a change that only waits costs nothing.
        """
        left, all_sent = {each.member: each for each in deliveries}, {each.member for each in accepted}
        states = {member: each.state for member, each in left.items()}
        rows: list[MemberState] = []
        for _ in range(MAX_ROUNDS):
            after = [self._after(left[member], state, member in all_sent) for member, state in states.items()]
            changed = [state for state in after if state != states[state.member]]
            written = table.write(changed, lambda: self._uploads.has_time_to_date)
            results = {state.member: result for state, result in zip(changed, written, strict=True)}
            moved: list[Member] = []
            for state in after:
                member, result = state.member, results.get(state.member, state)
                if isinstance(result, MovedOn):
                    moved.append(member)
                elif isinstance(result, OutOfTime):  # a failed upload has an outcome already
                    self._outcomes.defer([member] if member in all_sent else [], Deferred.after(result))
                elif isinstance(result, TransientError):
                    raise result
                elif member in all_sent or left[member].step.writes:
                    rows.append(result)
            if not moved:
                return self._queue_due(rows)
            states = table.read(moved)
        raise MovedOn("the member's row kept changing")

    def _after(self, each: _Delivery, state: MemberState, is_accepted: bool) -> MemberState:
        """Date an accepted upload that was not dated before. A failed removal marks the row until one is accepted.

        A parked enter is also dated, so that the renewal does not have it parked again every day.
        """
        removes = each.step.removes
        if not removes and state.version == each.state.version and self._outcomes.is_parked(each.member):
            return replace(state, entered=max(state.entered, each.at))
        if is_accepted and not each.step.writes:
            timing = self._context.limits.timings.of(state.newest.destination)
            state = sent(state, each.state.version, each.at, timing, removes=removes)
            state = replace(state, enters_end=max(state.enters_end, each.state.enters_end))  # with counted attempts
        if removes and not is_accepted:
            return replace(state, removal_failed=True)
        if removes and state.removal_failed and each.state.has_all_to_remove(state):
            return replace(state, removal_failed=False)
        return state

    def _queue_due(self, states: Sequence[MemberState]) -> None:
        """Queue repetitions for when they are due; `states` are of one audience."""
        if not states:
            return
        timing = self._context.limits.timings.of(states[0].newest.destination)
        for bodies, delay in repetition_messages(states, self._context.clock.now(), timing):
            self._context.queue.send(bodies, deadline=self._deadline, delay=delay)

    def _tracker(self, job_member: Callable[[MembershipChange], JobMember]) -> Track:
        """Return the callback that stores a job message. Storing it is part of the delivery."""

        def track(job: UploadJob) -> None:
            destination = job.target.destination
            members = [job_member(change) for change in job.changes]
            if not has_jobs(destination):  # nothing to ask; the end of an erasure's removal is recorded in time
                pairs = zip(members, job.changes, strict=True)
                members = [each._replace(proves=is_proof(change)) for each, change in pairs if each.proves]
            bodies = job_messages(job.job_id, job.audience_id, members, job.sent_at, destination)
            self._context.jobs.send(bodies, deadline=self._deadline, delay=self._context.limits.timings.job)

        return track

    def _send_unguarded(self, target: Target, members: Sequence[Sequence[MembershipChange]]) -> Deferred | None:
        newest = [changes[-1] for changes in members]
        self._outcomes.settle((change.member for change in newest), ChangeOutcome.DELIVERED)

        def job_member(change: MembershipChange) -> JobMember:
            return member_of_change(change, is_replay=self._outcomes.is_replay(change.member, change.version))

        outcomes = self._uploads.send(target, newest, self._tracker(job_member))
        self._outcomes.take(newest, outcomes)
        return first_trouble(outcomes.values())


def _stated(change: MembershipChange) -> MembershipChange:
    """Return a change whose empty consent, if it leaves a dataset, counts as none: whoever wrote it stated nothing."""
    record = exit_record(change.record, change.destination) if change.exits else change.record
    return change if record is change.record else replace(change, record=record)
