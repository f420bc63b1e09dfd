"""An audience that this stack has not created: may it write there, who else has filled it, and what follows."""

import hashlib
from contextlib import suppress
from uuid import uuid4

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.advertiser_audiences.records import encode_record, frame_of
from audience_sync.amazon_ads.destination import destination_of_changes
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.errors import RequestRejected
from audience_sync.members.membership import Audience, FilledBy, Identity, MembershipChange
from audience_sync_cli.frame.errors import NotConfirmed, OperatorError, TryLater
from audience_sync_cli.frame.samples import CONSENT
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.settling import TIMEOUT

_QUESTION = "Has another system, such as Segment's own destination, sent members to it (y, n, or Enter if unknown)"


def require_writable(session: Session, audience: Audience) -> None:
    """Let a made-up member enter and exit an audience, past queues and tables: Amazon documents no other way to ask.

    Raises OperatorError with Amazon's answer if it refuses, TryLater, TransientError.
    """
    member, refusal = f"audience-sync-test-{uuid4().hex[:8]}", ""
    with session.screen.progress("checking that Amazon accepts members from this client"):
        try:
            job_id = session.amazon.send_records(_upload(audience, member, exits=False)).job_id
            try:
                report = _ended(session, job_id)
            finally:
                session.amazon.send_records(_upload(audience, member, exits=True))
        except RequestRejected as error:
            refusal = str(error)
        else:
            if report.has_failed or member in report.rejected:
                refusal = f"the job of a made-up member failed: {report.rejected.get(member) or report.state}"
    if refusal:
        raise OperatorError(
            f"Amazon accepts no members for it from this client: {refusal}. Nothing was linked; no event reaches it.",
            "Fill a new audience beside it, or let this one end with its time to live: docs/switching.md, way 1.",
        )


def filled_by(session: Session, known: Audience, said: bool | None) -> FilledBy:
    """Return who has filled an audience: as the option says, as stored, or as the operator answers.

    That nobody else's identifiers are left is asked again: nothing here can tell, and erasures count as proven by it.

    Raises:
        NotConfirmed: they may be left.
    """
    if said is None and known.filled_by is FilledBy.UNKNOWN and session.screen.asks and not session.screen.as_json:
        with suppress(NotConfirmed):  # there is no terminal
            answer = session.screen.ask(_QUESTION, instead="give --created-by-segment").strip().lower()
            said = {"y": True, "yes": True, "n": False, "no": False}.get(answer)
    if said is None:
        return known.filled_by
    if not said and known.filled_by is FilledBy.OTHERS:
        session.screen.confirm(
            "Erasures of people in it count as proven from now on. Has its time to live ended since the other system "
            "last sent anybody?"
        )
    return FilledBy.OTHERS if said else FilledBy.STACK


def next_steps(now: float, ttl: int | None) -> list[str]:
    """Return what to do with an audience that Segment has filled. `now` in epoch seconds, `ttl` in seconds."""
    until = moment((now + (MAX_TTL if ttl is None else ttl)) * 1000)[:10]
    return [
        "Next, so that nobody who leaves stays by identifiers that Segment has sent (docs/switching.md, way 2):",
        "1. Send everybody through the stack: connect or re-sync the audience in Segment.",
        '2. Leave Segment\'s own destination on, with event = "Audience Exited" as the trigger of its mapping.',
        f"3. Disable it after the time to live: on {until}, if you do both today. Until then, no erasure is proven.",
    ]


def _upload(audience: Audience, member: str, *, exits: bool) -> Upload:
    target = Target(audience.audience_id, destination_of_changes(audience))
    email = hashlib.sha256(f"{member}@example.com".encode()).hexdigest()
    change = MembershipChange(
        audience.audience_id,
        member,
        target.destination,
        at=0,
        message_id="",
        exits=exits,
        identities=(Identity(0, {"email": email}),),
        country=audience.country,
        consent={"consent": {"amzn": CONSENT}},
    )
    return Upload(target, frame_of(target), (encode_record(change),))


def _ended(session: Session, job_id: str) -> JobReport:
    begun = session.now()
    while not (report := session.amazon.job(job_id)).is_final:
        if session.now() - begun >= TIMEOUT:
            raise TryLater(f"Amazon's job {job_id} has not ended after {TIMEOUT} seconds. Nothing was linked.")
        session.sleep(session.stack.pause(10.0))  # seconds; jobs take minutes
    return report
