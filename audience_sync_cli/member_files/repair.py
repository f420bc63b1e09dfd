"""Makes an audience as a file has it: enters of who is missing, exits of who is surplus.

All of it is dated as the file is: what Segment has sent since is newer, and stays, also where it is still in the queue.
"""

from audience_sync.amazon_ads.record import audience_record
from audience_sync.clock import Clock
from audience_sync.membership import Audience, MembershipChange
from audience_sync_cli.member_files.change_sender import ChangeSender, counted_in_cloudwatch
from audience_sync_cli.member_files.comparison import Comparison
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.options import forgotten_exits, require_remembered_exits
from audience_sync_cli.member_files.row_changes import Reading, RowChanges
from audience_sync_cli.screen import counted, moment
from audience_sync_cli.session import Session


def changes_as_of(session: Session, reading: Reading, audience: Audience, at: int) -> RowChanges:
    """Return what makes a change of each row, dated `at`, in epoch milliseconds."""
    return RowChanges(reading, audience, session.policy, lambda row, _: f"compare-{at}-{row}", at=at)


def send_repair(
    session: Session, file: MemberFile, reading: Reading, audience: Audience, comparison: Comparison, *, surplus: bool
) -> int:
    """Ask, and send what makes the audience as the file has it. Returns the number of changes. Raises NotConfirmed."""
    screen, enters, exits = session.screen, comparison.enters, comparison.surplus if surplus else []
    if not enters and not exits:
        screen.say("There is nothing to repair.")
        return 0
    if enters:
        require_remembered_exits(session, comparison.at)
    if warning := forgotten_exits(session, comparison.at):
        screen.note(warning, style="yellow")
    screen.confirm(f"{_described(file, audience, comparison, len(exits))}, dated {moment(comparison.at)}?")
    with (
        session.log.line("compare --repair", audienceId=audience.audience_id, changes=0) as line,
        screen.progress("sending", len(enters) + len(exits)) as bar,
    ):

        def confirmed(_row: int, changes: int) -> None:
            bar.advance(changes)
            line["changes"] = sender.confirmed

        count = counted_in_cloudwatch(session.stack)
        sender = ChangeSender(session.queue("ChangeQueue"), count, Clock(session.now), confirmed)
        with sender, file.rows() as rows:
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
    """Return the exit of a member; the worker adds the identifiers that the row has."""
    record = audience_record(member, "DELETE", [], None, {})
    return MembershipChange(
        audience.audience_id,
        audience.connection_id,
        at,
        f"compare-{at}-surplus-{number}",
        record,
        target_types=audience.target_types,
    )


def _described(file: MemberFile, audience: Audience, comparison: Comparison, exits: int) -> str:
    """Return what is about to be sent; with the size of the audience, so that a wrong file is noticed."""
    inside = counted(comparison.inside, "member")
    if not comparison.enters:
        return f"Remove {exits:,} of the {inside} of {audience.name}, who are not in {file.name}"
    removed = f", and remove {exits:,} of its {inside}, who are not in the file" if exits else ""
    return f"Add {counted(len(comparison.enters), 'member')} of {file.name} to {audience.name}{removed}"
