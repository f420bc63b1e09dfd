"""Use case of `ingest`: turns a body into changes in the change queue. Of `events`: see message_intake.py."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from audience_sync.access.credentials import Authenticated, authenticate_with_newest, require_event_credential
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.secrets import JsonSecret
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.errors import InvalidMapping, TooLarge, UnsupportedMediaType
from audience_sync.ingest.outcome import Denied, PartlyRejected, Rejected
from audience_sync.ingest.record_rules import AudienceLookup, Policy
from audience_sync.ingest.translation import Translator
from audience_sync.json_input import is_json
from audience_sync.members.membership import MembershipChange, coalesce
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.reasons import Reason
from audience_sync.segment.compiled_mapping import CompiledMapping, compile_mappings
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from audience_sync.segment.event import shown_id
from audience_sync.segment.mapping_config import compile_document
from audience_sync.segment.request_body import elements
from audience_sync.segment.trigger import compile_trigger

MAX_CHANGES = 50_000  # in one request; a deletion notice makes one for each mapped member id


@dataclass(frozen=True, slots=True)
class EventRejection:
    """The rejection of one event, or the denial of consent in it. Holds no value of the event."""

    index: int
    message_id: str
    reason: Reason
    detail: str
    audience_id: str | None = None  # of the audience, if only that one rejects the event

    def as_json(self) -> dict[str, Any]:
        """The rejection as shown in the answer."""
        shown = {"index": self.index, "messageId": self.message_id, "reason": self.reason, "detail": self.detail[:200]}
        return shown | ({"audienceId": self.audience_id} if self.audience_id else {})


@dataclass(slots=True)
class IntakeResult:
    """The changes and rejections of one request body."""

    at: int = 0  # epoch milliseconds of the request; dates its metrics and messages
    accepted: int = 0
    ignored: int = 0
    rejections: list[EventRejection] = field(default_factory=list)
    denials: list[EventRejection] = field(default_factory=list)  # of consent, in accepted events: the person leaves
    partial_rejections: list[EventRejection] = field(default_factory=list)  # by some audiences of accepted events
    changes: list[MembershipChange] = field(
        default_factory=list
    )  # one or two for each member: the end of a life, if any, and the newest change
    identities_left_out: int = 0  # of accepted events, beyond those that Amazon takes of one member
    superseded: int = 0  # changes replaced by a newer one of the same member in the same body
    signature_unverified: bool = False  # beside a valid event key, the signature does not verify


def changes_from(
    body: bytes,
    *,
    mappings: Sequence[CompiledMapping],
    audiences: AudienceLookup,
    now: int,
    sent: int | None = None,
    policy: Policy | None = None,
    has_time: Callable[[], bool] = lambda: True,
) -> IntakeResult:
    """Read a request body in one of Segment's formats: see `request_body.py`.

    Does no I/O of its own; `audiences` may.

    Args:
        body: UTF-8 JSON, as received.
        mappings: all of them, including disabled ones; several may apply to one event.
        audiences: the possible destinations. Ids in a body route, they do not authorize.
        now: epoch milliseconds.
        sent: epoch milliseconds, if the body has waited; what a time ahead counts as, the same in each copy of it.
        policy: consent and hashing options; the defaults where omitted.
        has_time: checked before each event, and more often if several mappings read one.

    Raises:
        TransientError: there is no time left for the rest.
        InvalidRequest: as `elements` does.
        TooLarge: as `elements` does; or more than MAX_CHANGES, or MAX_WORK.
    """
    translator = Translator(mappings, audiences, now, policy or Policy(), sent)
    result = IntakeResult(now)
    changes: list[MembershipChange] = []
    for index, (element, outcome) in enumerate(translator.outcomes(elements(body), has_time)):
        if isinstance(outcome, list):
            found = outcome
        elif not (found := _reported(result, index, element, outcome)):
            continue
        if found:
            result.accepted += 1
            changes += found
            if len(changes) > MAX_CHANGES:
                raise TooLarge(f"the body makes over {MAX_CHANGES} changes; lower the batch size in Segment")
        else:
            result.ignored += 1
    result.identities_left_out = translator.identities_left_out
    result.changes = coalesce(changes)
    result.superseded = len(changes) - len(result.changes)
    return result


def _reported(
    result: IntakeResult, index: int, element: Any, found: Rejected | PartlyRejected | Denied
) -> list[MembershipChange]:
    """Add the rejections of an event to the result, and return its changes; none if it is not accepted."""
    message_id = shown_id(element.get("messageId") if isinstance(element, dict) else None, index)
    match found:
        case PartlyRejected(changes, rejections):
            result.partial_rejections += [
                EventRejection(index, message_id, each.reason, each.detail, each.audience_id) for each in rejections
            ]
            return changes
        case Denied(rejected, exits):
            result.denials.append(EventRejection(index, message_id, rejected.reason, rejected.detail))
            return exits
        case rejected:
            result.rejections.append(EventRejection(index, message_id, rejected.reason, rejected.detail))
            return []


@lru_cache(maxsize=2)  # the stored document, and the one before an edit
def compiled(document: str | None) -> tuple[CompiledMapping, ...]:
    """Compile the mappings of a stored document, or Segment's own mapping if none is stored.

    Raises:
        InvalidMapping, InvalidTrigger: the document was not checked when it was saved.
    """
    if document is None:
        return compile_mappings((DEFAULT_MAPPING,), compile_trigger)
    try:
        stored = json.loads(document)
    except (ValueError, RecursionError):
        raise InvalidMapping("the stored mappings are not JSON; apply them again with audience-sync") from None
    return compile_document(stored, compile_trigger)


class Intake:
    """Accepts bodies whose senders are known: reads them, and queues every change."""

    def __init__(self, audiences: AudienceListing, queue: Queue, policy: Policy, clock: Clock) -> None:
        """Set up the use case.

        Args:
            audiences: the possible destinations, and the mappings.
            queue: the change queue.
            policy: consent and hashing options.
            clock: for the time of a request.
        """
        self._audiences = audiences
        self._queue = queue
        self._policy = policy
        self._clock = clock

    def accept(self, body: bytes, *, deadline: float) -> IntakeResult:
        """Accept one body, exactly as received, until monotonic `deadline`.

        Raises:
            TooLarge, InvalidRequest: the body is unusable.
            InvalidMapping, InvalidTrigger: the stored mappings are.
            TransientError: not every change is in the queue; the whole body may be sent again.
        """
        result = self._reader(self._clock.now_ms(), deadline)(body)
        self._queue.send(pack(result.changes, DeliveryHistory(first_at=result.at)), deadline=deadline)
        return result

    def _reader(self, now: int, deadline: float) -> Callable[..., IntakeResult]:
        """Return `changes_from` with the present mappings and audiences. Raises as `accept` does."""
        return partial(
            changes_from,
            mappings=compiled(self._audiences.mappings()),
            audiences=self._audiences.for_request(),
            now=now,
            policy=self._policy,
            has_time=lambda: self._clock.monotonic() < deadline,
        )


class HttpIntake:
    """Accepts HTTP requests: authenticates them, and takes in their bodies."""

    def __init__(
        self,
        secret: JsonSecret,
        intake: Intake,
        clock: Clock,
        *,
        on_authenticated: Callable[[Authenticated], None],
    ) -> None:
        """Set up the use case.

        Args:
            secret: the ingest secret.
            intake: takes the bodies.
            clock: for the expiry of keys.
            on_authenticated: called with the stored credential that let a request in.
        """
        self._secret = secret
        self._intake = intake
        self._clock = clock
        self._on_authenticated = on_authenticated

    def accept(self, headers: Mapping[str, str], body: bytes, *, deadline: float) -> IntakeResult:
        """Accept one delivery.

        Args:
            headers: names in lower case.
            body: exactly as received.
            deadline: monotonic seconds by which the answer must be on its way.

        Raises:
            Unauthorized: the request carries no valid credential. This comes first: only who may send loses events.
            UnsupportedMediaType, and what Intake raises: it is unusable, or may be sent again.
        """
        now = self._clock.now()
        authenticated = authenticate_with_newest(
            self._secret.value,
            lambda keys: keys.authenticate_events(headers, body, now=now),
            lambda: require_event_credential(headers),
        )
        self._on_authenticated(authenticated)
        if not is_json(headers):
            raise UnsupportedMediaType("send application/json in UTF-8, not compressed")
        result = self._intake.accept(body, deadline=deadline)
        result.signature_unverified = authenticated.signature_unverified
        return result
