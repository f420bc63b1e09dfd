"""The audiences at Amazon: their members with times and identifiers, and the number of matches."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from local.amazon import countries
from local.amazon.records import Record
from local.amazon.validation import MAX_TTL

type Pair = tuple[str, str]  # field, digest

FRESH = 900.0  # seconds; Amazon brings members into DSP within 15 minutes, and reports no size before
UNKNOWN = -1  # Amazon's value for an unknown size


@dataclass(slots=True)
class AudienceMember:
    """One person in one audience."""

    identifiers: tuple[Pair, ...]
    since: float  # epoch seconds; a repeated CREATE restarts it, as Amazon's guide implies
    matched: bool


@dataclass(slots=True)
class Audience:
    """One audience and its members, in the order of `since`.

    A DELETE removes the identifiers it names, and the member once none is left: the strictest reading of undocumented
    behaviour.
    """

    audience_id: int
    name: str
    description: str
    country: str | None
    advertiser_id: int | None
    connection_id: str | None
    metadata: dict[str, Any]  # externalAudienceId, ttl, audienceFees
    match_share: float
    _members: dict[str, AudienceMember] = field(default_factory=dict)
    _matched: int = 0
    _first_applied: float | None = None

    def apply(self, records: Iterable[Record], now: float) -> None:
        """Let the records of one job take effect, in their order."""
        if self._first_applied is None:
            self._first_applied = now
        for record in records:
            pairs = tuple(dict.fromkeys([pair for identity in record.identities for pair in identity]))
            if record.action == "CREATE":
                self._add(record, pairs, now)
            else:
                self._remove(record.external_user_id, pairs)

    def members(self, now: float) -> dict[str, AudienceMember]:
        """Return the members whose time to live has not ended, by externalUserId."""
        return {user: member for user, member in self._members.items() if not self._is_expired(member, now)}

    def sizes(self, now: float) -> dict[str, int]:
        """Count as Amazon does: all records, matched ones, and those in DSP. -1 if not known yet."""
        if self._first_applied is None:
            return dict.fromkeys(("receivedRecordSize", "idResolutionCount", "dspAudienceSize"), UNKNOWN)
        # Members are in the order of `since`, so expired ones come first: no pass over all the others.
        expired = list(takewhile(lambda member: self._is_expired(member, now), self._members.values()))
        matched = self._matched - sum(member.matched for member in expired)
        return {
            "receivedRecordSize": len(self._members) - len(expired),
            "idResolutionCount": matched,
            "dspAudienceSize": UNKNOWN if now - self._first_applied < FRESH else matched,
        }

    def _is_expired(self, member: AudienceMember, now: float) -> bool:
        ttl: float = self.metadata.get("ttl", MAX_TTL)
        return now - member.since >= ttl  # 0 empties the audience, softly

    def _add(self, record: Record, pairs: tuple[Pair, ...], now: float) -> None:
        before = self._members.pop(record.external_user_id, None)
        if before:
            self._matched -= before.matched
            pairs = tuple(dict.fromkeys(before.identifiers + pairs))  # not documented that old ones are dropped
        country = record.country or self.country
        matched = (country is None or country in countries.MATCHED) and is_match(pairs[0][1], self.match_share)
        self._members[record.external_user_id] = AudienceMember(pairs, now, matched)
        self._matched += matched

    def _remove(self, external_user_id: str, named: tuple[Pair, ...]) -> None:
        member = self._members.get(external_user_id)
        if member is None:
            return
        left = tuple([pair for pair in member.identifiers if pair not in named])
        if left:
            member.identifiers = left
        else:
            self._matched -= member.matched
            del self._members[external_user_id]


class AudienceIds:
    """18-digit ids, the same for the same seed. All are odd: no double holds an odd number of this size exactly."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"audiences {seed}")

    def next(self) -> int:
        """Return an id not given before (a repetition in 10^17 is not guarded against)."""
        return self._random.randrange(3 * 10**17, 5 * 10**17) | 1


def identifiers_by_field(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    """Group (field, digest) pairs, digests sorted."""
    grouped: dict[str, list[str]] = {}
    for name, digest in sorted(pairs):
        grouped.setdefault(name, []).append(digest)
    return grouped


def is_match(digest: str, share: float) -> bool:
    """Decide by a member's first digest: as good as random, but stable for each person."""
    return int(digest[:8], 16) < share * 2**32
