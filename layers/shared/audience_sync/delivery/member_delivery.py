"""Delivers the members of one invocation: sends changes, defers those that must wait, and queues repetitions.

The newest change of each member is found among the messages, then in the membership table. The row is written before
every attempt that changes it, so that the next worker knows which uploads may still take effect.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from audience_sync.amazon_ads.apis import has_jobs, is_ignored, upload_rules
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.upload import Target
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.deletion_notices import DeletionNotices, with_notices
from audience_sync.delivery.groups import groups
from audience_sync.delivery.job_members import job_member
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.pending import PendingMember, Stays
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.sending import Uploads
from audience_sync.delivery.uploads import Deferred, UploadJob, first_trouble
from audience_sync.errors import MovedOn, OutOfTime, TransientError
from audience_sync.members.job_messages import JobMember, job_messages
from audience_sync.members.member_state import Action, MemberState
from audience_sync.members.member_step import (
    Attempt,
    Decision,
    after_attempt,
    apply_changes,
    apply_repetition,
    left_out,
    without_removal,
)
from audience_sync.members.membership import EVERY_AUDIENCE, ChangeOutcome, Member, MembershipChange
from audience_sync.members.repetitions import repetition_messages

MAX_ROUNDS = 3  # attempts at a row that other workers write at the same time


# What was read of a member: its row; without one, its changes behind a deletion notice, none if the notice is newer.
type _Found = MemberState | Sequence[MembershipChange] | TransientError


@dataclass(slots=True, eq=False)
class _Decided:
    """What was decided for a member, and how far it got."""

    pending: PendingMember
    decision: Decision
    changes_row: bool
    decided_at: int  # epoch seconds; before anything was sent
    state: MemberState  # the source of the records
    row: MemberState | None  # as the table holds it, None if nobody knows: a write had no answer
    records: Sequence[MembershipChange] = ()
    removed: int = 0  # identities to remove that Amazon has accepted, now and in attempts before

    @property
    def attempt(self) -> Attempt:
        """The result of its upload so far."""
        if self.pending.outcome is ChangeOutcome.PARKED:
            return Attempt.PARKED
        return Attempt.NOT_ACCEPTED if isinstance(self.pending.result, Stays) else Attempt.ACCEPTED

    @property
    def may_owe(self) -> bool:
        """Whether to queue what is due by the row. If its message comes back, or a newer change came, that one does.

        A change with nothing left to do also owes it: an attempt before may have left it, and nobody knows of that one
        if SQS has moved the message to the dead letters and back.
        """
        only_waits = self.decision.waits_until is not None and not (self.changes_row or self.decision.upload)
        return not only_waits and self.attempt is not Attempt.NOT_ACCEPTED


class MemberDelivery:
    """Delivers the members of one invocation."""

    def __init__(
        self,
        context: DeliveryContext,
        uploads: Uploads,
        outcomes: Outcomes,
        jitter: Callable[[], float],
        deadline: float,
        report: BatchReport,
    ) -> None:
        """Set up delivery of the members in `outcomes`, counted into the report.

        Args:
            context: everything around it.
            uploads: to Amazon.
            outcomes: of the members' changes.
            jitter: uniform in 0 .. 1.
            deadline: monotonic seconds.
            report: of the invocation.
        """
        self._context = context
        self._table = context.members
        self._uploads = uploads
        self._outcomes = outcomes
        self._jitter = jitter
        self._deadline = deadline
        self._report = report

    def run(self) -> None:
        """Deliver the newest change of every member, audience by audience, as far as time and Amazon allow."""
        by_target: dict[Target, list[PendingMember]] = {}
        notices: list[PendingMember] = []
        for each in self._outcomes.members.values():
            if each.newest.audience_id == EVERY_AUDIENCE:
                notices.append(each)
            else:
                by_target.setdefault(Target(each.newest.audience_id, each.newest.destination), []).append(each)
        self._deliver_notices(notices)
        for target, members in by_target.items():
            trouble: Deferred | None = None
            for some in groups(target, members, self._context.limits):
                if trouble is None:
                    trouble = self._deliver(target, some)
                if trouble is not None:
                    _defer_unsettled(some, replace(trouble, job=None))

    def _deliver_notices(self, notices: Sequence[PendingMember]) -> None:
        """Spread deletion notices over the audiences. Amazon is not called, so this waits for no upload."""
        if not notices:
            return
        spreading = DeletionNotices(self._context, self._deadline, self._report)
        members = self._outcomes.members
        try:
            for some in spreading.batches([each.newest for each in notices]):
                if not self._uploads.has_time_to_record:
                    raise OutOfTime("no time left to spread deletion notices")
                failed = spreading.spread(some, lambda notice: members[notice.member].source.attempts > 1)
                for member, error in failed.items():
                    members[member].defer(Deferred.after(error))
                for notice in some:
                    if notice.member not in failed:
                        members[notice.member].settle(ChangeOutcome.SUPERSEDED)
        except TransientError as error:
            _defer_unsettled(notices, Deferred.after(error))

    def _deliver(self, target: Target, members: Sequence[PendingMember]) -> Deferred | None:
        """Deliver members of one audience. Returns a deferral if its others must wait.

        An upload that tests whether Amazon answers again has one member, another one each time: an Amazon that takes
        what it does not answer would otherwise take the records of all with each test.
        """
        while members:
            if not self._uploads.has_time_to_record:
                return Deferred.after(OutOfTime("no time left to record changes"))
            try:
                is_test = self._context.gate.check(target)
            except TransientError as error:  # before anything is written: a waiting change costs nothing
                return Deferred.after(error)
            some, members = self._split_test(members) if is_test else (members, ())
            if trouble := self._deliver_some(target, some):
                return trouble
        return None

    def _split_test(self, members: Sequence[PendingMember]) -> tuple[Sequence[PendingMember], Sequence[PendingMember]]:
        place = min(int(self._jitter() * len(members)), len(members) - 1)
        return [members[place]], [*members[:place], *members[place + 1 :]]

    def _deliver_some(self, target: Target, members: Sequence[PendingMember]) -> Deferred | None:
        for _ in range(MAX_ROUNDS):
            trouble, members = self._deliver_once(target, members)
            if trouble or not members:
                return trouble
        _defer_unsettled(members, Deferred.after(MovedOn("the member's row kept changing")))
        return None

    def _deliver_once(
        self, target: Target, members: Sequence[PendingMember]
    ) -> tuple[Deferred | None, Sequence[PendingMember]]:
        """Read, decide, write, send, record. Returns a deferral if others must wait, and members to deliver again."""
        trouble: Deferred | None = None
        written: list[_Decided] = []
        again: Sequence[PendingMember] = ()
        try:
            decided = self._decide(members, self._read(members))
            written, again = self._write(decided)
            trouble = self._send_in_rounds(target, written)
            self._record_attempts(written)
        except TransientError as error:
            _defer_unsettled(members, Deferred.after(error))
            again = ()
        self._queue_due([each for each in written if each.may_owe])
        for each in written:
            if not each.pending.is_settled:
                each.pending.settle(each.decision.outcome)
        return trouble, again

    def _read(self, members: Sequence[PendingMember]) -> dict[Member, _Found]:
        """Read the rows of members, and the deletion notices of those without one."""
        found = self._table.read_each((each.member for each in members), self._uploads.half_of_time_to_record())
        new = {each.member: each.changes for each in members if each.member not in found and not each.is_repetition}
        return found | with_notices(self._table, new, self._uploads.half_of_time_to_record())

    def _decide(self, members: Sequence[PendingMember], found: Mapping[Member, _Found]) -> list[_Decided]:
        """Decide what to do for members. Settles and defers those of whom nothing is to be written or sent."""
        now = int(self._context.clock.now())
        decided: list[_Decided] = []
        for each in members:
            row = found.get(each.member, ())
            if isinstance(row, TransientError):  # which does not hold back other members
                each.defer(Deferred.after(row))
                continue
            state, changes = (row, each.changes) if isinstance(row, MemberState) else (None, row)
            if not changes:
                each.settle(ChangeOutcome.SUPERSEDED)
                continue
            timing = self._context.limits.timings.of(changes[-1].destination)
            if state and each.is_repetition:
                decision = apply_repetition(state, changes[-1].version, now=now, timing=timing)
            else:
                decision = apply_changes(state, [*map(_stated, changes)], now=now, timing=timing)
            if decision is None:
                each.settle(ChangeOutcome.SUPERSEDED)
                continue
            if decision.upload is Action.REMOVAL and is_ignored(decision.state.newest):
                decision = without_removal(decision, now)
            decided.append(_Decided(each, decision, decision.state != state, now, decision.state, decision.state))
        return decided

    def _write(self, decided: Sequence[_Decided]) -> tuple[list[_Decided], list[PendingMember]]:
        """Record what was decided. Returns what may be sent, and the members whose rows have changed since."""
        changed = [each.state for each in decided if each.changes_row]
        results = iter(self._table.write(changed, lambda: self._uploads.has_time_to_record))
        written: list[_Decided] = []
        again: list[PendingMember] = []
        for each in decided:
            result = next(results) if each.changes_row else each.state
            if isinstance(result, MovedOn):
                again.append(each.pending)
            elif isinstance(result, TransientError):
                each.pending.defer(Deferred.after(result))
            else:
                each.state = each.row = result
                written.append(each)
                if without_room := left_out(result, each.pending.newest):
                    self._report.left_out[each.pending.member[0]] += without_room
                _wait(each)
        return written, again

    def _send_in_rounds(self, target: Target, written: Sequence[_Decided]) -> Deferred | None:
        """Send the first record of each member, then the second. Returns a deferral if other members must wait."""
        at_most = upload_rules(target.destination).max_identities
        for each in written:
            timing = self._context.limits.timings.of(each.state.newest.destination)
            each.removed = each.state.removed_so_far(each.decided_at, timing)
            each.records = each.state.records(each.decision.upload, at_most, each.removed)
        track = partial(self._track, {each.state.member: each.state for each in written})
        trouble: Deferred | None = None
        for number in count():
            going = [each for each in written if each.attempt is Attempt.ACCEPTED and number < len(each.records)]
            if trouble is not None:
                _defer_unsettled((each.pending for each in going), replace(trouble, job=None))
            if trouble is not None or not going:
                break
            records = [each.records[number] for each in going]
            failures = self._uploads.send_in_uploads(target, records, track)
            trouble = first_trouble(failures.values())
            self._outcomes.take(records, failures)
            for each, record in zip(going, records, strict=True):
                each.removed += len(record.identities) if each.attempt is Attempt.ACCEPTED else 0
        accepted = (each for each in written if each.attempt is Attempt.ACCEPTED)
        self._report.repeated.update(each.state.member[0] for each in accepted if each.decision.repeats)
        return trouble

    def _record_attempts(self, written: Sequence[_Decided]) -> None:
        """Write the result of each attempt into its row, unless the row has it."""
        by_member = {each.state.member: each for each in written}
        rows = {member: each.state for member, each in by_member.items()}
        for _ in range(MAX_ROUNDS):
            after = {member: self._after(by_member[member], row) for member, row in rows.items()}
            for member, row in rows.items():
                by_member[member].row = row if after[member] == row else None
            changed = [state for member, state in after.items() if state != rows[member]]
            results = self._table.write(changed, lambda: self._uploads.has_time_to_date)
            moved: list[Member] = []
            for state, result in zip(changed, results, strict=True):
                each = by_member[state.member]
                match result:
                    case MemberState():
                        each.row = result
                    case MovedOn():
                        moved.append(state.member)
                    case OutOfTime():
                        _defer_unsettled([each.pending], Deferred.after(result))
                    case _:
                        raise result
            if not moved:
                return
            rows = self._table.read(moved)
        raise MovedOn("the member's row kept changing")

    def _after(self, each: _Decided, row: MemberState) -> MemberState:
        if each.decision.upload is None:
            return row
        timing = self._context.limits.timings.of(row.newest.destination)
        upload, attempt, at = each.decision.upload, each.attempt, each.decided_at
        return after_attempt(row, each.state, upload, attempt, at=at, timing=timing, done=each.removed)

    def _queue_due(self, decided: Sequence[_Decided]) -> None:
        """Queue what is due by the rows of members; if that fails, they come back, parked ones also.

        Of a row that nobody knows, or that is due by now although it was just tried (parked, without time to write it),
        the next worker finds out, when an upload of now has taken effect.
        """
        if not decided:
            return
        timing, now = self._context.limits.timings.of(decided[0].state.newest.destination), self._context.clock.now()
        later = now + timing.effective_after
        due: list[tuple[MemberState, float]] = []
        for each in decided:
            if each.row is None:
                due.append((each.state, later))
            elif next_due := each.row.due(timing):
                due.append((each.row, next_due.at if next_due.at > now else later))
        try:
            for bodies, delay in repetition_messages(due, now):
                self._context.queue.send(bodies, deadline=self._deadline, delay=delay)
        except TransientError as error:
            for each in decided:
                each.pending.defer(Deferred.after(error))

    def _track(self, states: Mapping[Member, MemberState], job: UploadJob) -> None:
        """Store a job message, which is part of the delivery. `states`: sources of the records."""
        members: list[JobMember] = []
        for change in job.changes:
            state = states[change.member]
            was_counted = state.version not in self._outcomes.members[change.member].originals
            member = job_member(change, state, was_counted=was_counted)
            if has_jobs(job.target.destination) or member.erases or member.proves:  # otherwise there is nothing to ask
                members.append(member)
        bodies = job_messages(job.job_id, job.target.audience_id, members, job.sent_at, job.target.destination)
        self._context.jobs.send(bodies, deadline=self._deadline, delay=self._context.limits.timings.job)


def _defer_unsettled(members: Iterable[PendingMember], deferral: Deferred) -> None:
    for each in members:
        if not each.is_settled:
            each.defer(deferral)


def _stated(change: MembershipChange) -> MembershipChange:
    """Return a change whose empty consent, if it leaves a dataset, counts as none: its writer stated nothing."""
    consent = consent_of_exit(change.consent, change.destination) if change.exits else change.consent
    return change if consent is change.consent else replace(change, consent=consent)


def _wait(each: _Decided) -> None:
    """Defer an enter, or a repetition, until an opposite upload has taken effect."""
    decision, pending = each.decision, each.pending
    if decision.waits_until is not None:
        is_fixed = not decision.state.late_jobs
        waits = Deferred.until(
            "an opposite upload may still take effect", decision.waits_until - each.decided_at, is_fixed=is_fixed
        )
        pending.wait(waits, None if pending.is_repetition else decision.state.last_exit)
