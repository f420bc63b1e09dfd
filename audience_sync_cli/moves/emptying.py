"""Empties an audience that events no longer reach: sends an exit for each active member, and follows the removals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.errors import RowUnreadable
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import Audience, Member
from audience_sync_cli.moves.filling import Filling
from audience_sync_cli.moves.removal import WAITING, EndReport, Stage
from audience_sync_cli.moves.transfer import Transfer, ending_exit
from audience_sync_cli.stack.change_sender import Send


@dataclass(frozen=True, slots=True)
class Emptying:
    """The end of one audience."""

    scan: MembershipScan
    audience: Audience  # unlinked
    filling: Filling | None  # of the audience that it was moved to
    timing: Timing
    waiting: float = WAITING  # seconds for an enter that has waited for a removal to be delivered

    def sweep(self, send: Send, now: Callable[[], float], on_rows: Callable[[int], None]) -> EndReport:
        """Send what is missing, and count every row. Safe to repeat: each member's exit is the same each time.

        First the change that the other audience lacks, if the audience was moved: a row that an exit of the end has
        overwritten no longer shows it. Raises Unavailable; changes that were sent stay sent.
        """
        report, sent, ended_at = EndReport(self.waiting), 0, self.audience.unlinked_at or 0
        for page, unread in self._pages():
            for (_, member), error in unread.items():
                report.add_damaged(member, str(error))
            for state, transfer in page:
                changes = transfer.changes if transfer else ()
                if report.add(state, now(), self.timing).stage is Stage.IN:
                    changes = (*changes, ending_exit(state, self.audience, ended_at))
                for change in changes:
                    sent += 1
                    send(sent, change)
            on_rows(len(page) + len(unread))
        return report

    def _pages(self) -> Iterable[tuple[Sequence[tuple[MemberState, Transfer | None]], Mapping[Member, RowUnreadable]]]:
        if self.filling:
            return self.filling.transfers()
        pages = self.scan.state_pages(self.audience.audience_id)
        return (([(state, None) for state in page.stored], page.unread) for page in pages)
