"""The report of one person's erasure, or of a list of people, with its digest. Pure.

The only personal data in it are the ids that were asked for. `erasure_sentences.py` says it in plain words.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from audience_sync.amazon_ads.destination import is_of_audience_api, name_of_api
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT, expires_at
from audience_sync.clock import MAX_AHEAD
from audience_sync.members.erasure.status import AudienceErasure, Erasure, Outcome, Progress, is_closed, notices_of
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.digest import digest

DEAD_LETTERS = 14 * DAY  # seconds
NOT_RECORDED = "not_recorded"  # in place of a state
QUEUES = 7 * DAY  # seconds; the change queue, the job queue and the event queue
WITHOUT_DROPPING = QUEUES + DEAD_LETTERS  # seconds after a notice, until no queue holds anything from before it
ENTERED_AGAIN = "The person entered again on {enteredAgainAt}: data from then on is not part of this erasure."
_DATED_AHEAD = (
    "This report proves no deletion: an audience holds an entry of the person that is dated in the future, and no exit "
    "and no request ends it before. Delete its row of the membership table, and erase the person again."
)
_ID, _ALL = "external user id; no identifiers", "external user id and hashed identifiers"
_BACKUPS = "automatic backups of the membership table"
_NO_ID = "-"  # in place of an id that Amazon does not give


class Person(NamedTuple):
    """Everything known about a person's erasure."""

    everywhere: MemberState  # the person's row of all audiences
    erasure: Erasure
    rows: Sequence[tuple[Audience, MemberState]]  # the audiences with a row of the person
    lost: Sequence[Audience]  # had one when the notice was recorded, and must show a proof
    parked: Sequence[DeadLetterMessage]
    backups: float  # seconds; the points in time to which the membership table can be restored
    unread: str = ""  # why more dead letters may hold the person; a sentence
    has_event_queue: bool = False  # the stack
    caveats: Sequence[str] = ()  # sentences about audiences that another system may have filled, with a row or without


def document(person: Person, head: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the report of one person, with its digest; `head` says where and when it is made, in epoch seconds."""
    erasure, everywhere = person.erasure, person.everywhere
    steps = _notices(everywhere) or notices_of(everywhere)
    last = everywhere.erasure[-1] if is_closed(everywhere) else None
    entered = max((each.entered_again or 0 for each in erasure.audiences.values()), default=0)
    again = iso_time(entered or None)
    conclusion = _DATED_AHEAD if entered > now * 1000 + MAX_AHEAD else _conclusion(person)
    report: dict[str, Any] = {
        "member": everywhere.member[1],
        **head,
        "state": erasure.progress,
        "since": iso_time(erasure.since),
        "amazonUntil": iso_time(erasure.until),
        "enteredAgainAt": again,
        "rememberedUntil": iso_time(expires_at(everywhere) * 1000),
        "deletion": {
            "dueAt": iso_time(erasure.next_review),
            "acceptedAt": [iso_time(each.at) for each in everywhere.erasure if each.kind is StepKind.DELETION],
        },
        "closedByHand": {"at": iso_time(last.ended), "note": last.id} if last and last.id else None,
        "notices": [
            {"kind": each.kind, "messageId": each.id, "at": iso_time(each.at), "recordedAt": iso_time(each.ended)}
            for each in steps
        ],
        "audiences": [
            *(_audience(each, erasure.audiences[each.audience_id], state.erasure) for each, state in person.rows),
            *(_audience(each, erasure.audiences[each.audience_id]) for each in person.lost),
        ],
        "remains": list(_remains(person, now)),
        "caveats": list(person.caveats),
        "notProven": list(_not_proven(person)),
        "conclusion": conclusion + (f" {ENTERED_AGAIN.format(enteredAgainAt=again[:10])}" if again else ""),
    }
    return report | {"digest": digest(report)}


def list_document(reports: Mapping[str, dict[str, Any] | None], head: Mapping[str, Any]) -> dict[str, Any]:
    """Return one report of several people's, by id; None for an id without an erasure."""
    made = [each for each in reports.values() if each]
    caveats = dict.fromkeys(each for report in made for each in report["caveats"])
    totals = Counter(each["state"] if each else NOT_RECORDED for each in reports.values())
    closed = totals[Progress.CLOSED]
    report = {
        **head,
        "totals": dict(sorted(totals.items())),
        "people": made,
        "notRecorded": [member for member, each in reports.items() if each is None],
        "conclusion": (
            f"The erasure of {closed:,} of {len(reports):,} people is closed. What that proves and does not prove "
            "is stated in each person's own report, which the JSON document of this report contains. For an id in any "
            f"other state, no deletion is proven.{''.join(f' {each}' for each in caveats)}"
        ),
    }
    return report | {"digest": digest(report)}


def _notices(everywhere: MemberState) -> list[ErasureStep]:
    """Return all recorded notices and denials; none if an older version has recorded them."""
    return [each for each in everywhere.erasure if each.kind in (StepKind.NOTICE, StepKind.DENIAL)]


def _audience(audience: Audience, status: AudienceErasure, steps: Sequence[ErasureStep] = ()) -> dict[str, Any]:
    return {
        "audienceId": audience.audience_id,
        "name": audience.name,
        "api": name_of_api(audience.destination),
        "filledBy": audience.filled_by,
        "unlinkedAt": iso_time(audience.unlinked_at),
        "outcome": status.outcome,
        "missing": status.missing,
        "until": iso_time(status.until),
        "lateJobs": list(status.late_jobs),
        "enteredAgainAt": iso_time(status.entered_again),
        "uploads": [  # also of earlier notices, and of an end
            {
                "kind": each.kind,
                "id": None if each.id == _NO_ID else each.id,
                "sentAt": iso_time(each.at),
                "endedAt": iso_time(each.ended),
            }
            for each in steps
        ],
    }


def _remains(person: Person, now: float) -> Iterator[dict[str, Any]]:

    def place(where: str, holds: str, until: float | None) -> dict[str, Any]:
        return {"where": where, "holds": holds, "until": None if until is None else iso_time(round(until * 1000))}

    notice_row = expires_at(person.everywhere)
    yield place("record of the request", "external user id, times and message ids; no identifiers", notice_row)
    for audience, state in person.rows:
        holds = _ALL if state.identities else _ID
        is_back = person.erasure.audiences[audience.audience_id].entered_again
        again = " (the person has entered again)" if is_back else ""
        yield place(f"record of {audience.name or audience.audience_id}{again}", holds, expires_at(state))
    recorded = person.erasure.notices[-1].ended / 1000
    # A message may wait for days until it becomes a dead letter.
    kept = [("change queue", f"{_ALL}, if a change from before the request still waits", QUEUES)]
    kept += [("dead letters", f"{_ALL}, if such a change cannot be delivered", WITHOUT_DROPPING)]
    if person.has_event_queue:
        events = "events in plain text, if one from before the request"
        kept += [("event queue", f"{events} still waits", QUEUES)]
        kept += [("event dead letters", f"{events} could not be used", WITHOUT_DROPPING)]
    for where, holds, seconds in kept:
        if now < recorded + seconds:
            yield place(where, holds, recorded + seconds)
    sent = max((max(state.enter_sent, state.removal_sent) for _, state in person.rows), default=0)
    if now < sent + QUEUES:
        yield place("job queue", _ID, sent + QUEUES)
    if person.parked:
        until = max(each.at for each in person.parked) / 1000 + DEAD_LETTERS
        yield place(f"dead letters: {len(person.parked)}", _ALL, until)
    last = max([notice_row, *(expires_at(state) for _, state in person.rows)])
    is_held = any(state.identities for _, state in person.rows)
    if person.rows and not is_held:
        # Without a step, when they were erased is not known: at the latest, now.
        erased = max(state.erasure[-1].ended / 1000 if state.erasure else now for _, state in person.rows)
        yield place(_BACKUPS, _ALL, erased + person.backups)
    yield place(_BACKUPS, _ALL if is_held else _ID, last + person.backups)
    yield place("Amazon", "what it received, for a time its API does not state", None)


def _not_proven(person: Person) -> Iterator[str]:
    if person.erasure.progress is Progress.UNKNOWN:
        yield (
            "No audience knew this id when the notice was recorded, so nothing was removed. Check that it is the "
            "external user id of the mapping."
        )
    yield from person.caveats
    if any(each.outcome is Outcome.OPEN for each in person.erasure.audiences.values()):
        yield "Some audiences are still open; what each lacks is stated above."
    if is_closed(person.everywhere) and person.everywhere.erasure[-1].id:
        yield "The note of the operator who closed the erasure by hand is that person's statement."
    asked = any(each.kind is StepKind.DELETION for each in person.everywhere.erasure)
    if asked or any(state.erasure and not is_of_audience_api(each.destination) for each, state in person.rows):
        yield (
            "Ads Data Manager does not report the end of a removal or a deletion: a removal is taken to be in effect "
            "after a fixed time, and for a deletion there is Amazon's promise of 30 days."
        )
        yield "The DSP audience of a share that had already been revoked keeps its members."
        yield "Amazon is asked to delete this external user id only, not other ids of the same person."
    if person.rows and not _notices(person.everywhere):
        yield "An older version recorded the notice, and no uploads: some may be missing above."
    yield (
        f"The stack's records expire {KEEP_EXIT // DAY} days after a removal and {KEEP_ACTIVE // DAY} days after an "
        "addition. Audiences whose record had expired are not listed."
    )
    yield "Amazon's API does not state how long Amazon keeps what it received."
    if person.unread:
        yield f"Dead letters may be missing: {person.unread}"


def _conclusion(person: Person) -> str:
    """Return in a few sentences what the report proves, and what not."""
    match person.erasure.progress:
        case Progress.UNKNOWN:
            return "This report proves no deletion: no audience knew this id. Check the id before you file the report."
        case Progress.OPEN:
            return "The erasure is not finished. This report proves only the steps that it lists as done."
        case _ if person.caveats:
            return (
                "The stack has done what is stated above. This report does not prove that the person has left every "
                "audience: another system may have sent identifiers, which no removal here names."
            )
        case Progress.AMAZON_DELETES:
            until = str(iso_time(person.erasure.until))[:10]
            return (
                "Proven: the stack has done everything that it has to do, and Amazon has accepted the deletion. Not "
                f"proven: that Amazon has carried it out, for which it has until {until}. Make the report again then."
            )
    if not person.erasure.audiences:
        return "Proven: the request was recorded. No audience has a record of this person, so no removal is proven."
    return (
        "Proven: in each audience above, the person was removed as stated there, or nothing was left to remove; the "
        "stack stores no identifiers that the request covers, except in the copies that expire by themselves. Not "
        'proven: the points under "What this report does not prove".'
    )
