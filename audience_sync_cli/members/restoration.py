"""Restores members: decides which rows of an older table come back, and who may still be at Amazon.

An older table knows people who have left since, asked to be forgotten or changed their address while their rows were
missing. No removal named their identities then. So a row that is missing here, older, or without some of these
identities gets them back, and the removal that it still needs is queued: an exit again, or the deletion notice.
Identities under a deletion notice come back only to be removed.

The rule is `decide`, without I/O; `Restoration` applies it to whole tables.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.apis import has_jobs, is_proof
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import KEEP_EXIT, StoredMember
from audience_sync.errors import MovedOn, TransientError
from audience_sync.members.member_state import Action, MemberState, Timing, with_known_consent
from audience_sync.members.member_step import MAX_KEPT, apply_changes
from audience_sync.members.membership import EVERY_AUDIENCE, Identity, Member, MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack

MAX_AGE = KEEP_EXIT  # seconds; deletion notices are not kept longer
_AGAIN = DeliveryHistory(attempts=1, was_counted=True)  # of changes that were recorded and counted before


class RowOutcome(StrEnum):
    """The outcome for one row of the older table."""

    COPIED = "copied"
    MERGED = "merged"  # the row here has the same version or a newer one, and lacked identities
    TO_REMOVE = "to remove"  # copied or merged, with identities that may still be at Amazon
    ALREADY_THERE = "already there"  # the membership table has the same version
    NEWER_HERE = "newer here"  # it has a newer version
    CHANGED = "changed meanwhile"  # its version has changed since it was read
    EXPIRED = "expired"
    UNLISTED = "unlisted"  # the audience is not in the audience table


WRITTEN = (RowOutcome.COPIED, RowOutcome.MERGED, RowOutcome.TO_REMOVE)
type Outcomes = dict[str, Counter[RowOutcome]]  # rows by audience id; deletion notices are under EVERY_AUDIENCE


class RowDecision(NamedTuple):
    """The outcome for one row, the state to write, and the change that removes the member."""

    outcome: RowOutcome
    state: MemberState | None = None  # to write, on the revision of the row it replaces
    removal: MembershipChange | None = None  # to queue


def decide(
    stored: StoredMember,
    live: MemberState | None,
    notices: Iterable[MemberState],
    timing: Timing,
    *,
    is_listed: bool,
    now: int,
) -> RowDecision:
    """Decide about one row of the older table; `live` is the row of the member in the membership table.

    `notices` are those about the person, in either table. `is_listed` also holds for unlinked audiences, and for a
    deletion notice itself. `now` is in epoch seconds.
    """
    source = stored.state
    if not is_listed:
        return RowDecision(RowOutcome.UNLISTED)
    if stored.expires_at <= now:
        return RowDecision(RowOutcome.EXPIRED)
    restored = replace(source, revision=0) if live is None else _merged(source, live, timing)
    outcome = RowOutcome.COPIED
    if live is not None and live.version >= source.version:
        if (restored.identities, restored.newest) == (live.identities, live.newest):
            return RowDecision(RowOutcome.ALREADY_THERE if live.version == source.version else RowOutcome.NEWER_HERE)
        outcome = RowOutcome.MERGED
    notice = max(notices, key=lambda state: state.version, default=None)
    if live and notice and source.version < notice.version and _was_lost(source, live):
        # The row here has not known what the notice concerns.
        restored = replace(restored, erase_until=source.erase_until)
    if notice and not restored.reflects(notice.version, is_dataset=not has_jobs(restored.newest.destination)):
        restored, removal = _after_notice(notice, restored, now, timing), replace(notice.newest, erase=True)
    elif _owes_removal(restored, source, live, timing):
        removal = replace(restored.removal(), identities=())  # the worker finds them in the row
    else:
        return RowDecision(outcome, restored)
    return RowDecision(RowOutcome.TO_REMOVE, restored, removal)


def _merged(source: MemberState, live: MemberState, timing: Timing) -> MemberState:
    """Return the newer of a member's two states, with the knowledge of both."""
    known = (live, source)
    newer, older = known if live.version >= source.version else (source, live)
    newest = newer.newest
    if newest.exits:  # without a row, no consent was known
        stated = consent_of_exit(newest.consent, newest.destination)
        newest = with_known_consent(replace(newest, consent=stated), older.newest)
    left = max((state.last_exit for state in known if state.last_exit), default=None)
    # A row that was not lost has known all identities. Those that it lacks were erased when they were removed.
    erased_until = 0 if _was_lost(source, live) else live.erase_until
    lost = replace(source, identities=tuple(each for each in source.identities if each.at > erased_until))
    enters = [state.enter_sent for state in known if state.enter_sent and left and state.version < left]
    ends = [round(each + timing.effective_after) for each in enters]
    return replace(
        newer,
        newest=newest,
        identities=tuple(_newest_first([live, lost])[:MAX_KEPT]),
        last_exit=left,
        exit_recorded=max(state.exit_recorded for state in known),
        erase_until=max(state.erase_until for state in known),
        enter_sent=max(state.enter_sent for state in known),
        enter_owed=any(state.enter_owed for state in known if not newest.exits),
        removal_sent=max(state.removal_sent for state in known),
        removal_owed=any(state.removal_owed for state in known),
        removal_retry_at=max(state.removal_retry_at for state in known),
        enters_effective_by=max(live.enters_effective_by, source.enters_effective_by, *ends),
        removals_effective_by=max(state.removals_effective_by for state in known),
        late_jobs=tuple({job.job_id: job for state in known for job in state.late_jobs}.values()),
        revision=live.revision,
    )


def _was_lost(source: MemberState, live: MemberState) -> bool:
    """Return whether the row here may have begun without the one in the older table."""
    return not 0 < source.enter_sent == live.enter_sent


def _after_notice(notice: MemberState, state: MemberState, now: int, timing: Timing) -> MemberState:
    """Return the state of a member who has left with a deletion notice, which the worker still has to spread."""
    destination = state.newest.destination
    consent = consent_of_exit(notice.newest.consent, destination)
    left = replace(notice.newest, audience_id=state.member[0], destination=destination, consent=consent)
    return apply_changes(state, [left], now=now, timing=timing).state


def _owes_removal(restored: MemberState, source: MemberState, live: MemberState | None, timing: Timing) -> bool:
    """Return whether the removals sent so far may have left something at Amazon.

    Identities under a deletion notice are removed again in any case: the end of that removal erases them. So are those
    of a removal without consent, which Amazon has ignored.
    """
    sent = [live] if restored.must_erase else [live, source]
    heeded = [state for state in sent if state and is_proof(state.newest)]
    is_covered = any(state.covers(restored, Action.REMOVAL) for state in heeded)
    return bool(restored.to_remove) and (not is_covered or restored.removal_due(timing) is not None)


def _newest_first(states: Iterable[MemberState]) -> list[Identity]:
    """Return the identities of several states, each at the latest time it was named."""
    found: dict[object, Identity] = {}
    for each in chain.from_iterable(state.identities for state in states):
        if each.key not in found or found[each.key].at < each.at:
            found[each.key] = each
    return sorted(found.values(), key=lambda each: (-each.at, each.key))


class MemberTable(Protocol):
    """The membership table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Return the states of members that have a row. Raises Unavailable."""

    def write(self, states: Sequence[MemberState]) -> Sequence[MemberState | TransientError]:
        """Write each state unless its row has changed since it was read."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """Copies an older table into the membership table, page by page. Repeating it copies what is still missing."""

    read_older: Callable[[Iterable[Member]], Mapping[Member, MemberState]]  # of the older table
    target: MemberTable
    listed: Collection[str]  # ids of listed and unlinked audiences
    timings: Timings
    send: Callable[[Sequence[str]], None]  # puts messages into the change queue; raises Unavailable

    def run(
        self, pages: Iterable[Sequence[StoredMember]], now: float, *, writes: bool, on_rows: Callable[[int], None]
    ) -> Outcomes:
        """Copy every row that may come back, or only count them. `on_rows` gets the number of rows of each page.

        Deletion notices come first: if this is cut off, the members restored by then can be checked against them.

        Raises:
            Unavailable: a table or the queue does not answer. Copied rows stay.
            MisplacedRow: the older table has a different number of shards. Nothing more is copied.
        """
        outcomes: Outcomes = defaultdict(Counter)
        for page in pages:
            self._copy(page, outcomes, int(now), writes=writes)
            on_rows(len(page))
        return outcomes

    def _copy(self, page: Sequence[StoredMember], outcomes: Outcomes, now: int, *, writes: bool) -> None:
        members = [each.state.member for each in page]
        people = {(EVERY_AUDIENCE, person) for _, person in members}
        live = self.target.read([*members, *people])
        noticed = self.read_older(people)
        written: list[tuple[RowOutcome, MemberState]] = []
        removals: list[MembershipChange] = []
        for each, member in zip(page, members, strict=True):
            person = (EVERY_AUDIENCE, member[1])
            notices = [table[person] for table in (live, noticed) if person in table]
            timing = self.timings.of(each.state.newest.destination)
            is_listed = member[0] in self.listed or member[0] == EVERY_AUDIENCE
            outcome, state, removal = decide(each, live.get(member), notices, timing, is_listed=is_listed, now=now)
            if state is None:
                outcomes[member[0]][outcome] += 1
                continue
            written.append((outcome, state))
            removals += [removal] if removal else []
        if writes:  # the rows last: if this is cut off before, a repeated run finds them missing
            self.send(pack(removals, _AGAIN))
        states = [state for _, state in written]
        results = self.target.write(states) if writes else states
        for (outcome, state), result in zip(written, results, strict=True):
            if isinstance(result, TransientError) and not isinstance(result, MovedOn):
                raise result
            outcomes[state.member[0]][outcome if isinstance(result, MemberState) else RowOutcome.CHANGED] += 1
