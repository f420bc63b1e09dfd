"""Reads the members of an audience, and sends those changes that the audience it moves to lacks."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.errors import RowUnreadable
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Member, Version
from audience_sync_cli.frame.screen import Bar, camel_case
from audience_sync_cli.frame.session import Session
from audience_sync_cli.moves.transfer import Effect, LeftOut, Transfer, is_ended, transfer
from audience_sync_cli.stack.change_sender import Send

_INSIDE = (Effect.ENTERS, Effect.COMPLETED, Effect.THERE, Effect.LEFT_OUT)
_MEANING = {
    Effect.ENTERS: "in the audience; in the target not at all, or with an older entry",
    Effect.COMPLETED: "in both, with an identifier that the target lacks",
    Effect.THERE: "in both, or the target knows something newer",
    Effect.LEAVES: "in the target, left the audience since",
    Effect.LEFT: "left the audience; remembered, because older events may still arrive",
    Effect.FORGOTTEN: "left both",
}


@dataclass
class FillReport:
    """The outcomes for the rows of an audience."""

    outcomes: Counter[Effect] = field(default_factory=Counter)  # rows
    left_out: Counter[LeftOut] = field(default_factory=Counter)  # active members, and those whose row is damaged
    changes: int = 0  # to send
    exits: int = 0  # of these

    def add(self, found: Transfer) -> None:
        """Add one row."""
        self.outcomes[found.outcome] += 1
        self.changes += len(found.changes)
        self.exits += sum(each.exits for each in found.changes)
        if found.left_out:
            self.left_out[found.left_out] += 1

    def add_damaged(self, rows: int) -> None:
        """Add rows that cannot be read; whether their members are in the audience is not known."""
        self.outcomes[Effect.LEFT_OUT] += rows
        self.left_out += Counter({LeftOut.ROW_UNREADABLE: rows})

    @property
    def inside(self) -> int:
        """Number of members in the audience."""
        return sum(self.outcomes[each] for each in _INSIDE)

    @property
    def is_empty(self) -> bool:
        """Whether there are members, and all stay out."""
        return 0 < self.inside == self.left_out.total()

    def rows(self) -> list[tuple[str, int, str]]:
        """Return the rows of a table for people: outcome, members, meaning."""
        shown = [(each, self.outcomes[each], meaning) for each, meaning in _MEANING.items() if self.outcomes[each]]
        return [*shown, *((Effect.LEFT_OUT, members, reason) for reason, members in self.left_out.most_common())]

    def as_json(self) -> dict[str, object]:
        """Return the counts for scripts."""
        return {
            "members": self.inside,
            "outcomes": {camel_case(each): self.outcomes[each] for each in Effect},
            "leftOut": {camel_case(each.name.lower()): self.left_out[each] for each in LeftOut if self.left_out[each]},
            "changes": self.changes,
        }


def reading_rows(session: Session, label: str) -> AbstractContextManager[Bar]:
    """Show progress over all rows of the membership table."""
    return session.screen.progress(label, session.member_scan.size().rows or None, unit="rows")


@dataclass(frozen=True, slots=True)
class Filling:
    """The move of an audience's members."""

    scan: MembershipScan
    members: MembershipTable | None  # None if the target is new
    source: Audience
    target: Audience
    policy: Policy
    lapsed_by: float  # epoch seconds; Amazon has dropped members who were last sent by then

    def transfers(self) -> Iterator[tuple[list[tuple[MemberState, Transfer]], Mapping[Member, RowUnreadable]]]:
        """Yield each row of the audience with its outcome, and the damaged rows, page by page. Raises Unavailable."""
        for read in self.scan.state_pages(self.source.audience_id):
            page = read.stored
            # For a member whom an end has removed, nothing depends on other rows.
            people = [state.member[1] for state in page if not is_ended(state)]
            known = self._read(self.target.audience_id, people)
            erased = [state.member[1] for state in page if state.erase_until and not is_ended(state)]
            found = self._read(EVERY_AUDIENCE, [person for person in erased if person not in known])
            notices = {person: state.version for person, state in found.items()}
            yield [(state, self._transfer(state, known, notices)) for state in page], read.unread

    def _read(self, audience_id: str, people: Sequence[str]) -> dict[str, MemberState]:
        if not (self.members and people):
            return {}
        found, _ = self.members.readable([(audience_id, person) for person in people])  # the worker waits for others
        return {member[1]: state for member, state in found.items()}

    def _transfer(
        self, state: MemberState, known: Mapping[str, MemberState], notices: Mapping[str, Version]
    ) -> Transfer:
        row, notice = known.get(state.member[1]), notices.get(state.member[1])
        return transfer(state, row, self.target, self.policy, lapsed_by=self.lapsed_by, notice=notice)

    def run(self, send: Send, on_rows: Callable[[int], None]) -> FillReport:
        """Send every change. Raises Unavailable; changes that were sent stay sent."""
        report = FillReport()
        for page, unread in self.transfers():
            report.add_damaged(len(unread))
            for _, found in page:
                report.add(found)
                for change in found.changes:
                    send(report.changes, change)
            on_rows(len(page) + len(unread))
        return report
