"""`audience-sync import`: fill an audience from a file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import typer

from audience_sync_cli.frame.reasons import listed
from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.unusable import looks_like_a_phone_number
from audience_sync_cli.member_files.import_plan import ImportOptions, Plan, planned
from audience_sync_cli.member_files.import_report import report_json, show_columns, show_preview, show_report
from audience_sync_cli.member_files.import_run import Report, run
from audience_sync_cli.member_files.import_state import Progress
from audience_sync_cli.member_files.lists import listed_rejects
from audience_sync_cli.member_files.member_file import MemberFile, Rows
from audience_sync_cli.member_files.options import FILE, FileOptions, forgotten_exits, stated_consent
from audience_sync_cli.member_files.unused_columns import note_unused, require_decision
from audience_sync_cli.stack.change_sender import Send, sender_for
from audience_sync_cli.stack.estimate import estimate, show_estimate, workers_of
from audience_sync_cli.stack.listed import AUDIENCE, find, note_others_of_key
from audience_sync_cli.stack.settling import follow_stack, raise_unless_settled

app = typer.Typer()
_AS_IT_IS = FileOptions()
_ALL = _WITHOUT_LIST = ImportOptions()


@command(
    app,
    "import",
    "import members.csv big_spenders --dry-run",
    "import members.csv big_spenders --rejects left-out.csv",
    "import members.csv big_spenders --yes --wait --timeout 3600",
    "import members.jsonl big_spenders --at 2026-03-04T09:00Z \\\n      --country US",
    asks=True,
)
def import_members(
    session: Session, file: FILE, audience: AUDIENCE, options: ImportOptions = _ALL, reading: FileOptions = _AS_IT_IS
) -> None:
    """Add the members of a file to an audience, as if Segment had sent them. Safe to repeat.

    Columns are recognized by name. Rows are checked, normalized and hashed on this machine, by the rules for events,
    and sent to the change queue. Their changes are dated when the file was written, so that members who have left
    since then stay out. Erased people are left out for 40 days.

    With --wait, the changes are followed to the end of Amazon's jobs. Exit code 1 if some are parked or refused, or a
    person is needed, 5 if some are still on their way at the timeout.
    """
    known, members = find(session, audience), MemberFile.named(file)
    note_others_of_key(session, known, audience)
    with members.rows() as rows:
        plan = planned(session, members, rows, known, options, reading)
        undecided = _show_plan(session, plan, rows, is_dated=bool(members.path or reading.at))
        total = None  # of standard input
        if members.path is not None:
            with session.screen.progress("counting rows"), members.rows() as all_rows:
                total = all_rows.count()
        if options.dry_run:
            _check(session, plan, rows, options, total)
        else:
            require_decision(session.screen, undecided)
            _confirm(session, plan, options, total, undecided)
            about = {"audienceId": plan.audience.audience_id}
            with session.log.published("import", about) if options.wait else nullcontext():
                _import(session, plan, rows, options, total)


def _show_plan(session: Session, plan: Plan, rows: Rows, *, is_dated: bool) -> list[str]:
    """Show it. Returns sentences about columns on which the operator has to decide."""
    screen, country = session.screen, plan.reading.country or plan.audience.country
    screen.facts(
        {
            "file": f"{plan.file.name}, {rows.kind}",
            "audience": f"{plan.audience.name} ({plan.audience.audience_id})",
            "dated": moment(plan.at) if is_dated else "now; the import needs --at",
            "country": f"{country} if a row names none" if country else "as the rows name it",
            **({"consent": f"{plan.reading.consent} if a row has no signal"} if plan.reading.consent else {}),
            **({"begins": f"after row {plan.after:,}, the last one that the queue confirmed"} if plan.resumes else {}),
        }
    )
    screen.say("")
    show_columns(screen, rows.columns, plan.reading)
    return note_unused(screen, plan.file, rows.columns, plan.reading)


def _confirm(session: Session, plan: Plan, options: ImportOptions, total: int | None, undecided: Sequence[str]) -> None:
    screen, name = session.screen, plan.audience.name or plan.audience.audience_id
    if warning := forgotten_exits(session, plan.at):
        screen.note(warning, style="yellow")
    if plan.begun and not plan.resumes:
        screen.note(f"An earlier run of this file stopped after row {plan.begun.row:,}; --resume continues from there.")
    rows, left_out = f"the rows of {plan.file.name}", ""
    if total is not None and screen.asks:
        with plan.file.rows() as all_rows:
            report = _checked(session, plan, all_rows, total)
        of = f"{report.changes:,} of " if report.left_out or report.denied else ""
        rows = f"{of}{counted(report.rows, 'row')} of {plan.file.name}"
        left_out = f" Left out: {reasons}." if (reasons := listed(report.left_out)) else ""
        if report.denied:
            left_out += f" Consent is denied in {counted(report.denied, 'row')}: these members leave every audience."
    left_out += "".join(f" {each}." for each in undecided)
    if stated := stated_consent(plan.reading):
        left_out += f" {stated}"
    if options.include_erased:
        left_out += " People who were erased are added again; the operator log records it."
    if plan.resumes:
        rows += f" from row {plan.after + 1:,} on"
    if plan.reading.exits:
        screen.confirm(
            f"Remove {rows} from {name}, dated {moment(plan.at)}?{left_out} "
            "Members who entered after that time stay in."
        )
    else:
        screen.confirm(
            f"Add {rows} to {name}, dated {moment(plan.at)}?{left_out} Members who left after that time stay out."
        )


def _checked(
    session: Session, plan: Plan, rows: Rows, total: int | None, options: ImportOptions = _WITHOUT_LIST
) -> Report:
    """Run every step except sending. Shows progress now and then: a bar costs more than a row."""
    with session.screen.progress("checking", total, unit="rows") as bar:
        return _run(plan, rows, options, lambda row, _: None if row % 1_000 else bar.move_to(row))


def _check(session: Session, plan: Plan, rows: Rows, options: ImportOptions, total: int | None) -> None:
    screen, report = session.screen, _checked(session, plan, rows, total, options)
    show_preview(screen, plan.row_changes(), report.first)
    _warn_about_ids(session, plan, report)
    show_report(screen, report, is_listed=bool(options.rejects))
    workers = workers_of(session)
    show_estimate(screen, report.changes, workers)
    if warning := forgotten_exits(session, plan.at):
        screen.say(warning, style="yellow")
    screen.say("Nothing was sent.")
    seconds, dollars = estimate(report.changes, workers)
    estimated = {"estimatedSeconds": seconds, "estimatedDollars": dollars}
    screen.result(_result(plan, report, dryRun=True) | estimated)


def _import(session: Session, plan: Plan, rows: Rows, options: ImportOptions, total: int | None) -> None:
    screen, read = session.screen, None
    if options.wait:
        from audience_sync_cli.member_files.import_wait import import_readings  # noqa: PLC0415 - loads boto3

        read = import_readings(session, plan.audience, session.now())
    with (
        session.log.line("import", audienceId=plan.audience.audience_id, changes=0, **plan.reading.stated) as line,
        screen.progress("sending", total, unit="rows") as bar,
        _kept(session, plan) as keep,
    ):
        if options.include_erased:
            line["erased"] = "included"

        def confirmed(row: int, _changes: int) -> None:
            keep(row)
            bar.move_to(row)

        with sender_for(session, line, confirmed) as sender:
            report = _run(plan, rows, options, sender.take)
            line["leftOut"] = report.left_out.total()
    show_report(screen, report, sender.messages, is_listed=bool(options.rejects))
    sent = report.changes + report.denied
    screen.say(f"{counted(sent, 'change')} sent to the change queue.", style="green" if sent else "yellow")
    end = follow_stack(session, options.timeout, read) if read else None
    if sent and end is None:
        screen.say("`audience-sync status` shows when they are delivered.")
    waited = end.as_json() if end else None
    screen.result(_result(plan, report, messages=sender.messages, dryRun=False, end=waited))
    if end:
        raise_unless_settled(end)


def _run(plan: Plan, rows: Rows, options: ImportOptions, send: Send) -> Report:
    changes = plan.row_changes()
    with listed_rejects(options.rejects, after=plan.after) as reject:
        return run(rows.read([*plan.reading.columns.values()]), changes, send, reject, after=plan.after)


@contextmanager
def _kept(session: Session, plan: Plan) -> Iterator[Callable[[int], None]]:
    """Store the progress during a run; delete it at the end, or say how to resume if the run was interrupted."""
    last = plan.after

    def keep(row: int) -> None:
        nonlocal last
        last = row
        if plan.state:
            plan.state.save(Progress(row, plan.at))

    try:
        yield keep
    except BaseException:
        if plan.state:
            sent = f"All rows up to {last:,} are sent" if last else "No row is confirmed"
            session.screen.note(f"{sent}. To continue, repeat the command{' with --resume' if last else ''}.")
        raise
    if plan.state:
        plan.state.delete()


def _warn_about_ids(session: Session, plan: Plan, report: Report) -> None:
    place = plan.row_changes().fields.index("external_user_id")
    if not plan.reading.hash_ids and any(
        each.values and looks_like_a_phone_number(each.values[place]) for each in report.first
    ):
        session.screen.note(
            "A member id looks like a phone number. It is stored and sent to Amazon in plain text. If it is one, map "
            "it with @sha256, and hash it here as your mapping does, with --hash-ids.",
            style="yellow",
        )


def _result(plan: Plan, report: Report, **more: Any) -> dict[str, Any]:
    return {
        "file": plan.file.name,
        "audienceId": plan.audience.audience_id,
        "columns": dict(plan.reading.columns),
        "action": "exit" if plan.reading.exits else "enter",
        "at": iso_time(plan.at),
        "consent": plan.reading.consent,
        "resumedAfter": plan.after or None,
        **report_json(report),
        **more,
    }
