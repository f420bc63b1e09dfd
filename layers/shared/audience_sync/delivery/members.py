"""Delivers the members of one invocation: what is to be sent of each, and whether it still is the newest.

For each member the newest change is found (among the messages, then in the membership table), sent, and checked
against the table again: a member that has moved on meanwhile is sent once more, so that the last upload is the newest.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from audience_sync.amazon_ads.record import Target
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.deletion_notices import DeletionNotices, with_notices
from audience_sync.delivery.groups import groups
from audience_sync.delivery.job_members import member_of_change, member_of_state
from audience_sync.delivery.outcomes import ChangeOutcome, Outcomes
from audience_sync.delivery.uploads import Deferred, Job, Track, Uploads
from audience_sync.errors import MovedOn, NoIdentifier, OutOfTime, TransientError, Unavailable
from audience_sync.member_state import MemberState, Step, step, touched
from audience_sync.membership import EVERY_AUDIENCE, Member, MembershipChange
from audience_sync.messages import DeliveryHistory, JobMember, job_messages, pack

MAX_ROUNDS = 3  # attempts at one member in one invocation, should it keep moving on


@dataclass(slots=True)
class _Delivery:
    """One member that is being delivered."""

    step: Step
    at: int  # epoch seconds; before anything was sent
    repeats: bool = False  # it must be sent once more when the jobs have ended

    @property
    def state(self) -> MemberState:
        return self.step.state

    @property
    def member(self) -> Member:
        return self.step.state.member


class MemberDelivery:
    """Delivers the members of one invocation."""

    def __init__(self, context: DeliveryContext, uploads: Uploads, outcomes: Outcomes, deadline: float) -> None:
        """Take what is needed to deliver the changes of `outcomes`; `deadline` in monotonic seconds."""
        self.accepted: Counter[int] = Counter()  # exits that deletion notices have led to, by epoch millisecond
        self._context = context
        self._uploads = uploads
        self._outcomes = outcomes
        self._deadline = deadline

    def run(self) -> None:
        """Deliver the newest change of every member, audience by audience, as far as time and Amazon allow."""
        by_target: dict[Target, dict[Member, list[MembershipChange]]] = {}
        notices: list[MembershipChange] = []
        for change in self._outcomes.changes:
            newest = self._outcomes.newest[change.member]
            if newest.audience_id == EVERY_AUDIENCE:
                notices.append(change)
                continue
            target = Target(newest.audience_id, newest.connection_id, newest.target_types)
            by_target.setdefault(target, {}).setdefault(change.member, []).append(change)
        self._deliver_notices(notices)
        for target, members in by_target.items():
            trouble: Deferred | None = None
            for some in groups(target, [*members.values()], self._context.limits):
                if trouble is None:
                    trouble = self._deliver(target, some)
                if trouble is not None:
                    of_these = (of_member[0].member for of_member in some)
                    self._outcomes.defer(of_these, trouble, unless_settled=True)

    def _deliver_notices(self, notices: Sequence[MembershipChange]) -> None:
        """Spread deletion notices over the audiences. It needs nothing of Amazon, and so waits for no upload."""
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
        """Record, send and verify members of one audience. Returns why its other members must wait, if they must."""
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
        moved: set[Member] = set()  # members that must be sent once more because they moved on
        attempted: set[Member] = set()  # these, and those whose rows changed while they were written
        for _ in range(MAX_ROUNDS):
            try:
                deliveries, again = self._record(self._context.members, pending, moved, attempted)
                sent, failed = self._send(target, deliveries)
                trouble = trouble or failed
                self._mark_unknown(self._context.members, deliveries)
                moved = self._verify(self._context.members, sent)
            except TransientError as error:
                self._outcomes.defer(self._outcomes.unverified(pending), Deferred.after(error))
                return trouble
            attempted = {*again, *moved}
            pending = {member: changes for member, changes in pending.items() if member in attempted}
            if not pending:
                return trouble
        self._outcomes.defer(pending, Deferred.after(MovedOn("the member keeps moving on")))
        return trouble

    def _record(
        self,
        table: MembershipTable,
        pending: dict[Member, Sequence[MembershipChange]],
        moved: set[Member],
        attempted: set[Member],
    ) -> tuple[list[_Delivery], list[Member]]:
        """Bring changes into the table. Returns what is to be sent, and the members whose rows changed meanwhile."""
        states, pending = self._read(table, pending)
        limits, now = self._context.limits, int(self._context.clock.now())
        steps = {
            member: step(
                states.get(member),
                changes,
                now=now,
                effective_after=limits.effective_after,
                attempted_before=self._outcomes.was_tried(member) or member in attempted,
                is_replay=all(self._outcomes.is_replay(member, change.version) for change in changes),
            )
            for member, changes in pending.items()
        }
        written = dict(
            zip(
                (member for member, each in steps.items() if each.writes),
                table.write(
                    [each.state for each in steps.values() if each.writes], lambda: self._uploads.has_time_to_record
                ),
                strict=True,
            )
        )
        deliveries: list[_Delivery] = []
        again: list[Member] = []
        for member, each in steps.items():
            result = written.get(member, each.state)
            if isinstance(result, MovedOn):
                again.append(member)
            elif isinstance(result, TransientError):
                self._outcomes.defer([member], Deferred.after(result))
            else:
                is_moot = each.is_superseded
                self._outcomes.settle([member], ChangeOutcome.SUPERSEDED if is_moot else ChangeOutcome.DELIVERED)
                if each.sends:
                    delivery = _Delivery(each._replace(state=result), now, each.repeats or member in moved)
                    deliveries.append(delivery)
        return deliveries, again

    def _read(
        self, table: MembershipTable, pending: dict[Member, Sequence[MembershipChange]]
    ) -> tuple[dict[Member, MemberState], dict[Member, Sequence[MembershipChange]]]:
        """Read the states of members. Returns them, and the changes that still count."""
        found = table.read_each(pending)
        unreadable = {member: each for member, each in found.items() if isinstance(each, Unavailable)}
        for member, error in unreadable.items():  # such a row holds back no other member
            self._outcomes.defer([member], Deferred.after(error))
        states = {member: each for member, each in found.items() if isinstance(each, MemberState)}
        known = {member: changes for member, changes in pending.items() if member in states}
        new = {member: changes for member, changes in pending.items() if member not in found}
        counting = with_notices(table, new)
        moot = [member for member, changes in counting.items() if not changes]
        self._outcomes.settle(moot, ChangeOutcome.SUPERSEDED)
        return states, known | {member: changes for member, changes in counting.items() if changes}

    def _send(self, target: Target, deliveries: Sequence[_Delivery]) -> tuple[list[_Delivery], Deferred | None]:
        """Send the records of members, the first one of each, then the second. Returns whose records all went out."""
        queues = [(each, each.state.records(with_removal=each.step.with_removal)) for each in deliveries]
        trouble: Deferred | None = None
        going = {each.member for each in deliveries}
        number = 0
        by_member = {each.member: each for each in deliveries}

        def job_member(change: MembershipChange) -> JobMember:
            delivery = by_member[change.member]
            is_replay = self._outcomes.is_replay(change.member, delivery.state.version)
            return member_of_state(change, delivery.state, repeats=delivery.repeats, is_replay=is_replay)

        track = self._tracker(job_member)
        while batch := [
            (each, records[number]) for each, records in queues if number < len(records) and each.member in going
        ]:
            outcomes = self._uploads.send(target, [record for _, record in batch], track)
            trouble = trouble or next((each for each in outcomes.values() if isinstance(each, Deferred)), None)
            accepted = self._outcomes.take([record for _, record in batch], outcomes)
            going = {member for member in going if member in accepted or member not in outcomes}
            number += 1
        return [each for each in deliveries if each.member in going], trouble

    def _mark_unknown(self, table: MembershipTable, deliveries: Sequence[_Delivery]) -> None:
        """Record that an upload may take effect although it counts as not made: the next change may contradict it.

        A change recorded in this invocation is dated, which says as much; and one mark stands for all further attempts.
        """
        lost = [
            each
            for each in deliveries
            if not (each.step.writes or each.state.outcome_unknown)
            and (deferred := self._outcomes.deferred.get(each.member))
            and deferred.may_apply
        ]
        if lost:  # where this fails, too, the next attempt is the next chance
            table.write([replace(each.state, outcome_unknown=True) for each in lost])

    def _verify(self, table: MembershipTable, sent: Sequence[_Delivery]) -> set[Member]:
        """Check that what was sent is still the newest, and return the members that have moved on.

        A change that was recorded in an earlier invocation is dated anew, which is a check, too: before its upload
        nothing was written, so that a change that only waits costs nothing.
        """
        recorded = [each for each in sent if not each.step.writes]
        states = [touched(each.state, each.at, with_removal=each.step.with_removal) for each in recorded]
        results = dict(zip((each.member for each in recorded), table.write(states), strict=True)) if states else {}
        moved = {member for member, result in results.items() if isinstance(result, MovedOn)}
        failed = next(
            (
                result
                for result in results.values()
                if isinstance(result, TransientError) and not isinstance(result, MovedOn)
            ),
            None,
        )
        if failed is not None:
            raise failed
        fresh = [each for each in sent if each.step.writes]
        versions = table.versions(each.member for each in fresh) if fresh else {}
        for each in fresh:
            own = each.state.version.text
            if versions.get(each.member, own) != own:
                moved.add(each.member)
        self._finish([each for each in sent if each.member not in moved])
        return moved

    def _finish(self, settled: Sequence[_Delivery]) -> None:
        """Have those sent once more whose older upload may take effect after this one."""
        repeating = [each for each in settled if each.repeats]
        if not repeating:
            return
        # The jobs of two uploads end in any order: send it once more when both have ended. Should that be too early, by
        # what an invocation and a late arrival can take, the table asks for another repetition then; where a job takes
        # longer, its end asks for one.
        removals = [each.state.removal() for each in repeating if each.step.repeats_removal]
        changes = [*removals, *(each.state.change() for each in repeating)]
        replay, delay = DeliveryHistory(is_replay=True), self._context.limits.job
        self._context.queue.send(pack(changes, replay), deadline=self._deadline, delay=delay)

    def _tracker(self, job_member: Callable[[MembershipChange], JobMember]) -> Track:
        """Return what has a job checked later. Storing its message is part of the delivery."""

        def track(job: Job) -> None:
            members = [job_member(change) for change in job.changes]
            bodies = job_messages(job.job_id, job.audience_id, members, job.sent_at)
            self._context.jobs.send(bodies, deadline=self._deadline, delay=self._context.limits.job)

        return track

    def _send_unguarded(self, target: Target, members: Sequence[Sequence[MembershipChange]]) -> Deferred | None:
        newest = [changes[-1] for changes in members]
        self._outcomes.settle((change.member for change in newest), ChangeOutcome.DELIVERED)

        def job_member(change: MembershipChange) -> JobMember:
            return member_of_change(change, is_replay=self._outcomes.is_replay(change.member, change.version))

        outcomes = self._uploads.send(target, newest, self._tracker(job_member))
        self._outcomes.take(newest, outcomes)
        return next((each for each in outcomes.values() if isinstance(each, Deferred)), None)
