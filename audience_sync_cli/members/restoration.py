"""Restores members: decides which rows of an older table come back, and who may still be at Amazon.

An older table knows people who have left since, asked to be forgotten or changed their address while their rows were
missing. No removal named their identities then. So a row that is missing here, older, or without some of these
identities gets them back, and the removal that it still needs is queued: an exit again, or the deletion notice.
Identities under a deletion notice come back only to be removed.

The rule is `decide`, without I/O; `Restoration` applies it to whole tables.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.apis import has_jobs, is_proof
from audience_sync.amazon_ads.record import exit_record
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import KEEP_EXIT, StoredMember
from audience_sync.errors import MovedOn, TransientError
from audience_sync.members.member_state import Identity, MemberState, Timing, left_with
from audience_sync.members.member_step import MAX_KEPT, step
from audience_sync.members.membership import EVERY_AUDIENCE, Member, MembershipChange, Version
from audience_sync.members.messages import DeliveryHistory, pack

MAX_AGE = KEEP_EXIT  # seconds; deletion notices are not kept longer
_AGAIN = DeliveryHistory(attempts=1, is_replay=True)  # of changes that were recorded and counted before


class Outcome(StrEnum):
    """The outcome of one row of the older table."""

    COPIED = "copied"
    MERGED = "merged"  # the row here has the same version or a newer one, and lacked identities
    TO_REMOVE = "to remove"  # copied or merged, with identities that may still be at Amazon
    ALREADY_THERE = "already there"  # the membership table has the same version
    NEWER_HERE = "newer here"  # it has a newer version
    CHANGED = "changed meanwhile"  # its version has changed since it was read
    EXPIRED = "expired"
    UNLISTED = "unlisted"  # the audience is not in the audience table


WRITTEN = (Outcome.COPIED, Outcome.MERGED, Outcome.TO_REMOVE)


class Decision(NamedTuple):
    """The outcome for one row, the state to write, and the change that removes the member."""

    outcome: Outcome
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
) -> Decision:
    """Decide about one row of the older table.

    Args:
        stored: the row.
        live: the same member in the membership table.
        notices: those about the person, in either table. A deletion notice itself counts as listed.
        timing: how long Amazon may take.
        is_listed: whether the audience is listed or unlinked.
        now: epoch seconds.
    """
    source = stored.state
    if not is_listed:
        return Decision(Outcome.UNLISTED)
    if stored.expires_at <= now:
        return Decision(Outcome.EXPIRED)
    restored = replace(source, revision=0) if live is None else _merged(source, live, timing)
    outcome = Outcome.COPIED
    if live is not None and live.version >= source.version:
        if (restored.identities, restored.newest) == (live.identities, live.newest):
            return Decision(Outcome.ALREADY_THERE if live.version == source.version else Outcome.NEWER_HERE)
        outcome = Outcome.MERGED
    notice = max(notices, key=lambda state: state.version, default=None)
    if notice and not restored.reflects(notice.version, is_dataset=not has_jobs(restored.newest.destination)):
        restored, removal = _left_with(notice, restored, now, timing), replace(notice.newest, erase=True)
    elif _owes_removal(restored, source, live, timing):
        exit_ = restored.removal()  # the worker finds its identities in the row
        removal = replace(exit_, record=exit_.record | {"hashedPII": []}, named_at=())
    else:
        return Decision(outcome, restored)
    return Decision(Outcome.TO_REMOVE, restored, removal)


def _merged(source: MemberState, live: MemberState, timing: Timing) -> MemberState:
    """Return the newer of a member's two states, with the knowledge of both."""
    known = (live, source)
    newer, older = known if live.version >= source.version else (source, live)
    newest = newer.newest
    if newest.exits:  # without a row, no consent was known
        newest = left_with(replace(newest, record=exit_record(newest.record, newest.destination)), older.newest)
    left = _latest(state.left for state in known)
    # A row that was not lost has known all identities. Those that it lacks were erased when they were removed.
    erased_until = live.erase_until if 0 < source.entered == live.entered else 0
    lost = replace(source, identities=tuple(each for each in source.identities if each.at > erased_until))
    enters = [state.entered for state in known if state.entered and left and state.version < left]
    ends = [round(each + timing.effective_after) for each in enters]
    return replace(
        newer,
        newest=newest,
        identities=tuple(_newest_first([live, lost])[:MAX_KEPT]),
        left=left,
        ended=max(state.ended for state in known),
        erase_until=max(state.erase_until for state in known),
        entered=max(state.entered for state in known),
        exited=max(state.exited for state in known),
        removal_failed=any(state.removal_failed for state in known),
        enters_end=max(live.enters_end, source.enters_end, *ends),
        removals_end=max(state.removals_end for state in known),
        late_jobs=tuple({job.job_id: job for state in known for job in state.late_jobs}.values()),
        revision=live.revision,
    )


def _left_with(notice: MemberState, state: MemberState, now: int, timing: Timing) -> MemberState:
    """Return the state of a member who has left with a deletion notice, which the worker still has to spread."""
    destination = state.newest.destination
    record = exit_record(notice.newest.record, destination)
    left = replace(notice.newest, audience_id=state.member[0], destination=destination, record=record)
    return step(state, [left], now=now, timing=timing).state


def _owes_removal(restored: MemberState, source: MemberState, live: MemberState | None, timing: Timing) -> bool:
    """Return whether the removals sent so far may have left something at Amazon.

    Identities under a deletion notice are removed again in any case: the end of that removal erases them. So are those
    of a removal without consent, which Amazon has ignored.
    """
    sent = [live] if restored.must_erase else [live, source]
    heeded = [state for state in sent if state and is_proof(state.newest)]
    is_covered = any(state.has_all_to_remove(restored) for state in heeded)
    return bool(restored.to_remove) and (not is_covered or restored.removal_due(timing) is not None)


def _newest_first(states: Iterable[MemberState]) -> list[Identity]:
    """Return the identities of several states, each at the latest time it was named."""
    found: dict[object, Identity] = {}
    for each in chain.from_iterable(state.identities for state in states):
        if each.key not in found or found[each.key].at < each.at:
            found[each.key] = each
    return sorted(found.values(), key=lambda each: (-each.at, each.key))


def _latest(versions: Iterable[Version | None]) -> Version | None:
    return max((each for each in versions if each is not None), default=None)


class OlderTable(Protocol):
    """Pages of the older table's rows."""

    def deletion_notices(self) -> Iterator[list[StoredMember]]:
        """Return the rows of people named in a deletion notice. Raises Unavailable, MisplacedRow."""

    def members(self) -> Iterator[list[StoredMember]]:
        """Return the rows of all members. Raises Unavailable, MisplacedRow."""


class Members(Protocol):
    """The states of members in one table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Return the states of members that have a row. Raises Unavailable."""

    def write(self, states: Sequence[MemberState]) -> Sequence[MemberState | TransientError]:
        """Write each state unless its row has changed since it was read."""


@dataclass(slots=True)
class RestorationReport:
    """Row counts by audience id and outcome; deletion notices are under EVERY_AUDIENCE."""

    outcomes: dict[str, Counter[Outcome]] = field(default_factory=dict)

    def add(self, audience_id: str, outcome: Outcome) -> None:
        """Count one row."""
        self.outcomes.setdefault(audience_id, Counter())[outcome] += 1

    @property
    def total(self) -> Counter[Outcome]:
        """Row counts by outcome, over all audiences."""
        return sum(self.outcomes.values(), Counter())


class Restoration:
    """Copies an older table into the membership table, page by page. Repeating it copies what is still missing."""

    def __init__(
        self,
        source: OlderTable,
        source_members: Members,
        target: Members,
        listed: Collection[str],
        timings: Timings,
        send: Callable[[Sequence[str]], None],
    ) -> None:
        """Set up the copying.

        Args:
            source: the older table, as pages.
            source_members: the same, by member.
            target: the membership table.
            listed: ids of listed and unlinked audiences.
            timings: how long Amazon may take with an upload.
            send: puts messages into the change queue. Raises Unavailable.
        """
        self._source = source
        self._source_members = source_members
        self._target = target
        self._listed = {*listed, EVERY_AUDIENCE}
        self._timings = timings
        self._send = send

    def run(self, now: float, *, writes: bool, on_rows: Callable[[int], None]) -> RestorationReport:
        """Copy every row that may come back, or only count them. `on_rows` gets the number of rows of each page.

        Raises:
            Unavailable: a table or the queue does not answer. Copied rows stay.
            MisplacedRow: the older table has a different number of shards. Nothing more is copied.
        """
        report = RestorationReport()
        # Notices first: if this is cut off, the members restored by then can be checked against them.
        for page in chain(self._source.deletion_notices(), self._source.members()):
            self._copy(page, report, int(now), writes=writes)
            on_rows(len(page))
        return report

    def _copy(self, page: Sequence[StoredMember], report: RestorationReport, now: int, *, writes: bool) -> None:
        members = [each.state.member for each in page]
        people = {(EVERY_AUDIENCE, person) for _, person in members}
        live = self._target.read([*members, *people])
        noticed = self._source_members.read(people)
        written: list[tuple[Outcome, MemberState]] = []
        removals: list[MembershipChange] = []
        for each, member in zip(page, members, strict=True):
            person = (EVERY_AUDIENCE, member[1])
            notices = [table[person] for table in (live, noticed) if person in table]
            timing = self._timings.of(each.state.newest.destination)
            outcome, state, removal = decide(
                each, live.get(member), notices, timing, is_listed=member[0] in self._listed, now=now
            )
            if state is None:
                report.add(member[0], outcome)
                continue
            written.append((outcome, state))
            removals += [removal] if removal else []
        if writes:  # the rows last: if this is cut off before, a repeated run finds them missing
            self._send(pack(removals, _AGAIN))
        states = [state for _, state in written]
        results = self._target.write(states) if writes else states
        for (outcome, state), result in zip(written, results, strict=True):
            if isinstance(result, TransientError) and not isinstance(result, MovedOn):
                raise result
            report.add(state.member[0], outcome if isinstance(result, MemberState) else Outcome.CHANGED)
