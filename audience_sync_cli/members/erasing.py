"""`audience-sync member erase`: removes a person, or everybody on a list, from every audience."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import batched
from typing import Any

import typer

from audience_sync.amazon_ads.timings import Timings
from audience_sync.members.erasure.status import Missing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import MembershipChange
from audience_sync_cli.frame.errors import AlreadyReported, ReportedAsNotThere
from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.members.erasure_report import WITHOUT_DROPPING
from audience_sync_cli.members.id_list import FILE, MEMBERS, SHOWN, listed
from audience_sync_cli.members.people import Known, about_damaged, label, people
from audience_sync_cli.stack.deletion_notices import queue_deletion_notices

app = typer.Typer()
AT_ONCE = 100  # notices of one request
_NEEDS_ANOTHER = (Missing.REJECTED, Missing.END, Missing.ROW, Missing.NO_DELETION)  # notice: runbook, ErasuresOverdue


@command(app, "erase", "member erase cust_2001 web_77", "member erase --file leavers.txt", asks=True)
def erase(session: Session, members: MEMBERS = None, file: FILE = None) -> None:
    """Remove one person, all ids of a person, or everybody on a list, from every audience; delete the stored hashes.

    Equivalent to Segment's deletion notice: the worker removes the person from each audience that has a row for them,
    unlinked ones included, and older events are ignored from then on. Hashes are deleted when the Amazon job of the
    last removal has succeeded: up to 36 hours later if the person entered recently. For an id in no audience and no
    dead letter, nothing is sent: exit code 3.

    A row that cannot be read keeps its own audience open: it is named, with exit code 1. The deletion is queued, and
    the other audiences get it.

    It can be repeated, also after an interruption: people whose erasure is recorded are left out, unless they have
    entered since or need another notice. Unknown ids are listed.
    """
    ids = listed(session.screen, members or (), file)
    found = list(people(session, ids.ids))
    damaged = about_damaged(row for each in found for row in each.damaged)
    unknown = [each.member for each in found if each.is_unknown]
    due = [each for each in found if _needs_notice(each)]
    recorded = len(found) - len(unknown) - len(due)
    if unknown:
        session.screen.table(("unknown ids, not sent",), [(each,) for each in unknown[:SHOWN]])
        session.screen.say("Check that these are the mapping's external user ids. A waiting change is not known yet.")
    for sentence in (caveats := found[0].caveats):
        session.screen.note(sentence, style="yellow")
    session.screen.say(
        f"{counted(len(found), 'id')}: {len(due):,} to erase, {recorded:,} with an erasure on record, "
        f"{len(unknown):,} unknown{', of which --json lists all' if len(unknown) > SHOWN else ''}."
    )
    notices: list[MembershipChange] = []
    if due:
        if len(due) <= SHOWN:
            session.screen.table(("external user id", "audiences", "identifiers"), _held(due))
        session.screen.confirm(
            f"Erase {due[0].member if len(due) == 1 else f'{len(due):,} people'} from every audience?"
        )
        notices = _queue_list(session, due)
    counts = {"listed": len(found), "repeatedIds": ids.repeated, "emptyLines": ids.empty, "sent": len(due)}
    rest = {"alreadyRecorded": recorded, "unknown": unknown, "caveats": list(caveats), "unread": damaged}
    session.screen.result(counts | rest | _what_follows(session, due, notices))
    for each in damaged:
        session.screen.note(each, style="red")
    if damaged:
        session.screen.note(
            "There, the deletion waits until the row is restored or deleted. Audience * is the record of the deletion "
            "itself: the deletion waits in every audience."
        )
        raise AlreadyReported
    if unknown:
        raise ReportedAsNotThere


def _needs_notice(person: Known) -> bool:
    """Return whether a notice is to be sent: none is on record, or the recorded one is not enough any more."""
    if person.erasure is None:
        return bool(person.rows or person.parked or person.damaged)
    audiences = person.erasure.erasure.audiences.values()
    return any(each.entered_again or each.missing in _NEEDS_ANOTHER for each in audiences)


def _queue_list(session: Session, due: Sequence[Known]) -> list[MembershipChange]:
    sent: list[MembershipChange] = []
    with (
        session.log.line("member erase", changes=0) as line,
        session.screen.progress("erasing", len(due), unit="people") as bar,
    ):
        try:
            for some in batched(due, AT_ONCE):
                sent += queue_deletion_notices(session, [each.member for each in some])
                line["changes"] = len(sent)
                bar.advance(len(some))
        finally:
            if len(sent) < len(due):
                session.screen.note(f"{len(sent):,} of {len(due):,} are queued. To erase the others, run it again.")
    return sent


def _what_follows(session: Session, erased: Sequence[Known], notices: Sequence[MembershipChange]) -> dict[str, Any]:
    """Print when the hashes are deleted, and where some remain. Returns both for the JSON document."""
    last_removal = _last_removal(erased, notices[-1], session.timings) if notices else None
    if last_removal:
        session.screen.say(
            f"The deletion is queued. The hashes stay until a last removal at {moment(last_removal * 1000)} at the "
            "latest: an upload made when the person entered may take effect until then."
        )
    elif any(each.rows for each in erased):
        session.screen.say(
            "The deletion is queued. Stored hashes are deleted when Amazon's job with the removal has succeeded."
        )
    elif any(each.damaged for each in erased):
        session.screen.say("The deletion is queued.")
    parked = {message.message_id for each in erased for message in each.parked}
    if parked:
        session.screen.say(
            f"Hashes remain in {counted(len(parked), 'dead letter')}. After the worker has recorded the deletion, "
            "usually within a minute, `audience-sync parked drop --erased` deletes them."
        )
    if notices:
        gone = moment(notices[-1].at + WITHOUT_DROPPING * 1000)
        session.screen.say(f"Dead letters from before are gone by {gone}, also without dropping them.")
    return {"deadLetters": len(parked), "lastRemovalAt": iso_time(last_removal and last_removal * 1000)}


def _last_removal(erased: Iterable[Known], notice: MembershipChange, timings: Timings) -> float | None:
    """Return the time of the last removal before hashes are deleted, in epoch seconds; None if it is the first one.

    Simulates the worker's steps. The jobs of a local stack end sooner.
    """
    last = None
    for each in (state for person in erased for _, state in person.rows):
        timing = timings.of(each.newest.destination)
        exit_ = replace(notice, audience_id=each.member[0])
        after = apply_changes(each, [exit_], now=notice.at // 1000, timing=timing).state
        if after.removal_due(timing):
            last = max(last or 0.0, after.last_removal(timing))
    return last


def _held(due: Sequence[Known]) -> Iterator[tuple[str, str, str]]:
    """Yield of each id the audiences and identifiers, and other ids with the same address or number."""
    held = {
        person.member: {pair for _, state in person.rows for each in state.identities for pair in each.digests.items()}
        for person in due
    }
    for person in due:
        own = held[person.member]
        matching = {pair for pair in own if pair[0] in ("email", "phone")}
        same = [f"shared with {member}" for member in held if member != person.member and held[member] & matching]
        names = sorted({name for name, _ in own})
        yield person.member, ", ".join(label(each) for each, _ in person.rows), ", ".join([*names, *same])
