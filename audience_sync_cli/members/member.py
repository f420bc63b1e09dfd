"""`audience-sync member show`: the stored data of one person, in every audience."""

from typing import Any

import typer

from audience_sync.amazon_ads.destination import name_of_api
from audience_sync.aws.membership_rows import expires_at
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import AlreadyReported, NotThere
from audience_sync_cli.frame.files import make_output_private
from audience_sync_cli.frame.operator_log import checked_request
from audience_sync_cli.frame.screen import Screen, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.members.id_list import MEMBER_ID, REQUEST, require_id
from audience_sync_cli.members.people import Known, about_damaged, people
from audience_sync_cli.stack.dead_events import DeadEvents, is_searchable, unsearchable
from audience_sync_cli.stack.member_facts import enter_again_at, last_sent, removal_again_at, state_facts
from audience_sync_cli.stack.peeking import peek, with_erased

app = typer.Typer()


@command(app, "show", "member show cust_1001", "member show cust_1001 --request DSR-17")
def show(session: Session, member: MEMBER_ID, *, request: REQUEST = "") -> None:
    """Show the stored data of one person: the row in each audience, unlinked ones included, and dead letters.

    A row has the newest change, consent, and identifiers as hashes. Active identifiers are the person's at Amazon.
    Identifiers to remove may remain at Amazon from before the person left.
    """
    require_id(member)
    unread: list[str] = []
    with session.log.line("member show", people=1, **checked_request(request)):
        _show(session, member, unread)
    if unread:
        raise AlreadyReported


def _show(session: Session, member: str, unread: list[str]) -> None:
    """Show what is stored of a person, and add what cannot be read to `unread`, in sentences. Raises NotThere."""
    (known,) = people(session, [member])
    unread += about_damaged(known.damaged)
    found = known.parked
    if session.stack.event_queue:
        events = peek(
            session, lambda each: each.is_about({member}) or not is_searchable(each), DeadEvents.of(session.stack)
        ).found
        unread += unsearchable(events)
        found = [*found, *(each for each in events if each.is_about({member}))]
    if not known.rows and known.erasure is None and not found and not unread:
        raise NotThere(
            "Nothing is stored for that external user id.",
            " ".join(["`audience-sync member find` searches by e-mail address or phone number.", *known.caveats]),
        )
    parked = [each.as_json() for each in with_erased(session, found)]
    document = person_json(known) | {"caveats": list(known.caveats), "parked": parked}
    facts = {
        "member": member,
        "deletion notice of": document["deletionNoticeAt"],
        "consent denied at": document["consentDeniedAt"],
        "dead letters": ", ".join(sorted({each.reason for each in found})),
    }
    make_output_private()
    session.screen.facts({name: value for name, value in facts.items() if value})
    for audience, state in known.rows:
        _show_row(session.screen, audience, state)
    for each in known.caveats:
        session.screen.note(each, style="yellow")
    for each in unread:
        session.screen.note(each, style="red")
    session.screen.result(document)


def _show_row(screen: Screen, audience: Audience, state: MemberState) -> None:
    unlinked = "" if audience.unlinked_at is None else f", unlinked {moment(audience.unlinked_at)}"
    facts = {"audience": f"{audience.name} ({audience.audience_id}){unlinked}", **state_facts(state)}
    screen.say("")
    screen.facts({name: value for name, value in facts.items() if value})
    for label, identities in (("active", state.active), ("to remove", state.to_remove)):
        if identities:
            screen.say("")
            hashes = [pair for identity in identities for pair in sorted(identity.digests.items())]
            screen.table((label, "SHA-256 as sent"), hashes)  # fits 80 columns, as it must


def person_json(known: Known) -> dict[str, Any]:
    """Return a person's rows for scripts, with the hashes, and the newest deletion notice or denied consent."""
    newest = known.erasure.everywhere.newest if known.erasure else None
    denied = newest is not None and newest.denies_consent
    at = iso_time(newest.at) if newest else None
    return {
        "member": known.member,
        "audiences": [
            {
                "audienceId": audience.audience_id,
                "name": audience.name,
                "api": name_of_api(audience.destination),
                "filledBy": audience.filled_by,
                "unlinkedAt": iso_time(audience.unlinked_at),
                "row": _state_json(state),
            }
            for audience, state in known.rows
        ],
        "deletionNoticeAt": None if denied else at,
        "consentDeniedAt": at if denied else None,
    }


def _state_json(state: MemberState) -> dict[str, Any]:
    return {
        "action": "DELETE" if state.newest.exits else "CREATE",
        "at": iso_time(state.newest.at),
        "messageId": state.newest.message_id,
        "countryCode": state.newest.country,
        "userConsent": state.newest.consent,
        "lastSentAt": iso_time(last_sent(state)),
        "active": [each.digests for each in state.active],
        "toRemove": [each.digests for each in state.to_remove],
        "erase": state.must_erase,
        "lateJobs": [job.job_id for job in state.late_jobs],
        "enterAgainAt": iso_time(enter_again_at(state)),
        "removalAgainAt": iso_time(removal_again_at(state)),
        "failedJobs": state.failed_jobs,
        "keptUntil": iso_time(expires_at(state) * 1000),
    }
