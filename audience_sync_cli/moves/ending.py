"""`audience-sync audiences end`: takes an audience off the list, empties it at Amazon, and proves that."""

from typing import TYPE_CHECKING, Annotated

import typer

from audience_sync.amazon_ads.advertiser_audiences.audience import audience_update
from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.members.member_state import LONGEST_JOB
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import ReportedAsUnfinished
from audience_sync_cli.frame.screen import counted, iso_time
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import HOUR, MINUTE
from audience_sync_cli.moves import waiting
from audience_sync_cli.moves.emptying import Emptying
from audience_sync_cli.moves.end_plan import EndPlan, planned_end, take_off
from audience_sync_cli.moves.end_proof import proof_of, show_proof, still_at_amazon
from audience_sync_cli.moves.filling import Filling, reading_rows
from audience_sync_cli.moves.interruption import saying_how_to_go_on
from audience_sync_cli.moves.move_plan import lapsed_by
from audience_sync_cli.moves.removal import WAITING, EndReport
from audience_sync_cli.moves.waiting import wait, wait_for_earlier_changes, wait_for_ingest
from audience_sync_cli.stack.change_sender import sender_for
from audience_sync_cli.stack.dataset_facts import is_dataset
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.listed import AUDIENCE, find
from audience_sync_cli.stack.member_counts import member_counts
from audience_sync_cli.stack.peeking import peek
from audience_sync_cli.stack.settling import outstanding

if TYPE_CHECKING:
    from audience_sync_cli.frame.operator_log import Line  # loads boto3, which completion must not

app = typer.Typer()
LOCAL_POLL = 5.0  # seconds between two readings of a local stack, where jobs take a second
_NOT_DELIVERED = "{} accepted since the end not delivered yet"
_REVOCATION = "Then its shares are revoked; nobody stays in their DSP audiences, since members are removed before."
NO_REVOCATION = "With a DSP account, Amazon ends no share: end them in the Amazon Ads console afterwards."


@command(app, "end", "audiences end 418273650912345678", "audiences end 418273650912345678 --no-wait --yes", asks=True)
def end(
    session: Session,
    audience: AUDIENCE,
    *,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Send the removals and end; repeat the command for the proof.")
    ] = False,
) -> None:
    """Take an audience off the list, remove all its members at Amazon, and prove that. Safe to repeat.

    Waits until the removals have taken effect: in the audience API, until Amazon's jobs have ended, which takes up to
    two days if members entered recently; in Ads Data Manager, for DataManagerSeconds. Then sets the time to live to 0,
    or revokes every share of a dataset, and prints the proof with a digest. If interrupted, repeat it to continue.

    After a move, ending the old audience first sends the new one any changes it still lacks, and ending the new one
    takes the move back.
    """
    plan = planned_end(session, find(session, audience, with_unlinked=True))
    known = plan.audience
    _confirm(session, plan)
    unreached = f"Events no longer reach {known.name or known.audience_id}."
    with (
        session.log.line("audiences end", audienceId=known.audience_id, changes=0) as line,
        session.log.published("audiences end", line),
        saying_how_to_go_on(session, line) as done,
    ):
        if known.unlinked_at is None:
            plan = take_off(session, plan)
            session.screen.say(unreached)
        done.append(unreached)
        _wait_for_sweep(session, plan.audience)
        report, left = _emptied(session, plan, line, done, waits=not no_wait)
        is_over = _is_over(session, plan.audience, report, left)
        shares = _close(session, plan.audience) if is_over else ()
    if not is_over:
        _show_unfinished(session, plan.audience, report, left)
        raise ReportedAsUnfinished
    parked, _ = peek(session, lambda each: each.audience_id == known.audience_id)
    proof = proof_of(plan.audience, report, parked, still_at_amazon(plan.audience, shares), left)
    show_proof(session.screen, plan.audience, report, proof)
    if parked:
        session.screen.note(
            f"{counted(len(parked), 'dead letter')} about it: redrive them and repeat this command, or delete them "
            f"with `{to_paste('parked drop', audience=known.audience_id)}`. Redriven later, they may add people.",
            style="yellow",
        )
    session.screen.result(proof)


def _confirm(session: Session, plan: EndPlan) -> None:
    screen, known = session.screen, plan.audience
    with screen.progress("counting members") as bar:
        (count,) = member_counts(session.member_scan, [known], bar.advance)
    if known.unlinked_at is not None and not count.inside:
        return  # an earlier run has asked
    parked, _ = peek(session, lambda each: each.audience_id == known.audience_id)
    if parked:
        some = ", ".join(parked[0].members[:3])
        screen.note(
            f"{counted(len(parked), 'dead letter')} about it, such as {parked[0].reason} for {some}: redrive or drop "
            f"them first, `{to_paste('parked list', audience=known.audience_id)}`.",
            style="yellow",
        )
    then = "Then its time to live becomes 0."
    if is_dataset(known):
        then = _REVOCATION if session.data_manager.can_erase else NO_REVOCATION
    screen.confirm(
        f"{counted(count.inside, 'member')} of {known.name or known.audience_id} ({known.audience_id}) will be removed "
        f"at Amazon. {plan.effects} {then} End it?"
    )


def _wait_for_sweep(session: Session, audience: Audience) -> None:
    """Wait until events reach the audience no more, and for changes that were accepted before."""
    if session.now() < (audience.unlinked_at or 0) / 1000 + waiting.LISTING:
        wait_for_ingest(session)
    wait_for_earlier_changes(session)


def _emptied(session: Session, plan: EndPlan, line: "Line", done: list[str], *, waits: bool) -> tuple[EndReport, int]:
    """Sweep over the rows until everybody is removed, or once. Returns also the changes not completed since the end."""
    while True:
        report, sent = _swept(session, plan, line)
        # A row is dated before its removal is first sent, which Amazon may not accept for a while.
        ended_at = (plan.audience.unlinked_at or 0) / 1000
        left = outstanding(session, _last_sent(plan.audience, report), since=ended_at)
        if not waits or _is_over(session, plan.audience, report, left):
            return report, left
        done[1:] = [f"{report.progress}."]
        if sent:
            wait_for_earlier_changes(session)
        left_seconds = min(max(report.until - session.now(), MINUTE), HOUR)
        label = report.progress if report.remaining else _NOT_DELIVERED.format(counted(left, "change"))
        wait(session, label, LOCAL_POLL if session.stack.local else left_seconds)


def _last_sent(audience: Audience, report: EndReport) -> float:
    """Return the epoch second by which the last change was accepted that may be about the audience."""
    return max((audience.unlinked_at or 0) / 1000 + waiting.LISTING, report.sent_by)


def _is_over(session: Session, audience: Audience, report: EndReport, left: int) -> bool:
    """Return whether the proof can be made: nobody remains, and no change may still be delivered."""
    may_complete = session.now() < _last_sent(audience, report) + 2 * LONGEST_JOB  # after that, the proof counts them
    return not report.remaining and not (left and may_complete)


def _swept(session: Session, plan: EndPlan, line: "Line") -> tuple[EndReport, int]:
    known, scan, filling = plan.audience, session.member_scan, None
    if plan.target:
        lapsed = lapsed_by(session, known)
        filling = Filling(scan, session.members, known, plan.target, session.policy, lapsed)
    waiting_enters = LOCAL_POLL if session.stack.local else WAITING
    emptying = Emptying(scan, known, filling, session.timings.of(known.destination), waiting_enters)
    with reading_rows(session, "reading members") as bar, sender_for(session, line) as sender:
        report = emptying.sweep(sender.take, session.now, bar.advance)
    if sender.confirmed:
        session.screen.say(f"{counted(sender.confirmed, 'change')} sent to the change queue.")
    return report, sender.confirmed


def _close(session: Session, known: Audience) -> tuple[Share, ...]:
    """Set the time to live to 0, or revoke every share. Returns the shares as they are then. Safe to repeat."""
    if not is_dataset(known):
        body = audience_update(known, {"ttl": 0, "renew": False}, max_cpm_cents=0).body
        session.amazon.update_audience(known.audience_id, body)
        return ()
    amazon = session.data_manager
    with explaining_denial(session):
        shares = tuple(amazon.shares(known.audience_id))
        if not amazon.can_erase:
            session.screen.note(NO_REVOCATION, style="yellow")
            return shares
        for each in shares:
            if not each.is_revoked:
                amazon.revoke_share(each.share_id)
        return tuple(amazon.shares(known.audience_id))


def _show_unfinished(session: Session, known: Audience, report: EndReport, left: int) -> None:
    session.screen.say(f"{report.progress}. Repeat the command for the proof.")
    if left:
        session.screen.say(f"{_NOT_DELIVERED.format(counted(left, 'change'))}.")
    session.screen.result(
        {
            "over": False,
            "audienceId": known.audience_id,
            "members": report.remaining,
            "membersRemoved": report.removed,
            "effectiveBy": iso_time(report.until * 1000) if report.until else None,
        }
    )
