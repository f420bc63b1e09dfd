"""Audiences, membership changes and their order."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self

from audience_sync.clock import EpochMilliseconds

MAX_IDENTITIES = 100  # objects in one record's hashedPII; Amazon's limit

EVERY_AUDIENCE = "*"  # in place of an audience id: a deletion notice, which also applies to future audiences

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # json.dumps would build one for each call

# Of an audience: a number, or a dataset's id, whose format Amazon does not declare. None of these characters separates
# anything in our tables, messages or metrics.
AUDIENCE_ID = re.compile(r"[0-9]{1,20}|(?=.*[^0-9])[0-9A-Za-z][0-9A-Za-z._:-]{0,127}")

type Member = tuple[str, str]  # audience id, external user id
type Consent = Mapping[str, Any]  # signals; empty: there are none. Stored and sent as it is, so whatever it holds


# Added to a time before 1970, so that a later one has the larger string. Ingest rejects such times; messages may not.
_BEFORE_1970 = 10**15


class Version(NamedTuple):
    """Orders the changes of one member; the largest is the newest. An exit outranks an enter of the same moment."""

    at: EpochMilliseconds
    exits: bool
    message_id: str

    @property
    def text(self) -> str:
        """The version as a string with the same order."""
        at = f"{self.at:016d}" if self.at >= 0 else f"-{_BEFORE_1970 + self.at:015d}"
        return f"{at}#{int(self.exits)}#{self.message_id}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a version back. Raises ValueError."""
        at, exits, message_id = text.split("#", 2)
        if exits not in ("0", "1"):
            raise ValueError("not a version")
        return cls(int(at[1:]) - _BEFORE_1970 if at.startswith("-") else int(at), exits == "1", message_id)


class Identity(NamedTuple):
    """One identity of a member, hashed."""

    at: EpochMilliseconds  # of the newest change that named it
    digests: dict[str, str]  # Amazon's field name to SHA-256, hex

    def __repr__(self) -> str:
        """Show only the time: a digest of an address is also personal data."""
        return f"Identity(at={self.at})"

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """A key that is equal for equal identities."""
        return tuple(sorted(self.digests.items()))


class Destination(str):
    """The place of an audience's members at Amazon. Carried and compared everywhere, read only by `amazon_ads`.

    The formats of queues and tables keep its fields without knowing their meaning. As a JSON string, it costs a change
    next to nothing.
    """

    __slots__ = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Build the destination from fields that JSON can hold. Empty fields are left out."""
        filled = {name: value for name, value in fields.items() if value}
        return cls(canonical_json(filled) if filled else "")

    @property
    def fields(self) -> dict[str, Any]:
        """The fields, by name."""
        fields: dict[str, Any] = json.loads(self or "{}")
        return fields


class FilledBy(StrEnum):
    """Who has sent members to an audience. A removal names only the identifiers that this stack stores."""

    STACK = "stack"  # this stack alone: it has created the audience, or the operator has said so
    OTHERS = "others"  # Segment's own destination as well, or another system
    UNKNOWN = "unknown"  # linked without an answer, or the row is from before it was recorded, or from a later version


@dataclass(frozen=True, slots=True)
class Audience:
    """An Amazon audience in the audience table. Events reach the listed ones, deletions all."""

    audience_id: str  # decimal digits; a string until the request body is built, since it exceeds 2**53
    name: str = ""
    country: str | None = None  # ISO 3166-1 alpha-2
    destination: Destination = field(default_factory=Destination)
    computation_key: str | None = None  # Segment's snake_case key
    external_audience_id: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    unlinked_at: EpochMilliseconds | None = None  # at which it was taken off the list; None while listed
    also: bool = False  # shares its computation key with another audience on purpose: events reach both
    moved_to: str | None = None  # id of the audience that events for this one reach once it is unlinked
    filled_by: FilledBy = FilledBy.UNKNOWN


def may_share_a_key(audiences: Iterable[Audience]) -> bool:
    """Return whether events may reach all of these audiences of one computation key: one at most lacks `also`."""
    return sum(not each.also for each in audiences) <= 1


def after_moves(audience: Audience | None, stored: Callable[[str], Audience | None]) -> Audience | None:
    """Return the listed audience that events for a moved one reach; None if moves end nowhere, or in a cycle.

    Args:
        audience: listed or unlinked.
        stored: returns an audience by its id, listed or unlinked.
    """
    passed: set[str] = set()
    while audience and audience.unlinked_at is not None:
        if audience.moved_to is None or audience.audience_id in passed:
            return None
        passed.add(audience.audience_id)
        audience = stored(audience.moved_to)
    return audience


@dataclass(slots=True)  # frozen, it would take three times as long to make; never changed
class MembershipChange:
    """One member entering or leaving one audience."""

    audience_id: str
    member_id: str = field(repr=False)
    destination: Destination
    at: EpochMilliseconds
    message_id: str
    exits: bool  # the member leaves
    identities: tuple[Identity, ...] = ()  # each with the time of the event that named it
    country: str | None = field(default=None, repr=False)  # ISO 3166-1 alpha-2
    consent: Consent | None = field(default=None, repr=False)  # of an exit, None if only the row knows it
    erase: bool = False  # a deletion notice: keep no identifiers once the member has left

    @property
    def member(self) -> Member:
        """The audience and external user id."""
        return self.audience_id, self.member_id

    @property
    def version(self) -> Version:
        """The place of this change among all changes of its member."""
        return Version(self.at, self.exits, self.message_id)

    @property
    def denies_consent(self) -> bool:
        """Whether the person has denied consent. An exit that erases, and does not say so, is a deletion notice."""
        return denies_consent(self.consent)


def denies_consent(consent: Consent | None) -> bool:
    """Return whether consent is denied. Messages and rows promise an object as consent, and nothing within it."""
    signals: Any = consent
    for name in ("consent", "amzn"):
        signals = signals.get(name) if isinstance(signals, dict) else None
    return isinstance(signals, dict) and "DENIED" in signals.values()


class ChangeOutcome(StrEnum):
    """The final outcome of a change. One that stays in the queue has none."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


def coalesce(changes: Iterable[MembershipChange]) -> list[MembershipChange]:
    """Keep the newest change of each member, and before an enter also the exit that ended the previous life.

    Identities merge because Segment sends one event for each identifier of a profile, and an exit should remove every
    identity the member entered with. They merge only within one life, never across an exit or a deletion notice into a
    newer enter. Commutative, associative and idempotent, so deliveries may be split, repeated or reordered.

    Returns:
        One or two changes of each member, the older one first, in the order in which members first appeared.
    """
    by_member: dict[Member, list[MembershipChange]] = {}
    for change in changes:
        by_member.setdefault(change.member, []).append(change)
    return [kept for same in by_member.values() for kept in (same if len(same) == 1 else _lives(same))]


def since(changes: Sequence[MembershipChange], notice: Version) -> list[MembershipChange]:
    """Return the changes of an unknown member that count after a deletion notice.

    Args:
        changes: as `coalesce` returns them.
        notice: the deletion notice's version. A change from before it may arrive later.

    Returns:
        The newer changes, without identities named before the notice; none if the newest change is older.
    """
    newer = [change for change in changes if change.version > notice]
    return [
        replace(change, identities=tuple(each for each in change.identities if each.at > notice.at)) for change in newer
    ]


def _lives(same: list[MembershipChange]) -> list[MembershipChange]:
    exits = [change for change in same if change.exits]
    if not exits:
        return [_merged(same)]
    left = max(exits, key=_rank).version
    before = [change for change in same if change.version <= left]
    after = [change for change in same if change.version > left]
    if not after:
        return [_merged(before)]
    entered = _merged(after)
    # Identities from an earlier merge belong to the life that has ended.
    old = tuple(each for each in entered.identities if each.at <= left.at)
    if old:
        carrier = max(before, key=_rank)
        before = [*before, replace(carrier, identities=carrier.identities + old)]
        entered = replace(entered, identities=tuple(each for each in entered.identities if each.at > left.at))
    return [_merged(before), entered]


def _rank(change: MembershipChange) -> Any:
    """Return a place of a change among those of its member; of two with the same, all but the times are equal."""
    place, consent = change.destination, change.consent
    content = [change.country, [each.digests for each in change.identities], consent is None, consent]
    return change.version, change.erase, canonical_json(content), len(place), place


def _merged(same: list[MembershipChange]) -> MembershipChange:
    """Merge changes of one life into the newest. The newest's own identities are kept first, then those named last."""
    if len(same) == 1:
        return same[0]
    newest = max(same, key=_rank)
    named: dict[str, Identity] = {}
    for change in same:
        for each in change.identities:
            key = canonical_json(each.digests)
            if key not in named or named[key].at < each.at:
                named[key] = each
    ordered = sorted(named, key=lambda key: (-named[key].at, key))
    kept = [named[key] for key in (ordered if newest.exits else ordered[:MAX_IDENTITIES])]
    # A deletion notice holds even if a plain exit came later. An enter erases nothing.
    erase = any(change.erase and change.exits for change in same) and newest.exits
    return replace(newest, identities=tuple(kept), erase=erase)


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal values."""
    return _CANONICAL.encode(value)
