"""Audiences, the changes their members go through, and which of several changes is the newest."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

MAX_IDENTITIES = 100  # objects in one record's hashedPII; Amazon's limit

type Member = tuple[str, str]  # audience id, external user id


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
    erase: bool = False  # a deletion notice: keep no identifiers once the member has left
    target_types: tuple[str, ...] = ()  # of the audience: where the record goes beside the connection's AMC instance

    @property
    def member(self) -> Member:
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


def coalesce(changes: Iterable[MembershipChange]) -> list[MembershipChange]:
    """Keep one change for each member: the newest, with the identities that any of the others carried.

    Identities merge because Segment sends one event for each identifier of a profile, and an exit should remove
    every identity the member entered with. Commutative, associative and idempotent, so that it does not matter how
    deliveries were split, repeated or ordered.

    Returns:
        The surviving changes, in the order in which their members first appeared.
    """
    by_member: dict[Member, list[MembershipChange]] = {}
    for change in changes:
        by_member.setdefault(change.member, []).append(change)
    return [same[0] if len(same) == 1 else _merged(same) for same in by_member.values()]


def _merged(same: list[MembershipChange]) -> MembershipChange:
    newest = max(
        same, key=lambda change: (change.version, change.erase, canonical_json(change.record), change.target_types)
    )
    identities = {canonical_json(identity): identity for change in same for identity in change.record["hashedPII"]}
    kept = [identities[key] for key in sorted(identities)[:MAX_IDENTITIES]]
    # A deletion notice holds, even where a plain exit came later.
    erase = any(change.erase for change in same)
    return replace(newest, record=newest.record | {"hashedPII": kept}, erase=erase)


def canonical_json(value: Any) -> str:
    """Write a value so that equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
