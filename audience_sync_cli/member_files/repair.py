"""Repairs an audience from a file: adds missing members, removes surplus members and members who deny consent.

All changes are dated as the file: newer changes from Segment win, even while they are still queued.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import typer

from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.destination import destination_of_changes
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.reasons import Reason
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.reasons import listed
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.member_files.comparison import Comparison
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.options import forgotten_exits, require_remembered_exits, stated_consent
from audience_sync_cli.member_files.row_changes import Reading, RowChanges, numbered_ids
from audience_sync_cli.stack.change_sender import sender_for

_KINDS = ("missing", "surplus", "denied")


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """Differences to repair."""

    repair: Annotated[
        str,
        typer.Option(
            help="Repair these differences, such as missing,surplus: missing adds members and identifiers of the file, "
            "surplus removes members who are not in it, denied removes members whose rows deny consent.",
            metavar="KINDS",
        ),
    ] = ""
    ignore_rows_without_id: Annotated[
        bool,
        typer.Option(
            "--ignore-rows-without-id",
            help="Remove surplus members even if they could be in rows without a valid member id.",
        ),
    ] = False

    def includes(self, kind: str) -> bool:
        """Return whether a kind of difference is to be repaired."""
        return kind in self.repair.split(",")

    def check(self) -> None:
        """Check that options are complete. Raises WrongUsage."""
        if self.repair and not set(self.repair.split(",")) <= {*_KINDS}:
            raise WrongUsage(f"--repair is not some of {', '.join(_KINDS)}.", "For instance: --repair missing,surplus.")
        if self.ignore_rows_without_id and not self.includes("surplus"):
            raise WrongUsage("--ignore-rows-without-id needs surplus.", "Add it to --repair.")

    def check_ids(self, rows_without_id: int) -> None:
        """Check that no surplus member could be in a row without a member id. Raises WrongUsage."""
        if self.includes("surplus") and rows_without_id and not self.ignore_rows_without_id:
            raise WrongUsage(
                f"No surplus member can be removed: {without_id(rows_without_id)}.",
                "Correct the rows (`audience-sync import --dry-run` lists them), or add --ignore-rows-without-id.",
            )


def without_id(rows: int) -> str:
    """Return why surplus members may be in the file after all."""
    have, them = ("has", "it") if rows == 1 else ("have", "them")
    return f"{counted(rows, 'row')} of the file {have} no valid member id: any member could be in {them}"


def changes_as_of(session: Session, reading: Reading, audience: Audience, at: int) -> RowChanges:
    """Return the converter of rows to changes dated `at`, in epoch milliseconds."""
    return RowChanges(reading, audience, session.policy, numbered_ids(f"compare-{at}"), at=at)


def send_repair(
    session: Session,
    file: MemberFile,
    reading: Reading,
    audience: Audience,
    comparison: Comparison,
    options: RepairOptions,
) -> int:
    """Confirm, then send the changes of the repair. Returns their number. Raises NotConfirmed."""
    screen, removals = session.screen, _removals(file, comparison, options)
    enters = comparison.enters if options.includes("missing") else set()
    exits = [*chain.from_iterable(removals.values())]
    if not enters and not exits:
        screen.say("There is nothing to repair.")
        return 0
    if enters:
        require_remembered_exits(session, comparison.at)
    if warning := forgotten_exits(session, comparison.at):
        screen.note(warning, style="yellow")
    question = f"{_described(file, audience, len(enters), comparison.inside, removals)}, dated {moment(comparison.at)}?"
    asked = [question, *(_not_removed(comparison, options) if exits else ()), stated_consent(reading)]
    screen.confirm(" ".join(filter(None, asked)))
    with (
        session.log.line("compare --repair", audienceId=audience.audience_id, changes=0) as line,
        screen.progress("sending", len(enters) + len(exits)) as bar,
        sender_for(session, line, lambda _row, sent: bar.advance(sent)) as sender,
        file.rows() as rows,
    ):
        line.update(reading.stated)
        changes = changes_as_of(session, reading, audience, comparison.at)
        for row, _, change in changes.outcomes(rows.read([*reading.columns.values()])):
            if isinstance(change, MembershipChange) and change.member[1] in enters:
                sender.take(row, change)
        for number, member in enumerate(exits, start=1):
            sender.take(number, _exit(audience, member, comparison.at, number))
    screen.say(f"{counted(sender.confirmed, 'change')} sent to the change queue.", style="green")
    screen.say("Compare again when `audience-sync status` says that they are completed.")
    return sender.confirmed


def _exit(audience: Audience, member: str, at: int, number: int) -> MembershipChange:
    """Return the exit of a member; the worker adds identifiers, and for a dataset consent, from the member's row."""
    destination = destination_of_changes(audience)
    message_id, consent = f"compare-{at}-surplus-{number}", consent_of_exit({}, destination)
    return MembershipChange(audience.audience_id, member, destination, at, message_id, True, consent=consent)


def _removals(file: MemberFile, comparison: Comparison, options: RepairOptions) -> dict[str, list[str]]:
    asked_for = {
        f"not in {file.name}": comparison.surplus if options.includes("surplus") else [],
        "with consent denied": comparison.denied if options.includes("denied") else [],
    }
    return {why: members for why, members in asked_for.items() if members}


def _described(file: MemberFile, audience: Audience, enters: int, inside: int, removals: dict[str, list[str]]) -> str:
    """Return the question to confirm; with the size of the audience, so that a wrong file is noticed."""
    exits, members = sum(map(len, removals.values())), counted(inside, "member")
    reasons = ", ".join(f"{len(those):,} {why}" for why, those in removals.items())
    if not enters:
        return f"Remove {exits:,} of the {members} of {audience.name}: {reasons}"
    removed = f", and remove {exits:,} of its {members}: {reasons}" if exits else ""
    return f"Add {counted(enters, 'member')} of {file.name} to {audience.name}{removed}"


def _not_removed(comparison: Comparison, options: RepairOptions) -> Iterator[str]:
    """Yield a sentence about members of the file who stay in, and one about possible mistakes."""
    kept = comparison.members_left_out.copy()
    denied = kept.pop(Reason.CONSENT_DENIED, 0)
    stay = [f"{counted(kept.total(), 'member')} with unusable rows ({listed(kept)})"] if kept else []
    if denied and not options.includes("denied"):
        stay.append(f"{counted(denied, 'member')} with consent denied (--repair denied removes them)")
    if stay:
        yield f"Not removed: {', '.join(stay)}."
    if options.includes("surplus") and comparison.rows_without_id:
        yield f"{without_id(comparison.rows_without_id)}."
