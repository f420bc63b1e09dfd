"""The messages of the change queue, and how many changes share one."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import batched, repeat
from typing import Any, NamedTuple, Self

from audience_sync.clock import CLOCKS_APART, MAX_AHEAD, EpochMilliseconds, EpochSeconds
from audience_sync.errors import InvalidMessage
from audience_sync.members.envelope import (
    EXTERNAL_USER_ID,
    MAX_ATTEMPTS,
    MAX_CONSENT,
    MAX_FIELDS,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_ID,
    MAX_TEXT,
    MAX_TIME,
    MESSAGE_VERSION,
    destination_in,
    is_audience_id,
    is_time,
    read_envelope,
)
from audience_sync.members.membership import EVERY_AUDIENCE, MAX_IDENTITIES, Destination, Identity, MembershipChange
from audience_sync.quick_json import compact_json
from audience_sync.reasons import Reason

MAX_WAIT = 7 * 86_400  # seconds for which the change queue keeps a message
_WRITTEN_TOGETHER = 32  # changes, in half the time of one by one; a tenth of a message

# Fields of a destination with places of their own on the envelope: the original ones. Others are in `destination`.
_ON_ENVELOPE = {"connectionId", "targetTypes"}

_RECORD_FIELDS = {"externalUserId", "countryCode", "action", "hashedPII", "userConsent"}

type _Target = tuple[str, Destination]  # audience and its destination


class Untracked(NamedTuple):
    """An upload of a message's changes whose job could not be tracked."""

    job_id: str
    sent_at: EpochMilliseconds  # before the request
    removes: bool  # its records of these members were removals


@dataclass(frozen=True, slots=True)
class DeliveryHistory:
    """Earlier deliveries of a message's changes."""

    attempts: int = 0  # deliveries tried before this message
    first_at: EpochMilliseconds | None = None  # at which its changes were accepted
    was_counted: bool = False  # sent again: the changes were counted before, and are not counted again
    is_repetition: bool = False  # only names members: whatever is due in their rows is sent
    untracked: Untracked | None = None
    unread_until: EpochSeconds | None = None  # before which the rows of its members need not be read
    origin: str | None = None  # id of the first message with its changes: copies share it, and count once

    def as_json(self) -> dict[str, Any]:
        """The history as written on the envelope."""
        fields = {
            "attempts": self.attempts,
            "firstAt": self.first_at,
            "replay": self.was_counted,
            "repetition": self.is_repetition,
            "untracked": self.untracked,
            "waitsUntil": self.unread_until,
            "origin": self.origin,
        }
        return {name: value for name, value in fields.items() if value}

    def is_early(self, now: float) -> bool:
        """Return whether the changes are not due yet at `now`, in epoch seconds; none waits for more than a week."""
        return now < (self.unread_until or 0) <= now + MAX_WAIT

    @classmethod
    def from_json(cls, envelope: dict[str, Any]) -> Self:
        """Read the history. Malformed fields count as absent: only waiting times depend on them."""
        attempts, first_at = envelope.get("attempts"), envelope.get("firstAt")
        unread_until, origin = envelope.get("waitsUntil"), envelope.get("origin")
        return cls(
            attempts if type(attempts) is int and 0 < attempts < MAX_ATTEMPTS else 0,
            first_at if type(first_at) is int and 0 < first_at < MAX_TIME else None,
            envelope.get("replay") is True,
            envelope.get("repetition") is True,
            _untracked(envelope.get("untracked")),
            unread_until if type(unread_until) is int and 0 < unread_until < MAX_TIME else None,
            origin if isinstance(origin, str) and origin else None,
        )


def _untracked(value: Any) -> Untracked | None:
    match value:
        case [str(job_id), sent_at, bool(removes)] if job_id and type(sent_at) is int and 0 < sent_at < MAX_TIME:
            return Untracked(job_id, sent_at, removes)
    return None


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """A message of the change queue: changes of one audience, or deletion notices, which concern every audience."""

    audience_id: str
    destination: Destination
    changes: list[MembershipChange]
    history: DeliveryHistory = field(default_factory=DeliveryHistory)
    unknown_fields: int = 0  # records with fields that this version does not know; these are not kept

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body.

        Raises:
            InvalidMessage: not JSON, an unknown version, or an invalid field.
        """
        return cls.from_envelope(read_envelope(body))

    @classmethod
    def from_envelope(cls, envelope: dict[str, Any]) -> Self:
        """Read a message of which the JSON is read. Raises InvalidMessage."""
        audience_id, changes = envelope.get("audienceId"), envelope.get("changes")
        if not (audience_id == EVERY_AUDIENCE or is_audience_id(audience_id)) or not isinstance(changes, list):
            raise InvalidMessage("audienceId or changes is missing or mistyped")
        target = (audience_id, destination_in(envelope))
        read = [_change_from_json(target, change) for change in changes]
        unknown = sum(not change["record"].keys() <= _RECORD_FIELDS for change in changes)
        return cls(*target, read, DeliveryHistory.from_json(envelope), unknown)

    def check_times(self, now: EpochMilliseconds) -> None:
        """Raise InvalidMessage if a change is dated ahead: no exit and no deletion would count until then."""
        latest = now + MAX_AHEAD + CLOCKS_APART * 1000
        if any(each.at > latest or any(named > latest for named, _ in each.identities) for each in self.changes):
            raise InvalidMessage("a change is dated more than five minutes ahead", reason=Reason.TIME_AHEAD)


REPETITION = DeliveryHistory(was_counted=True, is_repetition=True)


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


def change_as_json(change: MembershipChange) -> dict[str, Any]:
    """Write a change; audience and destination are on the envelope, once."""
    fields: dict[str, Any] = {"at": change.at, "id": change.message_id, "record": record_as_json(change)}
    if change.erase:
        fields["erase"] = True
    for named, _ in change.identities:
        if named != change.at:
            fields["namedAt"] = [each.at for each in change.identities]
            break
    return fields


def record_as_json(change: MembershipChange) -> dict[str, Any]:
    """Return the record of a change: what it states of its member, in one format for every destination.

    It looks like a record of the audience API, which it once was. Each API's own records are built for an upload.
    """
    record: dict[str, Any] = {"externalUserId": change.member_id}
    if change.country is not None:
        record["countryCode"] = change.country
    record["action"] = "DELETE" if change.exits else "CREATE"
    record["hashedPII"] = [digests for _, digests in change.identities]
    if change.consent is not None:
        record["userConsent"] = change.consent
    return record


def _is_identity(identity: Any) -> bool:
    """Return whether an identity is Amazon's field names with strings. Raises AttributeError."""
    for name, digest in identity.items():  # a generator takes twice as long
        if not isinstance(digest, str) or len(digest) > MAX_TEXT or len(name) > MAX_TEXT:
            return False
    return len(identity) <= MAX_FIELDS


def _change_from_json(target: _Target, change: Any) -> MembershipChange:
    try:
        at, message_id, record = change["at"], change["id"], change["record"]
        valid = (
            is_time(at)
            and isinstance(erase := change.get("erase", False), bool)
            and isinstance(message_id, str)
            and len(message_id) <= MAX_MESSAGE_ID
            and EXTERNAL_USER_ID.fullmatch(member_id := record["externalUserId"])
            and (action := record["action"]) in ("CREATE", "DELETE")
            and isinstance(identities := record["hashedPII"], list)
            and (len(identities) <= MAX_IDENTITIES or action == "DELETE")
            and all(map(_is_identity, identities))
            and isinstance(country := record.get("countryCode", ""), str)
            and len(country) <= MAX_TEXT
            and isinstance(consent := record.get("userConsent", {}), dict)
            and not (consent and len(str(consent)) > MAX_CONSENT)
            and isinstance(named_at := change.get("namedAt", []), list)
            and len(named_at) in (0, len(identities))
            and all(map(is_time, named_at))
            and (target[0] != EVERY_AUDIENCE or (erase and action == "DELETE"))
        )
    except (KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InvalidMessage("a change lacks at, id or a complete record")
    audience_id, destination = target
    return MembershipChange(
        audience_id,
        member_id,
        destination,
        at,
        message_id,
        action == "DELETE",
        tuple(map(Identity, named_at or repeat(at), identities)),
        country or None,
        record.get("userConsent"),
        erase,
    )
