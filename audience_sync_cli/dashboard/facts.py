"""Facts about a stack for the dashboard.

Nothing here does I/O. Ids are strings, since JavaScript numbers cannot hold them; times are epoch seconds; None means
not known, or not yet. No field holds a key, a token, a trait or an identifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.screen import camel_case
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.counts import Counts, Depth, EventQueueDepth, waiting_text
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.needs import needs, needs_json

LISTED_MEMBERS = 20  # of one dead letter

type Point = tuple[float, float]  # epoch seconds, value


@dataclass(frozen=True, slots=True)
class Place:
    """The stack on the page."""

    kind: Literal["local", "deployed"]
    name: str
    api: str  # base URL of the gateway
    interval: float  # seconds between two requests of the page
    region: str = ""  # of AWS
    note: str = ""  # how often each source is read, and the cost


@dataclass(frozen=True, slots=True)
class Activity:
    """Events received and changes completed, in consecutive periods of equal length, oldest first."""

    period: int  # seconds
    arrived: tuple[int, ...] = ()
    completed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Warnings:
    """Counts in the range that are zero while everything is well."""

    unauthorized: int = 0  # requests with a credential that does not match, or Segment's without any
    without_credential: int = 0  # requests
    uploads_failed: int = 0


@dataclass(frozen=True, slots=True)
class ShareFacts:
    """One share of a dataset of Ads Data Manager."""

    share_id: str
    account: str
    state: str  # in words, with the party that revoked it
    is_revoked: bool = False
    revoked_at: float | None = None

    @classmethod
    def of(cls, share: Share) -> "ShareFacts":
        """Describe a share as the commands do."""
        account, state = share_text.account(share), share_text.state(share)
        return cls(share.share_id, account, state, share.is_revoked, share.revoked_at)


@dataclass(frozen=True, slots=True)
class AudienceFacts:
    """One audience: its newest numbers at Amazon, and earlier ones."""

    audience_id: str
    name: str
    size: int | None = None  # records that Amazon has received
    match_rate: float | None = None  # percent matched
    at: float | None = None  # of the newest numbers
    sizes: tuple[Point, ...] = ()
    match_rates: tuple[Point, ...] = ()
    shares: tuple[ShareFacts, ...] = ()  # of a dataset
    mark: str = ""  # that it was moved, or ended, in words

    def since(self, time: float) -> "AudienceFacts":
        """Return the same numbers, with a history that starts at a time."""
        return replace(self, sizes=_since(time, self.sizes), match_rates=_since(time, self.match_rates))


@dataclass(frozen=True, slots=True)
class RejectedEvents:
    """Events that were rejected for one reason."""

    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line that a function logged; `n` is its number, `more` its fields beside the message."""

    n: str
    at: float
    function: str
    level: str
    text: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadFacts:
    """One upload that Amazon accepted, from the worker's log."""

    n: str
    at: float
    job_id: str
    audience_id: str | None
    records: int | None


@dataclass(frozen=True, slots=True)
class DeadLetterFacts:
    """One message of the dead letter queue."""

    message_id: str
    reason: str
    remedy: str
    detail: str
    at: float
    audience_id: str | None
    members: tuple[str, ...]  # external user ids, LISTED_MEMBERS at most
    changes: int
    exits: int
    attempts: int | None
    status: int | None  # of Amazon's answer
    request_id: str
    is_readable: bool  # another attempt can be made

    @classmethod
    def of(cls, message: DeadLetterMessage) -> "DeadLetterFacts":
        """Summarize a message as read."""
        failure = message.failure
        return cls(
            message_id=message.message_id,
            reason=message.reason,
            remedy=message.remedy,
            detail=str(failure.get("detail") or ""),
            at=message.at / 1000,
            audience_id=message.audience_id,
            members=tuple(message.members[:LISTED_MEMBERS]),
            changes=len(message.changes),
            exits=sum(change.exits for change in message.changes),
            attempts=failure.get("attempts"),
            status=failure.get("status") or None,
            request_id=str(failure.get("requestId") or ""),
            is_readable=message.is_readable,
        )


@dataclass(frozen=True, slots=True)
class DeadLetterList:
    """The dead letters that were read, the newest first."""

    listed: tuple[DeadLetterFacts, ...] = ()
    read_at: float | None = None
    is_complete: bool = True  # whether these are all


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of the stack."""

    name: str  # as in docs/runbook.md
    state: str  # OK, ALARM or INSUFFICIENT_DATA
    since: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part that could not be read, and why."""

    part: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the page shows at one time."""

    at: float
    place: Place
    counts: Counts
    queue: Depth
    dead_letters: int  # messages
    jobs_pending: int  # uploads whose job has not ended, as far as known
    event_queue: EventQueueDepth | None = None  # None if the stack has none, or it is not known yet
    warnings: Warnings = Warnings()
    activity: Activity = Activity(period=1)
    range: str = ""  # one of ranges.RANGES: for activity, warnings, rejected, and charts of audiences
    audiences: tuple[AudienceFacts, ...] = ()
    rejected: tuple[RejectedEvents, ...] = ()  # the most frequent reason first
    rejected_events: tuple[ShownLine, ...] = ()  # the newest, newest first
    uploads: tuple[UploadFacts, ...] = ()  # the newest, newest first
    parked: DeadLetterList = DeadLetterList()
    log: tuple[ShownLine, ...] = ()  # the newest, newest first
    alarms: tuple[Alarm, ...] | None = None  # None if not known yet
    blockers: tuple[Blocker, ...] = ()  # why changes wait, since when, until when; the heading may name one
    audited_until: float | None = None
    problems: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()  # parts that are being read for the first time

    def as_json(self) -> dict[str, Any]:
        """Return the facts for the page: names in camel case, with needs and with explanations of the reasons."""
        shown: dict[str, Any] = _camel(self)
        shown["counts"]["waiting"] = self.counts.waiting
        shown["queue"]["total"] = self.queue.total
        rejections = {
            *(each.reason for each in self.rejected),
            *(each.more.get("reason", "") for each in self.rejected_events),
        }
        needed = needs(self.counts, self.dead_letters, self.blockers, event_queue=self.event_queue)
        shown["needs"] = needs_json(needed)
        shown["waitingText"] = waiting_text(self.counts, self.queue, self.event_queue, is_needed=bool(needed))
        shown["parkedSince"] = self.counts.parked_since(self.dead_letters)
        shown["reasons"] = {
            "rejected": {code: reasons.explained(code)._asdict() for code in rejections},
            "parked": {each.reason: reasons.parked(each.reason)._asdict() for each in self.parked.listed},
        }
        return shown


def _since(time: float, points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return the points since a time; the first is the value at that time, if there was one."""
    before = [value for at, value in points if at <= time]
    return (*((time, value) for value in before[-1:]), *(each for each in points if each[0] > time))


def _camel(value: Any) -> Any:
    if is_dataclass(value):
        return {camel_case(each.name): _camel(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_camel(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value
