"""The messages of the queues: change message, job message and dead letter. Only this module writes and reads them.

Bodies are JSON in ASCII, so that characters are bytes; SQS refuses some control characters that JSON allows.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import batched
from typing import Any, NamedTuple, Self, TypeGuard

from audience_sync.errors import AudienceSyncError, InvalidMessage
from audience_sync.json_input import parse_json
from audience_sync.members.membership import (
    AUDIENCE_ID,
    EVERY_AUDIENCE,
    MAX_IDENTITIES,
    Destination,
    MembershipChange,
    Version,
)
from audience_sync.quick_json import compact_json
from audience_sync.reasons import Reason

MESSAGE_VERSION = 1
MAX_MESSAGE_BYTES = 240_000  # bytes of one body; four fit into one SendMessageBatch
_WRITTEN_TOGETHER = 32  # changes, in half the time of one by one; a tenth of a message
MAX_ATTEMPTS = 1_000_000  # more than any message can have
_MAX_TIME = 10**15  # epoch milliseconds, far ahead
_SURROGATE = "\\ud"  # begins every escape of one
_EXTERNAL_USER_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")  # Amazon's pattern

# Fields of a destination with places of their own on the envelope: the original ones. Others are in `destination`.
_ON_ENVELOPE = {"connectionId", "targetTypes"}

_DEFAULT_DESTINATION = Destination()

type _Target = tuple[str, Destination]  # audience and its destination


class Untracked(NamedTuple):
    """An upload of a message's changes whose job could not be tracked."""

    job_id: str
    sent_at: int  # epoch milliseconds; before the request
    removes: bool  # its records of these members were removals


@dataclass(frozen=True, slots=True)
class DeliveryHistory:
    """Earlier deliveries of a message's changes."""

    attempts: int = 0  # deliveries tried before this message
    first_at: int | None = None  # epoch milliseconds at which its changes were accepted
    is_replay: bool = False  # the changes were counted before and are not counted again
    is_repetition: bool = False  # the changes have no identities: whatever is due is sent from the rows
    untracked: Untracked | None = None
    waits_until: int | None = None  # epoch second before which the rows of its members need not be read
    origin: str | None = None  # id of the first message with its changes; copies of that have the same

    def as_json(self) -> dict[str, Any]:
        """The history as written on the envelope."""
        fields = {
            "attempts": self.attempts,
            "firstAt": self.first_at,
            "replay": self.is_replay,
            "repetition": self.is_repetition,
            "untracked": self.untracked,
            "waitsUntil": self.waits_until,
            "origin": self.origin,
        }
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def from_json(cls, envelope: dict[str, Any]) -> Self:
        """Read the history. Malformed fields count as absent: only waiting times depend on them."""
        attempts, first_at = envelope.get("attempts"), envelope.get("firstAt")
        waits_until, origin = envelope.get("waitsUntil"), envelope.get("origin")
        return cls(
            attempts if type(attempts) is int and 0 < attempts < MAX_ATTEMPTS else 0,
            first_at if type(first_at) is int and 0 < first_at < _MAX_TIME else None,
            envelope.get("replay") is True,
            envelope.get("repetition") is True,
            _untracked(envelope.get("untracked")),
            waits_until if type(waits_until) is int and 0 < waits_until < _MAX_TIME else None,
            origin if isinstance(origin, str) and origin else None,
        )


def _untracked(value: Any) -> Untracked | None:
    match value:
        case [str(job_id), sent_at, bool(removes)] if job_id and type(sent_at) is int and 0 < sent_at < _MAX_TIME:
            return Untracked(job_id, sent_at, removes)
    return None


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """A message of the change queue: changes of one audience, or deletion notices, which concern every audience."""

    audience_id: str
    destination: Destination
    changes: list[MembershipChange]
    history: DeliveryHistory = field(default_factory=DeliveryHistory)

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body.

        Raises:
            InvalidMessage: not JSON, an unknown version, or an invalid field.
        """
        return cls._from_json(_envelope(body))

    @classmethod
    def _from_json(cls, envelope: dict[str, Any]) -> Self:
        audience_id, changes = envelope.get("audienceId"), envelope.get("changes")
        if not _is_target(audience_id) or not isinstance(changes, list):
            raise InvalidMessage("audienceId or changes is missing or mistyped")
        target = (audience_id, _destination(envelope))
        read = [_change_from_json(target, change) for change in changes]
        return cls(*target, read, DeliveryHistory.from_json(envelope))


REPETITION = DeliveryHistory(is_replay=True, is_repetition=True)


def pack(changes: Iterable[MembershipChange], history: DeliveryHistory | None = None) -> list[str]:
    """Build message bodies: each holds changes of one audience and at most MAX_MESSAGE_BYTES bytes.

    A change is far smaller, since its identities and consent strings are bounded.

    Args:
        changes: in any order, which is kept within each audience.
        history: of earlier deliveries; for new changes, when they were accepted.
    """
    by_target: defaultdict[_Target, list[MembershipChange]] = defaultdict(list)
    for change in changes:
        by_target[change.audience_id, change.destination].append(change)
    fields = history.as_json() if history else {}
    return [body for target, some in by_target.items() for body in _bodies(target, some, fields)]


def _bodies(target: _Target, changes: list[MembershipChange], fields: dict[str, Any]) -> Iterator[str]:
    written = compact_json(fields)[1:-1]
    prefix = f'{_envelope_of(target)}{"," if written else ""}{written},"changes":['
    held: list[str] = []
    size = len(prefix) + 2
    for some in batched(map(change_as_json, changes), _WRITTEN_TOGETHER):
        texts = [compact_json(some)[1:-1]]
        if size + len(texts[0]) > MAX_MESSAGE_BYTES:
            texts = list(map(compact_json, some))
        for text in texts:
            if held and size + len(text) > MAX_MESSAGE_BYTES:
                yield prefix + ",".join(held) + "]}"
                held, size = [], len(prefix) + 2
            held.append(text)
            size += len(text) + 1  # and the comma before the next one
    if held:
        yield prefix + ",".join(held) + "]}"


@lru_cache(maxsize=1_000)  # audiences; most requests and batches are about the previous request's
def _envelope_of(target: _Target) -> str:
    audience_id, destination = target
    envelope: dict[str, Any] = {"v": MESSAGE_VERSION, "audienceId": audience_id, "connectionId": None}
    fields = destination.fields
    envelope |= fields if fields.keys() <= _ON_ENVELOPE else {"destination": fields}
    return json.dumps(envelope, separators=(",", ":"))[:-1]


def _destination(envelope: dict[str, Any]) -> Destination:
    connection_id, types = envelope.get("connectionId"), envelope.get("targetTypes", [])
    if not isinstance(connection_id, str | None):
        raise InvalidMessage("connectionId is mistyped")
    if not isinstance(types, list) or not all(isinstance(each, str) for each in types):
        raise InvalidMessage("targetTypes is not a list of strings")
    fields = envelope.get("destination", {"connectionId": connection_id, "targetTypes": types})
    if not isinstance(fields, dict):
        raise InvalidMessage("destination is not an object")
    return Destination.of(fields)


def change_as_json(change: MembershipChange) -> dict[str, Any]:
    """Write a change; audience and destination are on the envelope, once."""
    fields: dict[str, Any] = {"at": change.at, "id": change.message_id, "record": change.record}
    if change.erase:
        fields["erase"] = True
    if change.named_at:
        fields["namedAt"] = change.named_at
    return fields


def _change_from_json(target: _Target, change: Any) -> MembershipChange:
    try:
        at, message_id, record = change["at"], change["id"], change["record"]
        valid = (
            type(at) is int
            and isinstance(erase := change.get("erase", False), bool)
            and isinstance(message_id, str)
            and _EXTERNAL_USER_ID.fullmatch(record["externalUserId"])
            and record["action"] in ("CREATE", "DELETE")
            and isinstance(identities := record["hashedPII"], list)
            and (len(identities) <= MAX_IDENTITIES or record["action"] == "DELETE")
            and all(isinstance(digest, str) for identity in identities for digest in identity.values())
            and isinstance(record.get("countryCode", ""), str)
            and isinstance(record.get("userConsent", {}), dict)
            and isinstance(named_at := change.get("namedAt", []), list)
            and len(named_at) in (0, len(identities))
            and all(type(each) is int for each in named_at)
            and (target[0] != EVERY_AUDIENCE or (erase and record["action"] == "DELETE"))
        )
    except (KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InvalidMessage("a change lacks at, id or a complete record")
    return MembershipChange(*target, at, message_id, record, erase, tuple(named_at))


class JobMember(NamedTuple):
    """One record of an upload."""

    member: str  # external user id
    version: str  # of its change, in the membership table's format; for a removal, the exit's
    removes: bool  # DELETE
    erases: bool = False  # identities under a deletion notice are erased once the job has ended well
    is_replay: bool = False  # the change was counted before: a rejection is not counted again
    proves: bool = False  # its end is recorded as a step of the person's erasure

    @property
    def flags(self) -> str:
        """The record's flags as written in the message."""
        return "".join(code for code, flag in zip(_FLAGS, self[2:], strict=True) if flag)


_FLAGS = "derp"  # removes, erases, is_replay, proves
_DELETES = "i"  # until November 2026: the upload was a deletion of identities, whose end proves no removal


@dataclass(frozen=True, slots=True)
class JobMessage:
    """A message of the job queue: an upload whose job at Amazon has to be checked."""

    job_id: str
    audience_id: str
    sent_at: int  # epoch milliseconds; before the request
    members: tuple[JobMember, ...]
    checks: int = 0  # made so far
    is_late: bool = False  # not ended at the first check
    destination: Destination = field(default_factory=Destination)

    def body(self) -> str:
        """The message body for the job queue."""
        fields: dict[str, Any] = {
            "v": MESSAGE_VERSION,
            "jobId": self.job_id,
            "audienceId": self.audience_id,
            "sentAt": self.sent_at,
            "checks": self.checks,
            "members": [[each.member, each.version, each.flags] for each in self.members],
        }
        fields |= {"late": True} if self.is_late else {}
        fields |= {"destination": self.destination.fields} if self.destination else {}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body. Raises InvalidMessage."""
        fields = _envelope(body)
        job_id, audience_id = fields.get("jobId"), fields.get("audienceId")
        if not isinstance(job_id, str) or not _is_id(audience_id):
            raise InvalidMessage("the message does not name a job")
        try:
            return cls(
                job_id,
                audience_id,
                _bounded(fields["sentAt"]),
                tuple(
                    JobMember(member, version, *(code in flags for code in _FLAGS))
                    for member, version, flags in map(_job_member, fields["members"])
                    if _DELETES not in flags
                ),
                min(_bounded(fields.get("checks", 0)), MAX_ATTEMPTS),
                fields.get("late") is True,
                _destination(fields),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            raise InvalidMessage("the message does not name a job") from None


def job_messages(
    job_id: str,
    audience_id: str,
    members: Sequence[JobMember],
    sent_at: int,
    destination: Destination = _DEFAULT_DESTINATION,
) -> list[str]:
    """Build the message of one upload, or several if its members fill more than one.

    Args:
        job_id: of the upload.
        audience_id: of the upload.
        members: with a record in it.
        sent_at: epoch milliseconds; before the request.
        destination: of the upload.
    """
    longest = max((len(json.dumps([each.member, each.version, each.flags])) for each in members), default=0)
    size = max(1, (MAX_MESSAGE_BYTES - 1_000) // (longest + 1))
    job = JobMessage(job_id, audience_id, sent_at, (), destination=destination)
    return [replace(job, members=some).body() for some in batched(members, size)]


@dataclass(frozen=True, slots=True)
class DeletionMessage:
    """A message of the job queue: people whose deletion from all datasets Amazon is asked for."""

    people: tuple[str, ...]  # external user ids
    due: int  # epoch seconds; before, nothing is read
    attempts: int = 0  # that failed

    def body(self) -> str:
        """The message body for the job queue."""
        fields = {"v": MESSAGE_VERSION, "deletions": self.people, "due": self.due, "attempts": self.attempts}
        return json.dumps(fields, separators=(",", ":"))


def read_job_queue(body: str) -> JobMessage | DeletionMessage:
    """Read a message of the job queue. Raises InvalidMessage."""
    fields = _envelope(body)
    if "deletions" not in fields:
        return JobMessage.from_body(body)
    try:
        people = tuple(_checked_id(each) for each in fields["deletions"])
        return DeletionMessage(people, _bounded(fields["due"]), _bounded(fields.get("attempts", 0)))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InvalidMessage("the message does not name people to delete") from None


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason a change could not be delivered."""

    reason: str  # code
    detail: str
    first_at: int  # epoch milliseconds at which the change was accepted
    last_at: int  # epoch milliseconds of the last attempt
    attempts: int = 1
    status: int | None = None  # HTTP status of Amazon's answer
    request_id: str = ""  # Amazon's id of the request or job

    @classmethod
    def of(cls, error: AudienceSyncError, *, attempts: int, first_at: int, last_at: int) -> Self:
        """Describe an error; times in epoch milliseconds."""
        status, request_id = getattr(error, "status", None), getattr(error, "request_id", "")
        return cls(error.reason, str(error), first_at, last_at, attempts, status, request_id)

    def as_json(self) -> dict[str, Any]:
        """The failure as written in a dead letter."""
        return {
            "reason": self.reason,
            "status": self.status,
            "detail": self.detail,
            "requestId": self.request_id,
            "attempts": self.attempts,
            "firstAt": self.first_at,
            "lastAt": self.last_at,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read a failure, with defaults for missing fields."""
        return cls(
            str(fields.get("reason", "")),
            str(fields.get("detail", "")),
            int(fields.get("firstAt") or 0),
            int(fields.get("lastAt") or 0),
            int(fields.get("attempts") or 1),
            fields.get("status"),
            str(fields.get("requestId") or ""),
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead letter queue: one parked change with its failure, so that redriving needs no translation.

    A whole change message that SQS itself moved there, after too many receives, has no failure.
    """

    changes: tuple[MembershipChange, ...]
    failure: Failure | None
    history: DeliveryHistory = field(default_factory=DeliveryHistory)

    @classmethod
    def parked(cls, change: MembershipChange, failure: Failure) -> Self:
        """Park one change."""
        return cls((change,), failure)

    def body(self) -> str:
        """The message body for the dead letter queue."""
        (body,) = pack(self.changes, self.history)
        return f'{body[:-1]},"failure":{json.dumps(self.failure.as_json())}}}' if self.failure else body

    def redrive_bodies(self) -> list[str]:
        """The change messages to send for another attempt. A parked change was counted as parked: it is a replay."""
        return pack(self.changes, replace(self.history, is_replay=True) if self.failure else self.history)

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body. Raises InvalidMessage."""
        envelope = _envelope(body)
        message = ChangeMessage._from_json(envelope)  # noqa: SLF001 - the same format, and the same module
        fields = envelope.get("failure")
        try:
            failure = Failure.from_json(fields) if isinstance(fields, dict) else None
        except (ValueError, TypeError, OverflowError):
            raise InvalidMessage("the failure of a dead letter is mistyped") from None
        return cls(tuple(message.changes), failure, message.history)


def _envelope(body: str) -> dict[str, Any]:
    """Read the envelope of any message. Raises InvalidMessage."""
    try:
        parsed = parse_json(body)
        # Half a surrogate pair is valid in JSON, but cannot be sent in a record.
        if _SURROGATE in body.lower():
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidMessage("the message is not JSON", reason=Reason.MESSAGE_NOT_JSON) from None
    if not isinstance(parsed, dict) or parsed.get("v") != MESSAGE_VERSION:
        raise InvalidMessage(f"the message is not of version {MESSAGE_VERSION}", reason=Reason.MESSAGE_VERSION_UNKNOWN)
    return parsed


def _is_target(value: Any) -> TypeGuard[str]:
    return value == EVERY_AUDIENCE or _is_id(value)


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and AUDIENCE_ID.fullmatch(value) is not None


def _bounded(value: Any) -> int:
    number = int(value)
    if abs(number) > _MAX_TIME:
        raise ValueError
    return number


def _checked_id(value: Any) -> str:
    if not _EXTERNAL_USER_ID.fullmatch(value):
        raise ValueError
    return str(value)


def _job_member(fields: Any) -> tuple[str, str, str]:
    member, version, flags = fields
    if not isinstance(version, str) or not isinstance(flags, str):
        raise TypeError
    Version.from_text(version)
    return _checked_id(member), version, flags
