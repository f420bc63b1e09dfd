"""Effect of changes on the state of one member: the write, the upload and the wait. Pure.

Amazon applies an upload at any moment until `effective_after` seconds after it was prepared. With `now` as the time:

1. A removal is sent at once. It is sent again at `enters_effective_by` if it was sent before that.
2. An enter is sent at `removals_effective_by`, or at once if that is over; and again then, if it was sent before that.
3. What is *owed* (an attempt was not accepted, or one is due) gets its time when Amazon accepts it; anything else in
   the write that records its change, before it is sent: `enter_sent = now`, or `removal_sent = now` and
   `removals_effective_by = now + effective_after`. An exit sets `enters_effective_by = enter_sent + effective_after`.
4. A change counts what it replaces, if that is owed, as sent by now: an exit the enter, and an enter that names
   everything to remove again the removal. Nobody knows which of its attempts took effect, and none follows.
   What gets due within `late` seconds counts as under way: another worker may send it before the change is written.
5. A mark belongs to the version that was sent: an attempt that was not accepted marks the row as owed only while the
   row's newest change is the one it was sent for, and nothing of its kind got a time since.

docs/delivery.md, *Uploads that contradict each other*, has them with examples.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from audience_sync.members.member_state import (
    Action,
    LateJob,
    MemberState,
    RemovalProgress,
    Timing,
    with_known_consent,
)
from audience_sync.members.membership import ChangeOutcome, Identity, MembershipChange, Version

# Seconds after which a removal without a failed attempt is certain: longer than a change can wait (7 days), lie in the
# dead letters (14), and wait again.
KEEP_REMOVED = 30 * 86_400
FIRST_RETRY, LONGEST_RETRY = 300, 86_400  # seconds until what a failed job carried is sent again
MAX_KEPT = 1_000  # identities; a row holds 400 KB, and each identity at most 300 bytes


class Attempt(Enum):
    """The result of an attempt at an upload."""

    ACCEPTED = "Amazon has accepted all its records"
    PARKED = "Amazon has refused it, and it is in the dead letters"
    NOT_ACCEPTED = "it stays in the queue"


class Decision(NamedTuple):
    """The actions of one delivery for a member. The state is written first if it is not the one that was read."""

    state: MemberState  # source of the records
    upload: Action | None = None
    repeats: bool = False  # the upload is a due repetition
    settled: Version | None = None  # of the newest change that does not stay
    waits_until: float | None = None  # epoch seconds; the enter waits until then and is not in the state yet

    @property
    def outcome(self) -> ChangeOutcome:
        """Of the changes that do not stay: superseded if a newer one has replaced them, or nothing is to be removed."""
        is_sent = self.upload is Action.ENTER or (self.upload is not None and self.settled == self.state.version)
        return ChangeOutcome.DELIVERED if is_sent else ChangeOutcome.SUPERSEDED


def apply_changes(
    state: MemberState | None, changes: Sequence[MembershipChange], *, now: int, timing: Timing
) -> Decision:
    """Apply changes of one member to its state.

    Args:
        state: as the table holds it, None if it holds none.
        changes: one life's end, if any, and the newest change, as `coalesce` returns them.
        now: epoch seconds.
        timing: how long Amazon may take.
    """
    known = _without_lapsed(state, now, timing) if state else None
    newest = changes[-1]
    exit_ = next((each for each in changes if each.exits), None)
    after, removes = _with_exit(known, exit_, now, timing) if exit_ else (known, False)
    if after is None:
        first = _dated_unless_owed(_with_new_enter(None, newest), Action.ENTER, None, now, timing)
        return Decision(first, Action.ENTER)
    if removes:
        after = _dated_unless_owed(after, Action.REMOVAL, known, now, timing)
    recorded = after if after == known else _with_exit_dated(after, now)
    entered = None if newest.exits else _with_enter(after, newest, now)
    if entered is None:
        return Decision(recorded, Action.REMOVAL if removes else None, settled=newest.version)
    due = after.removal_due(timing)
    is_due = not removes and due is not None and due.at <= now  # if nothing else sends it
    upload = Action.REMOVAL if removes or is_due else None
    until = (_dated(after, upload, now, timing) if upload else after).enter_waits_until(timing)
    if due is not None and upload is None and due.at <= now + timing.late:  # another worker may be sending it by then
        until = max(until, due.at + timing.effective_after)
    if upload or until > now:
        return Decision(recorded, upload, repeats=is_due, settled=after.last_exit, waits_until=until)
    entered = _with_replaced_removal(entered, now, timing)
    return Decision(_dated_unless_owed(entered, Action.ENTER, after, now, timing), Action.ENTER)


def apply_repetition(state: MemberState, version: Version, *, now: int, timing: Timing) -> Decision | None:
    """Return the repetition due for a member, now or later; None if nothing is due.

    Args:
        state: as the table holds it.
        version: of the newest change when the repetition was queued; a newer change has queued its own.
        now: epoch seconds.
        timing: how long Amazon may take.
    """
    if state.version != version:
        return None
    known = _without_lapsed(state, now, timing)
    due = known.due(timing)
    if due is None:
        return None
    if due.at > now:
        return Decision(known, waits_until=due.at)
    return Decision(known, due.action, repeats=True)


def after_attempt(
    row: MemberState, source: MemberState, upload: Action, result: Attempt, *, at: int, timing: Timing, done: int = 0
) -> MemberState:
    """Return the row after an attempt at an upload: the only place in which what is owed gets its time.

    What is parked is no longer owed, or it would be parked again at once, and by the renewal every day. A parked
    removal leaves its mark: what it was to remove may be at Amazon for as long as the row is kept.

    Args:
        row: as the table holds it now; another change may be the newest.
        source: the state of which the records were made.
        upload: which one.
        result: of all its records.
        at: epoch seconds; before the request.
        timing: how long Amazon may take.
        done: identities to remove that Amazon has accepted by now, those of earlier attempts included.
    """
    if upload is Action.REMOVAL:
        return _after_removal(row, source, result, at, timing, done)
    if row.last_exit is not None and source.version <= row.last_exit:  # its life has ended since
        return _effective_later(row, upload, at, timing)
    if result is Attempt.NOT_ACCEPTED:
        return replace(row, enter_owed=row.enter_owed or _is_latest(row, source, upload))
    if result is Attempt.PARKED and row.version != source.version:
        return row
    owed = row.enter_owed and not source.covers(row, upload)
    return replace(_dated(row, upload, at, timing), enter_owed=owed, enter_retry_at=row.enter_retry_at if owed else 0)


def _after_removal(
    row: MemberState, source: MemberState, result: Attempt, at: int, timing: Timing, done: int
) -> MemberState:
    begun = at if source.removing is None or not source.removed_so_far(at, timing) else source.removing.since
    if result is Attempt.ACCEPTED:
        owed = row.removal_owed and not source.covers(row, Action.REMOVAL)
        dated = replace(_effective_later(row, Action.REMOVAL, at, timing), removal_sent=max(row.removal_sent, begun))
        return replace(dated, removal_owed=owed, removal_retry_at=row.removal_retry_at if owed else 0, removing=None)
    owed = row.removal_owed or _is_latest(row, source, Action.REMOVAL)
    if result is Attempt.PARKED:
        return replace(_dated(row, Action.REMOVAL, at, timing), removal_owed=owed, removal_retry_at=0)
    later = row if row.newest.exits else _effective_later(row, Action.REMOVAL, at, timing)
    progress = RemovalProgress(done, begun) if done and row.to_remove == source.to_remove else row.removing
    return replace(later, removal_owed=owed, removing=progress)


def _is_latest(row: MemberState, source: MemberState, upload: Action) -> bool:
    """Return whether an attempt was for the newest change, and nothing of its kind got a time since (rule 5)."""
    is_same = (
        row.removal_sent == source.removal_sent if upload is Action.REMOVAL else row.enter_sent == source.enter_sent
    )
    return is_same and row.version == source.version


def _with_exit_dated(state: MemberState, now: int) -> MemberState:
    """Date an exit that is recorded with nothing to remove: the row's expiry depends on it."""
    if not state.newest.exits or state.to_remove:
        return state
    return replace(state, removal_sent=max(state.removal_sent, now))


def _dated_unless_owed(
    state: MemberState, upload: Action, before: MemberState | None, now: int, timing: Timing
) -> MemberState:
    """Date an upload before it is sent, unless the row owed it before: else it would be lost if the attempt fails."""
    return state if before and before.owes(upload, now, timing) else _dated(state, upload, now, timing)


def _dated(state: MemberState, upload: Action, at: int, timing: Timing) -> MemberState:
    """Date an upload: the newest enter, or the removal. A removal is not certain by that."""
    if upload is Action.REMOVAL:
        return replace(_effective_later(state, upload, at, timing), removal_sent=max(state.removal_sent, at))
    keep_until = round(at + timing.keeps) if timing.keeps else 0
    return replace(state, enter_sent=max(state.enter_sent, at), keep_until=max(state.keep_until, keep_until))


def _effective_later(state: MemberState, upload: Action, at: int, timing: Timing) -> MemberState:
    """Count an upload of `at`, epoch seconds, among those that may still take effect."""
    end = round(at + timing.effective_after)
    if upload is Action.REMOVAL:
        return replace(state, removals_effective_by=max(state.removals_effective_by, end))
    return replace(state, enters_effective_by=max(state.enters_effective_by, end))


def left_out(state: MemberState, newest: MembershipChange) -> int:
    """Count the identities of the newest change that a full row has no room for. They are not sent.

    Otherwise the row would forget others, and no exit would ever remove them.
    """
    if len(state.identities) < MAX_KEPT or newest.version != state.version:
        return 0
    kept = {each.key for each in state.identities}
    return sum(each.key not in kept for each in newest.identities)


def without_removal(each: Decision, now: int) -> Decision:
    """Record an exit whose removal Amazon would ignore: nothing is sent, and the row keeps no identities of it."""
    state = replace(each.state, identities=each.state.active, removal_sent=max(each.state.removal_sent, now))
    return Decision(state, settled=each.settled, waits_until=each.waits_until)


def _with_exit(
    state: MemberState | None, change: MembershipChange, now: int, timing: Timing
) -> tuple[MemberState, bool]:
    """End a life. Returns the state, and whether to send a removal."""
    bare = with_known_consent(_bare(change), state.newest if state else change)
    known = state or MemberState(bare)
    is_newest = state is None or change.version > state.version
    last_exit = max(change.version, known.last_exit or change.version)
    ends_a_life = last_exit != known.last_exit
    # Without a new life since a deletion notice, the traits of later exits are also erased.
    follows_notice = known.newest.exits and known.last_exit is not None and known.erase_until >= known.last_exit.at
    erase_until = known.erase_until
    if is_newest and (change.erase or follows_notice):
        erase_until = max(erase_until, change.at)
    elif change.erase:
        erase_until = max(erase_until, last_exit.at if known.newest.exits else change.at)
    entered = _last_attempt_at_an_enter(known, now, timing)
    entered_by = round(entered + timing.effective_after) if ends_a_life and entered else 0
    elsewhere = round(now + timing.after_notice) if change.erase and timing.after_notice else 0
    after = replace(
        known,
        newest=bare if is_newest else known.newest,
        keep_until=0 if is_newest else known.keep_until,
        last_exit=last_exit,
        exit_recorded=now if ends_a_life else known.exit_recorded,
        erase_until=erase_until,
        enters_effective_by=max(known.enters_effective_by, entered_by),
        enter_owed=known.enter_owed and not is_newest,
        enter_retry_at=0 if is_newest else known.enter_retry_at,
        failed_jobs=0 if is_newest else known.failed_jobs,
        removals_effective_by=max(known.removals_effective_by, elsewhere),
    )
    kept = {each.key for each in known.identities}
    after = _named(after, [each for each in change.identities if is_newest or each.key not in kept])
    if after.to_remove != known.to_remove:
        grew = {each.key for each in after.to_remove} - {each.key for each in known.to_remove}
        after = replace(after, removing=None, removal_grew=known.revision + 1 if grew else known.removal_grew)
    # An older notice removes what it erases, and an older exit what nothing newer has named or what is owed; also if a
    # worker was cut off after recording it.
    is_needed = known.removal_owed or _named_last_by(change, after) or (change.erase and after.must_erase)
    return after, bool(after.to_remove) and (change.version == last_exit or is_needed)


def _named_last_by(change: MembershipChange, state: MemberState) -> bool:
    """Return whether a change was the last one to name one of the identities to remove."""
    named = {(each.at, each.key) for each in state.to_remove}
    return any((each.at, each.key) in named for each in change.identities)


def _last_attempt_at_an_enter(known: MemberState, now: int, timing: Timing) -> int:
    """Return the epoch second by which the enters of a life were tried for the last time; 0 if none was (rule 4).

    One that gets due before this change is written may be sent by a worker that has read the row as it is now.
    """
    by_then = (second for second in (now, round(now + timing.late)) if known.owes(Action.ENTER, second, timing))
    return next(by_then, known.enter_sent)


def _with_replaced_removal(entered: MemberState, now: int, timing: Timing) -> MemberState:
    """Count an owed removal as tried for the last time if an enter has named all that it was to remove (rule 4)."""
    if not entered.removal_owed or entered.to_remove:
        return entered
    return replace(_effective_later(entered, Action.REMOVAL, now, timing), removal_owed=False)


def _with_enter(state: MemberState, change: MembershipChange, now: int) -> MemberState | None:
    """Make an enter the newest change, or add the identities of an older one of this life; None if it is superseded.

    The row may have an identity from this very change: the worker that recorded it may have been cut off before the
    upload.
    """
    if change.version > state.version:
        is_certain = state.removal_sent and now - state.removal_sent > KEEP_REMOVED and not state.removal_owed
        return _with_new_enter(_without_certain(state) if is_certain else state, change)
    if state.newest.exits:
        return None
    known = {each.key: each.at for each in state.active}
    named = _of_this_life(state, change)
    names_newer = any(known.get(each.key, each.at) <= each.at for each in named)
    return _named(state, named) if names_newer or change.version == state.version else None


def _without_certain(state: MemberState) -> MemberState:
    """Drop the identities of earlier lives, which are gone; those to erase only leave with the end of a removal."""
    gone = {each.key for each in state.to_remove if each.at > state.erase_until}
    kept = [each for each in state.identities if each.key not in gone]
    return replace(state, identities=tuple(kept))


def _with_new_enter(state: MemberState | None, change: MembershipChange) -> MemberState:
    bare = _bare(change)
    if state is None:
        return _named(MemberState(bare), change.identities)
    state = replace(state, newest=bare, enter_retry_at=0, failed_jobs=0)
    return _named(state, _of_this_life(state, change))


def _of_this_life(state: MemberState, change: MembershipChange) -> list[Identity]:
    """Return the identities of an enter, possibly merged, without those named before an exit known only to the row."""
    return [each for each in change.identities if state.last_exit is None or each.at > state.last_exit.at]


def _without_lapsed(state: MemberState, now: int, timing: Timing) -> MemberState:
    """Drop the marks of jobs that count as ended by now, whatever their outcome."""
    for job in state.late_jobs:
        lapses = round(job.sent_at + timing.longest_job)
        if now >= lapses:
            state = without_late_job(state, job, lapses, timing)
    return state


def after_failed_job(state: MemberState, upload: Action, now: int) -> MemberState:
    """Owe an upload again whose job has failed, or whose outcome nobody knows: later each time, at most once a day."""
    if state.removal_retry_at if upload is Action.REMOVAL else state.enter_retry_at:
        return state  # counted before: the message of the job came back, or another job of the same has failed
    again, failed = now + min(LONGEST_RETRY, FIRST_RETRY * 4**state.failed_jobs), state.failed_jobs + 1
    if upload is Action.REMOVAL:
        return replace(state, removal_owed=True, removal_retry_at=again, failed_jobs=failed)
    return replace(state, enter_owed=True, enter_retry_at=again, failed_jobs=failed)


def without_late_job(state: MemberState, job: LateJob, ended: int, timing: Timing) -> MemberState:
    """Drop the mark of a job that has ended by `ended`, epoch seconds. Uploads it may have undone are due then."""
    state = replace(state, late_jobs=tuple(each for each in state.late_jobs if each.job_id != job.job_id))
    if job.removes:
        return replace(state, removals_effective_by=max(state.removals_effective_by, ended))
    if state.carried(job, timing):
        return replace(state, enters_effective_by=max(state.enters_effective_by, ended))
    return state


def _bare(change: MembershipChange) -> MembershipChange:
    return replace(change, identities=(), erase=False)


def _named(state: MemberState, named: Iterable[Identity]) -> MemberState:
    """Add identities, each at the latest time it was named. None that may have been sent is given up for a new one."""
    known = {each.key: each for each in state.identities}
    new: dict[tuple[tuple[str, str], ...], Identity] = {}
    for each in named:
        found = known if each.key in known else new
        if each.key not in found or found[each.key].at < each.at:
            found[each.key] = each
    kept = [*known.values(), *_newest_first(new.values())[: max(0, MAX_KEPT - len(known))]]
    return replace(state, identities=tuple(_newest_first(kept)))


def _newest_first(identities: Iterable[Identity]) -> list[Identity]:
    return sorted(identities, key=lambda each: (-each.at, each.key))
