"""`audience-sync audiences move`: an audience continues in Amazon's other API, without a re-sync in Segment."""

import time
from dataclasses import replace
from typing import Annotated, Any

import typer

from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.audiences.dataset_creation import NO_ERASURE
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import OperatorError, TryLater, sentence
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.moves.filling import Filling, FillReport, reading_rows
from audience_sync_cli.moves.interruption import saying_how_to_go_on
from audience_sync_cli.moves.move_plan import MoveOptions, MovePlan, planned
from audience_sync_cli.moves.waiting import wait_for_earlier_changes, wait_for_ingest
from audience_sync_cli.stack import dataset_facts
from audience_sync_cli.stack.change_sender import sender_for
from audience_sync_cli.stack.creating import audiences_of, datasets_of
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.estimate import estimate, show_estimate, workers_of
from audience_sync_cli.stack.listed import AUDIENCE
from audience_sync_cli.stack.presentation import target_label

app = typer.Typer()
CREATE_TIMEOUT = 60.0  # seconds for the new audience, and the shares of a dataset
_ALL = MoveOptions()


@command(
    app,
    "move",
    "audiences move big_spenders --to data-manager \\\n      --share advertiser=ENTITY7ABC3LMNOP,marketplace=US "
    "--dry-run",
    "audiences move big_spenders --to data-manager \\\n      --share advertiser=ENTITY7ABC3LMNOP,marketplace=US",
    "audiences move adm-ds-zd2vfqgkb8 --to audiences \\\n      --advertiser 590071284455661234",
    asks=True,
)
def move(
    session: Session,
    audience: AUDIENCE,
    options: MoveOptions = _ALL,
    *,
    to: Annotated[Api, typer.Option("--to", help="audiences or data-manager: Amazon's other API.", metavar="API")],
) -> None:
    """Move an audience to Amazon's other API, with its members. Safe to repeat: a repeated run continues.

    Creates an audience of the same name there, lets events reach both, and sends it every member from the stored rows,
    without a re-sync in Segment. Members without the consent that a dataset needs stay out. The old audience stays
    current, so that nobody who leaves remains in it, until `audiences end` empties it. The audience needs a computation
    key, through which events reach both, also those that name it by its id; if no event has one, link any unused key.
    For a new audience with other settings, create it first, without a key, and name it with --into.
    """
    plan = planned(session, audience, to, options)
    if options.dry_run:
        _show(session, plan, report := _counted(session, plan))
        session.screen.say("Nothing was changed.")
        session.screen.result(_result(session, plan, report, dryRun=True))
        return
    _confirm(session, plan)
    with (
        session.log.line("audiences move", audienceId=plan.source.audience_id, changes=0) as line,
        session.log.published("audiences move", line),
        saying_how_to_go_on(session, line) as done,
    ):
        target = _declared(session, plan)
        back = f"`{to_paste('audiences end', target.audience_id)}` takes the move back"
        done.append(f"Events reach both audiences; {back}.")
        wait_for_ingest(session)
        waiting = wait_for_earlier_changes(session)
        plan = replace(plan, target=target)
        with (
            reading_rows(session, "sending members") as bar,
            sender_for(session, line) as sender,
        ):
            report = _filling(session, plan).run(sender.take, bar.advance)
            line["leftOut"] = report.left_out.total()
        done.clear()
        _switch(session, plan.source, target)
    session.screen.say("")
    session.screen.table(("outcome", "members", "meaning"), report.rows())
    session.screen.say(
        f"{counted(report.changes, 'change')} sent to the change queue "
        f"({counted(report.changes - report.exits, 'enter')}, {counted(report.exits, 'exit')}); `audience-sync status` "
        "shows when they are delivered.",
        style="green",
    )
    _say_next(session, plan.source, target, waiting)
    session.screen.result(_result(session, plan, report, dryRun=False, waiting=waiting))


def _counted(session: Session, plan: MovePlan) -> FillReport:
    with reading_rows(session, "counting members") as bar:
        return _filling(session, plan).run(lambda *_: None, bar.advance)


def _filling(session: Session, plan: MovePlan) -> Filling:
    members = None if plan.is_new else session.members
    return Filling(session.member_scan, members, plan.source, plan.target, session.policy, plan.lapsed_by)


def _show(session: Session, plan: MovePlan, report: FillReport) -> None:
    screen, source, target = session.screen, plan.source, plan.target
    screen.facts(
        {
            "audience": f"{source.name} ({source.audience_id}), {target_label(source)}",
            "moves into": f"{'new' if plan.is_new else target.audience_id}, {target_label(target)}",
            "computation key": source.computation_key,
            "members": report.inside,
        }
    )
    if rows := report.rows():
        screen.say("")
        screen.table(("outcome", "members", "meaning"), rows)
    if not report.inside:
        screen.note("No member is stored yet: `audience-sync status` shows changes that wait.", style="yellow")
    elif report.is_empty:
        screen.note("The new audience would have no members.", style="yellow")
    show_estimate(screen, report.changes, workers_of(session))


def _confirm(session: Session, plan: MovePlan) -> None:
    screen, source, report = session.screen, plan.source, _counted(session, plan)
    if not screen.asks:
        if report.is_empty:
            why = ", ".join(f"{members:,} {reason}" for reason, members in report.left_out.most_common())
            raise OperatorError(
                f"All {counted(report.inside, 'member')} would stay out ({why}): the new audience would be empty.",
                "Run it without --yes to move it nevertheless. `--dry-run` changes nothing.",
            )
        return
    _show(session, plan, report)
    warning = ""
    if dataset_facts.is_dataset(plan.target) and not session.data_manager.can_erase:
        warning = f"{sentence(NO_ERASURE)} "
    screen.confirm(
        f"{warning}Events for {source.name or source.audience_id} will reach both audiences, until `audience-sync "
        "audiences end` empties the old one. Move it?"
    )


def _declared(session: Session, plan: MovePlan) -> Audience:
    """Create the target if there is none, and let events reach both audiences. Returns the target as listed.

    From then on, the end of the source sends to the target what it lacks, even if this move is interrupted.
    """
    target, key = _created(session, plan), plan.source.computation_key
    if target.computation_key != key:
        target = replace(target, computation_key=key, also=True)
        created = session.audiences.created(target.audience_id)
        session.audiences.put(target, created=round(session.now() * 1000) if created is None else created)
        session.screen.say(f"Events for {key} reach both audiences.")
    session.audiences.mark(plan.source.audience_id, also=plan.source.also, moved_to=target.audience_id)
    return target


def _created(session: Session, plan: MovePlan) -> Audience:
    if not plan.extras:
        return plan.target
    deadline, listed, shares = time.monotonic() + CREATE_TIMEOUT, plan.target, None
    with session.screen.progress("creating"):
        if dataset_facts.is_dataset(plan.target):
            with explaining_denial(session):
                made = datasets_of(session).create(plan.extras, deadline=deadline)
            listed, shares = made.listed, made.shares
        elif plan.is_new:
            listed = audiences_of(session).create(plan.extras, deadline=deadline).listed
    if plan.is_new:
        session.screen.say(f"Created {listed.audience_id}: {listed.name}, {target_label(listed)}.", style="green")
        if shares is not None:
            dataset_facts.report_shares(session, listed, shares)
    return listed


def _switch(session: Session, source: Audience, target: Audience) -> None:
    """Make the target the main audience of the key. Events reach both all the time. Raises TryLater if it was ended."""
    session.audiences.mark(source.audience_id, also=True, moved_to=target.audience_id)  # in between, both have `also`
    others = {source.audience_id, target.audience_id}
    listed = [each for each in session.audiences.all() if each.computation_key == source.computation_key]
    has_main = any(not each.also for each in listed if each.audience_id not in others)
    if not session.audiences.mark(target.audience_id, also=has_main, moved_to=None):
        session.audiences.mark(source.audience_id, also=has_main, moved_to=None)
        raise TryLater(
            f"{target.audience_id} was ended in the meantime, which takes this move back.",
            "Look at `audience-sync audiences list` before you repeat the command: it would create a new audience.",
        )


def _say_next(session: Session, source: Audience, target: Audience, waiting: int) -> None:
    screen = session.screen
    if waiting:
        screen.say(
            f"Repeat the command with {source.audience_id}, when the changes accepted earlier are delivered: it sends "
            "the difference."
        )
    screen.say(
        f"{source.name or source.audience_id} is now {target.audience_id}. Use it in your campaigns, and when they no "
        f"longer need the old one, run `{to_paste('audiences end', source.audience_id)}`. Until then, both are "
        f"current; `{to_paste('audiences end', target.audience_id)}` takes the move back."
    )


def _result(session: Session, plan: MovePlan, report: FillReport, **more: Any) -> dict[str, Any]:
    seconds, dollars = estimate(report.changes, workers_of(session))
    return {
        "audienceId": plan.source.audience_id,
        "targetId": None if plan.is_new else plan.target.audience_id,
        "api": api_of(plan.target.destination),
        **report.as_json(),
        "estimatedSeconds": seconds,
        "estimatedDollars": dollars,
        **more,
    }
