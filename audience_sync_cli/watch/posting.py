"""Posts a request body to the API as Segment does, and reads the answer; or sends it to the event queue."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests

from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.errors import InvalidRequest
from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync_cli.frame.errors import OperatorError, TryLater
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.key_kinds import KeyKind, is_strong

MAX_MESSAGE = 1_048_576  # bytes
QUEUED = 202  # status of a body that is in the event queue
TIMEOUT = 15.0  # seconds; Segment itself gives up after about five
_REFUSALS = {  # status: sentence, remedy
    401: (
        "The stack refuses its own event key.",
        "A new key takes up to a minute to take effect; `audience-sync test` checks the keys.",
    ),
    413: ("The body is too large.", "Send at most 10,000 events and 4.5 MB at once."),
    415: ("The stack accepts only JSON.", "Send a JSON file in UTF-8."),
}


_COUNTS = {"accepted": 0, "ignored": 0, "rejected": 0, "rejections": (), "partlyRejected": 0, "consentDenied": 0}


class Answer(NamedTuple):
    """The stack's answer to a readable body."""

    status: int
    seconds: float
    ahead: float  # seconds that the stack's clock is ahead of this machine's, to a second
    counts: Mapping[str, Any]  # in the answer's own words: at most twenty rejections, but all are counted


def post(session: Session, body: bytes) -> Answer:
    """Post a body to /v1/events with the stack's event key. Raises OperatorError, TryLater."""
    if not session.stack.api:
        return _send(session, body)
    key = session.secret("IngestSecret").value().get(KeyKind.EVENT.current)
    if not is_strong(key):
        raise OperatorError("The stack has no usable event key.", "Create one: `audience-sync keys rotate event`.")
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    began = time.monotonic()
    try:
        answer = session.http.post(
            f"{session.stack.api}/v1/events", data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
        )
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    except requests.RequestException as error:
        raise TryLater(
            f"The gateway does not answer: {type(error).__name__}.", "`audience-sync test` checks the gateway."
        ) from None
    if answer.status_code in (200, 400) and isinstance(found, dict) and "accepted" in found:
        ahead = _date(answer, session.now()) - session.now()
        counts = {name: found.get(name, default) for name, default in _COUNTS.items()}
        return Answer(answer.status_code, time.monotonic() - began, ahead, counts)
    raise _refused(answer.status_code, found)


def _send(session: Session, body: bytes) -> Answer:
    """Send a body to the event queue. Nobody answers there: the counts are those that the mappings give here."""
    began = time.monotonic()
    try:
        found = stated(session, body)
        text = body.decode()
    except (InvalidRequest, UnicodeDecodeError) as error:
        raise OperatorError(f"The stack cannot use the body: {error}.") from None
    if len(body) > MAX_MESSAGE:
        raise OperatorError("The body is too large.", "A message of SQS takes 1 MiB: send fewer events at once.")
    session.stack.service("sqs").send_message(QueueUrl=session.stack.event_queue, MessageBody=text)
    rejections = [each.as_json() for each in (*found.rejections, *found.partial_rejections)]
    counts = {"accepted": found.accepted, "ignored": found.ignored, "rejected": len(found.rejections)}
    counts |= {"partlyRejected": len(found.partial_rejections), "consentDenied": len(found.denials)}
    return Answer(QUEUED, time.monotonic() - began, 0.0, counts | {"rejections": rejections[:20]})


def _date(answer: requests.Response, now: float) -> float:
    """Return the time of an answer by the gateway's clock, in epoch seconds; `now` if it has none."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return now


def _refused(status: int, found: Any) -> OperatorError:
    if status in _REFUSALS:
        return OperatorError(*_REFUSALS[status])
    if status == 400 and isinstance(found, dict):
        return OperatorError(f"The stack cannot use the body: {str(found.get('error', ''))[:200]}.")
    if status == 429 or status >= 500:
        return TryLater(
            f"The gateway answers {status}.", "Segment would try again. Find the cause with `audience-sync test`."
        )
    return OperatorError(f"The gateway answers {status}.", "`audience-sync test` checks the gateway.")


def stated(session: Session, body: bytes) -> IntakeResult:
    """Return what the stack's mappings and audiences make of a body, unsent. Raises InvalidRequest, InvalidMapping."""
    return changes_from(
        body,
        mappings=compiled(session.audiences.mappings()),
        audiences=AudienceListing(session.audiences, time.monotonic).for_request(),
        now=round(session.now() * 1000),
        policy=session.policy,
    )
