"""Members of audiences, the changes they go through, and which of several changes is the newest."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self, TypeGuard

from audience_sync.errors import InvalidMessage

MAX_IDENTITIES = 100  # objects in one record's hashedPII; Amazon's limit
MESSAGE_VERSION = 1
MAX_ATTEMPTS = 1_000_000  # more than any message can have had
_MEMBER = re.compile(r"[0-9a-zA-Z_-]{1,128}")  # Amazon's pattern
MAX_MESSAGE = 240_000  # bytes of one message body; four of them fit one SendMessageBatch


type _Target = tuple[str, str | None, tuple[str, ...]]  # audience, connection, target types


class Version(NamedTuple):
    """Orders the changes of one member; the largest is the newest. An exit outranks an enter of the same moment."""

    at: int  # epoch milliseconds
    exits: bool
    message_id: str


@dataclass(frozen=True, slots=True)
class Audience:
    """An Amazon audience that events may reach, as the audience table lists it."""

    audience_id: str  # decimal digits; a string until the request body is built, since it exceeds 2**53
    name: str = ""
    country: str | None = None  # ISO 3166-1 alpha-2
    advertiser_id: str | None = None
    connection_id: str | None = None
    computation_key: str | None = None  # Segment's snake_case key
    external_audience_id: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def target_types(self) -> tuple[str, ...]:
        """Where members go beside the AMC instance of the connection. An advertiser's audience has no such choice."""
        return ("DSP",) if self.connection_id and self.settings.get("dsp") is True else ()


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One member entering or leaving one audience. `record` is in Amazon's shape already."""

    audience_id: str
    connection_id: str | None
    at: int  # epoch milliseconds
    message_id: str
    record: dict[str, Any]
    forget: bool = False  # the person asked to be forgotten: keep no identifiers afterwards
    target_types: tuple[str, ...] = ()  # of the audience: where the record goes beside the connection's AMC instance

    @property
    def member(self) -> tuple[str, str]:
        """What identifies a member: audience and external user id."""
        return self.audience_id, self.record["externalUserId"]

    @property
    def exits(self) -> bool:
        """Whether the member leaves."""
        return bool(self.record["action"] == "DELETE")

    @property
    def version(self) -> Version:
        """The place of this change among all changes of its member."""
        return Version(self.at, self.exits, self.message_id)

    def as_json(self) -> dict[str, Any]:
        """The change as a message carries it; audience, connection and target types stand once on the envelope."""
        change = {"at": self.at, "id": self.message_id, "record": self.record}
        return change | {"forget": True} if self.forget else change


def coalesce(changes: Iterable[MembershipChange]) -> list[MembershipChange]:
    """Keep one change for each member: the newest, with the identities that any of the others carried.

    Identities merge because Segment sends one event for each identifier of a profile, and an exit should remove
    every identity the member entered with. Commutative, associative and idempotent, so that it does not matter how
    deliveries were split, repeated or ordered.

    Returns:
        The surviving changes, in the order in which their members first appeared.
    """
    by_member: dict[tuple[str, str], list[MembershipChange]] = {}
    for change in changes:
        by_member.setdefault(change.member, []).append(change)
    return [same[0] if len(same) == 1 else _merged(same) for same in by_member.values()]


def _merged(same: list[MembershipChange]) -> MembershipChange:
    newest = max(
        same, key=lambda change: (change.version, change.forget, _canonical(change.record), change.target_types)
    )
    identities = {_canonical(identity): identity for change in same for identity in change.record["hashedPII"]}
    kept = [identities[key] for key in sorted(identities)[:MAX_IDENTITIES]]
    # Whoever asked to be forgotten is, even where a plain exit came later.
    forget = any(change.forget for change in same)
    return replace(newest, record=newest.record | {"hashedPII": kept}, forget=forget)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class DeliveryHistory:
    """What a message remembers of its changes' earlier life."""

    attempts: int = 0  # deliveries tried before this message
    first_at: int | None = None  # epoch milliseconds at which its changes were accepted
    again: bool = False  # a repetition of changes that were delivered already: they count no more

    def as_json(self) -> dict[str, Any]:
        """The history as the envelope carries it."""
        told = {"attempts": self.attempts, "firstAt": self.first_at, "again": self.again}
        return {name: value for name, value in told.items() if value}

    @classmethod
    def from_json(cls, envelope: dict[str, Any]) -> Self:
        """Read it back, forgiving what is missing or strange: nothing but waiting times hangs on it."""
        attempts, first_at = envelope.get("attempts"), envelope.get("firstAt")
        return cls(
            attempts if type(attempts) is int and 0 < attempts < MAX_ATTEMPTS else 0,
            first_at if isinstance(first_at, int) and first_at > 0 else None,
            envelope.get("again") is True,
        )


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """The envelope of the change queue: changes of one audience."""

    audience_id: str
    connection_id: str | None
    changes: list[MembershipChange]
    history: DeliveryHistory = field(default_factory=DeliveryHistory)
    target_types: tuple[str, ...] = ()

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body.

        Raises:
            InvalidMessage: not JSON, an unknown version, or a field that does not hold what it must.
        """
        try:
            envelope = json.loads(body)
        except (ValueError, RecursionError):
            raise InvalidMessage("the message is not JSON", reason="message_not_json") from None
        if not isinstance(envelope, dict) or envelope.get("v") != MESSAGE_VERSION:
            raise InvalidMessage(f"the message is not of version {MESSAGE_VERSION}", reason="message_version_unknown")
        audience_id, connection_id = envelope.get("audienceId"), envelope.get("connectionId")
        changes = envelope.get("changes")
        if not _is_id(audience_id) or not isinstance(connection_id, str | None) or not isinstance(changes, list):
            raise InvalidMessage("audienceId, connectionId or changes is missing or mistyped")
        types = envelope.get("targetTypes", [])
        if not isinstance(types, list) or not all(isinstance(each, str) for each in types):
            raise InvalidMessage("targetTypes is not a list of texts")
        target = (audience_id, connection_id, tuple(types))
        read = [_change(target, change) for change in changes]
        return cls(audience_id, connection_id, read, DeliveryHistory.from_json(envelope), tuple(types))


def pack(changes: Iterable[MembershipChange], history: "DeliveryHistory | None" = None) -> list[str]:
    """Lay changes out as message bodies: each holds changes of one audience and at most MAX_MESSAGE bytes.

    A change is far smaller than that, since identities and consent strings are bounded when it is made.

    Args:
        changes: in any order; they keep it within their audience.
        history: what is remembered of them; of new ones, when they were accepted.
    """
    by_target: dict[_Target, list[str]] = {}
    for change in changes:
        # Escaped to ASCII, so that characters are bytes; SQS refuses some control characters that JSON allows.
        text = json.dumps(change.as_json(), separators=(",", ":"))
        by_target.setdefault((change.audience_id, change.connection_id, change.target_types), []).append(text)
    told = history.as_json() if history else {}
    return [body for target, texts in by_target.items() for body in _bodies(target, texts, told)]


def _bodies(target: _Target, texts: list[str], told: dict[str, Any]) -> Iterator[str]:
    audience_id, connection_id, types = target
    envelope: dict[str, Any] = {"v": MESSAGE_VERSION, "audienceId": audience_id, "connectionId": connection_id}
    envelope |= ({"targetTypes": types} if types else {}) | told
    prefix = json.dumps(envelope, separators=(",", ":"))[:-1] + ',"changes":['
    held: list[str] = []
    size = len(prefix) + 2
    for text in texts:
        if held and size + len(text) + 1 > MAX_MESSAGE:
            yield prefix + ",".join(held) + "]}"
            held, size = [], len(prefix) + 2
        held.append(text)
        size += len(text) + 1
    if held:
        yield prefix + ",".join(held) + "]}"


def _change(target: _Target, change: Any) -> MembershipChange:
    try:
        at, message_id, record = change["at"], change["id"], change["record"]
        valid = (
            isinstance(at, int)
            and isinstance(forget := change.get("forget", False), bool)
            and isinstance(message_id, str)
            and _MEMBER.fullmatch(record["externalUserId"])
            and record["action"] in ("CREATE", "DELETE")
            and isinstance(record["hashedPII"], list)
            and len(record["hashedPII"]) <= MAX_IDENTITIES
            and all(isinstance(identity, dict) for identity in record["hashedPII"])
        )
    except (KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InvalidMessage("a change lacks at, id or a complete record")
    audience_id, connection_id, types = target
    return MembershipChange(audience_id, connection_id, at, message_id, record, forget, types)


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit()
