"""`audience-sync mappings try`: the record of an event, and its derivation. Sends nothing."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.errors import InvalidMapping, InvalidRequest
from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync.ingest.record_rules import AudienceLookup, Policy
from audience_sync.members.membership import Audience
from audience_sync.members.messages import record_as_json
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.request_body import elements
from audience_sync.segment.trigger import compile_trigger
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError
from audience_sync_cli.frame.reasons import rejection_table
from audience_sync_cli.frame.samples import SAMPLES, sample
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.unusable import looks_like_a_phone_number
from audience_sync_cli.mappings.explanation import MAX_SHOWN, Explanation
from audience_sync_cli.mappings.files import read_mappings
from audience_sync_cli.mappings.trace import EventTrace, Only, Surroundings, trace
from audience_sync_cli.mappings.warnings import id_warning
from audience_sync_cli.stack.presentation import change_json

app = typer.Typer()
_PLAIN_TEXT = "The output contains personal data in plain text. Keep it out of tickets and logs."


@command(app, "try", "mappings try event.json", "mappings try event.json --mappings mappings.json")
def try_(
    session: Session,
    event: Annotated[
        Path,
        typer.Argument(
            help="Request body from Segment, such as a file in events/segment/.", exists=True, dir_okay=False
        ),
    ],
    *,
    mappings: Annotated[
        Path | None, typer.Option(help="Use this file instead of the active mappings.", exists=True, dir_okay=False)
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show the derivation: triggers, the source of each field, and why fields are left out."
        ),
    ] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="With --explain: show values in plain text. They are personal data.")
    ] = False,
) -> None:
    """Show the record of an event, with hashed identifiers, or why it is rejected. Sends nothing.

    With --explain also the derivation: matching triggers, the source of each field, its normalized value, and why
    fields are left out. Values are masked: x stands for a lowercase letter, X for an uppercase letter, 9 for a digit, *
    for anything beyond ASCII.
    """
    listing = AudienceListing(session.audiences, time.monotonic)  # as in ingest
    document = json.dumps(read_mappings(mappings)) if mappings else listing.mappings()
    audiences = listing.for_request()
    body, now, policy = event.read_bytes(), round(session.now() * 1000), session.policy
    try:
        outcome = changes_from(body, mappings=compiled(document), audiences=audiences, now=now, policy=policy)
    except InvalidRequest as error:
        raise OperatorError(f"{error}.", "Sent by Segment, it would get a 400 or 413 and not be sent again.") from None
    partly = {"partly rejected": len(outcome.partial_rejections)} if outcome.partial_rejections else {}
    denied = {"consent denied": len(outcome.denials)} if outcome.denials else {}
    counts = {"ignored": outcome.ignored, "rejected": len(outcome.rejections)}
    session.screen.facts({"accepted": outcome.accepted, **partly, **denied, **counts})
    result = _result(outcome)
    if explain or reveal:
        if reveal:
            session.screen.note(_PLAIN_TEXT, style="yellow")
        events = [*elements(body)]
        in_force = (DEFAULT_MAPPING,) if document is None else parse_mappings(json.loads(document), compile_trigger)
        traces = _traces(session, events, Surroundings(in_force, audiences, now, policy))
        explanation = Explanation(reveal=reveal, consent_required=policy.consent == "require")
        explanation.print(session.screen, traces, len(events))
        result["events"] = [explanation.as_json(each) for each in traces]
    _print_outcome(session, outcome, audiences)
    session.screen.result(result)
    if any(looks_like_a_phone_number(change.member_id) for change in outcome.changes):
        session.screen.note(id_warning(), style="yellow")
    if outcome.rejections or outcome.partial_rejections:
        raise AlreadyReported


def newly_rejected(before: list[Any], after: list[Any], now: float, policy: Policy) -> Iterator[str]:
    """Yield a warning if mappings reject more of Segment's own events than those before. Both are unchecked."""
    audience, at = Audience("1", country="US", computation_key="sample"), round(now * 1000)
    body = json.dumps([sample(each, audience, enters=True, at=now, message_id=each) for each in SAMPLES]).encode()
    with suppress(InvalidMapping):
        used = [compiled(json.dumps(each)) for each in (before, after)]
        results = [changes_from(body, mappings=each, audiences=Only(audience), now=at, policy=policy) for each in used]
        known, found = (each.rejections for each in results)
        if len(found) > len(known):
            why = f"Events as Segment sends them would be rejected, {found[0].reason}: {found[0].detail}."
            yield f"{why} First try one of yours: `audience-sync mappings try event.json --mappings FILE`."


def _traces(session: Session, elements: Sequence[Any], around: Surroundings) -> Sequence[EventTrace]:
    """Follow events: for scripts all of them, for people only the ones shown."""
    followed = elements if session.screen.as_json else elements[:MAX_SHOWN]
    with session.screen.progress("explaining", len(followed)) as bar:
        traces = []
        for index, element in enumerate(followed):
            traces.append(trace(element, index, around))
            bar.advance()
    return traces


def _print_outcome(session: Session, outcome: IntakeResult, audiences: AudienceLookup) -> None:
    for change in outcome.changes:
        reached = audiences.by_id(change.audience_id)
        audience = next((each for each in reached if each.audience_id == change.audience_id), None)
        name = f"audience {audience.name if audience else ''} ({change.audience_id})".replace("  ", " ")
        why = "denied consent" if change.denies_consent else "a deletion notice"
        session.screen.say(f"\n{f'every audience, with {why}' if change.erase else name}")
        session.screen.say(json.dumps(record_as_json(change), indent=2, ensure_ascii=False))
    if listed := [*outcome.rejections, *outcome.partial_rejections, *outcome.denials]:
        session.screen.table(*rejection_table([each.as_json() for each in listed]))


def _result(outcome: IntakeResult) -> dict[str, Any]:
    return {
        "accepted": outcome.accepted,
        "ignored": outcome.ignored,
        "changes": [change_json(each) for each in outcome.changes],
        "rejections": [each.as_json() for each in outcome.rejections],
        "partialRejections": [each.as_json() for each in outcome.partial_rejections],
        "denials": [each.as_json() for each in outcome.denials],
    }
