"""Restores members: decides which rows of an older table come back, and with which identities.

An older table would bring back people who have asked to be forgotten since. So each row is checked against every
deletion notice in either table: notices kept for the person, and notices that the member's own rows mention. Identities
named up to the newest of them are not written.

The rule is `decide`, without I/O; `Restoration` applies it to whole tables.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, Protocol

from audience_sync.aws.membership_rows import KEEP_EXIT, StoredMember
from audience_sync.errors import MovedOn, TransientError
from audience_sync.member_state import Identity, MemberState
from audience_sync.member_step import MAX_KEPT
from audience_sync.membership import EVERY_AUDIENCE, Member, Version

MAX_AGE = KEEP_EXIT  # seconds; deletion notices are not kept longer


class Outcome(StrEnum):
    """The outcome of one row of the older table."""

    COPIED = "copied"
    ALREADY_THERE = "already there"  # the membership table has the same version
    NEWER_HERE = "newer here"  # it has a newer version
    CHANGED = "changed meanwhile"  # its version has changed since it was read
    EXPIRED = "expired"
    FORGOTTEN = "forgotten"  # everything in the row is older than a deletion notice
    UNLISTED = "unlisted"  # the audience is not in the audience table


class Decision(NamedTuple):
    """The outcome for one row, and the state to write if it is copied."""

    outcome: Outcome
    state: MemberState | None = None  # to write, on the revision of the row it replaces; with COPIED only
    is_stripped: bool = False  # a deletion notice has removed identities


def decide(
    stored: StoredMember, live: MemberState | None, notices: Iterable[MemberState], *, is_listed: bool, now: float
) -> Decision:
    """Decide about one row of the older table.

    `live` is the same member in the membership table, `notices` are those about the person in either table. A deletion
    notice itself counts as listed.
    """
    source = stored.state
    if not is_listed:
        return Decision(Outcome.UNLISTED)
    if stored.expires_at <= now:
        return Decision(Outcome.EXPIRED)
    if live is not None and live.version >= source.version:
        return Decision(Outcome.ALREADY_THERE if live.version == source.version else Outcome.NEWER_HERE)
    known = [source, *([live] if live else [])]
    forgotten_until = max(state.erase_until for state in chain(known, notices))
    identities = _newest_first(known)
    kept = tuple(each for each in identities if each.at > forgotten_until)
    restored = replace(
        source,
        identities=kept[:MAX_KEPT],
        left=_latest(state.left for state in known),
        ended=max(state.ended for state in known),
        erase_until=forgotten_until,
        entered=max(state.entered for state in known),
        exited=max(state.exited for state in known),
        enters_end=max(state.enters_end for state in known),
        removals_end=max(state.removals_end for state in known),
        late_jobs=tuple({job.job_id: job for state in known for job in state.late_jobs}.values()),
        revision=live.revision if live else 0,
    )
    is_stripped = len(kept) < len(identities)
    if _says_nothing(source, restored, forgotten_until, is_stripped=is_stripped):
        return Decision(Outcome.FORGOTTEN)
    return Decision(Outcome.COPIED, restored, is_stripped)


def _says_nothing(source: MemberState, restored: MemberState, forgotten_until: int, *, is_stripped: bool) -> bool:
    """Return whether a deletion notice leaves nothing of a row to restore."""
    if source.newest.exits:
        # The record of the notice itself holds no identity, and keeps older enters out.
        return source.erase_until < source.version.at <= forgotten_until
    # Amazon does not accept an enter without an identity.
    return source.version.at <= forgotten_until or (is_stripped and not restored.active)


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
    stripped: int = 0  # copied rows from which identities were removed

    def add(self, audience_id: str, outcome: Outcome) -> None:
        """Count one row."""
        self.outcomes.setdefault(audience_id, Counter())[outcome] += 1

    @property
    def total(self) -> Counter[Outcome]:
        """Row counts by outcome, over all audiences."""
        return sum(self.outcomes.values(), Counter())


class Restoration:
    """Copies an older table into the membership table, page by page. Repeating it copies what is still missing."""

    def __init__(self, source: OlderTable, source_members: Members, target: Members, listed: Collection[str]) -> None:
        """Set up with the older table (as pages and by member), the membership table and the ids of audiences."""
        self._source = source
        self._source_members = source_members
        self._target = target
        self._listed = {*listed, EVERY_AUDIENCE}

    def run(self, now: float, *, writes: bool, on_rows: Callable[[int], None]) -> RestorationReport:
        """Copy every row that may come back, or only count them. `on_rows` gets the number of rows of each page.

        Raises:
            Unavailable: a table does not answer. Copied rows stay.
            MisplacedRow: the older table has a different number of shards. Nothing more is copied.
        """
        report = RestorationReport()
        # Notices first: if this is cut off, the members restored by then can be checked against them.
        for page in chain(self._source.deletion_notices(), self._source.members()):
            self._copy(page, report, now, writes=writes)
            on_rows(len(page))
        return report

    def _copy(self, page: Sequence[StoredMember], report: RestorationReport, now: float, *, writes: bool) -> None:
        members = [each.state.member for each in page]
        people = {(EVERY_AUDIENCE, person) for _, person in members}
        live = self._target.read([*members, *people])
        noticed = self._source_members.read(people)
        copied: list[MemberState] = []
        for each, member in zip(page, members, strict=True):
            person = (EVERY_AUDIENCE, member[1])
            notices = [table[person] for table in (live, noticed) if person in table]
            decision = decide(each, live.get(member), notices, is_listed=member[0] in self._listed, now=now)
            if decision.state is None:
                report.add(member[0], decision.outcome)
                continue
            copied.append(decision.state)
            report.stripped += decision.is_stripped
        for state, result in zip(copied, self._target.write(copied) if writes else copied, strict=True):
            if isinstance(result, TransientError) and not isinstance(result, MovedOn):
                raise result
            report.add(state.member[0], Outcome.COPIED if isinstance(result, MemberState) else Outcome.CHANGED)
