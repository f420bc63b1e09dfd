"""The members of one dataset, and two readings of how a removal finds one."""

from dataclasses import dataclass
from typing import Literal

from local.amazon.audiences import Pair

type Finding = Literal["id", "identity"]


@dataclass(slots=True)
class DatasetMember:
    """One person in one dataset."""

    identifiers: tuple[Pair, ...]
    since: float  # epoch seconds; a repeated CREATE restarts it
    matched: bool
    request: int  # the n of the newest request with a CREATE that took effect


class Membership:
    """All members, by externalUserId and by identifier.

    By id, a removal ends the member. By identity, it takes the identifiers that it names from all who have them, and
    ends a member once none is left: the strictest reading of undocumented behaviour.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, DatasetMember] = {}
        self.matched = 0
        self._holders: dict[Pair, set[str]] = {}

    def add(self, user: str, pairs: tuple[Pair, ...], now: float, *, matched: bool, request: int) -> None:
        """Add a member, or identifiers to one: it is not documented that old ones are dropped."""
        before = self.by_id.pop(user, None)
        if before:
            pairs = tuple(dict.fromkeys(before.identifiers + pairs))
            request = max(request, before.request)
            self.matched -= before.matched
        self.matched += matched
        self.by_id[user] = DatasetMember(pairs, now, matched, request)
        for pair in pairs:
            self._holders.setdefault(pair, set()).add(user)

    def remove(self, user: str, named: tuple[Pair, ...], finding: Finding) -> None:
        """Let a removal take effect."""
        if finding == "id":
            self.forget_id(user)
        else:
            self.forget_identity(named)

    def forget_id(self, user: str, before: int | None = None) -> None:
        """Remove a member, unless added by a request at or after the n-th, `before`."""
        member = self.by_id.get(user)
        if member and (before is None or member.request < before):
            self._strip(user, member, member.identifiers)

    def forget_identity(self, named: tuple[Pair, ...], before: int | None = None) -> None:
        """Remove identifiers from all who have them, with the same exception."""
        for user in {user: None for pair in named for user in sorted(self._holders.get(pair, ()))}:
            member = self.by_id[user]
            if before is None or member.request < before:
                self._strip(user, member, named)

    def _strip(self, user: str, member: DatasetMember, named: tuple[Pair, ...]) -> None:
        for pair in set(named).intersection(member.identifiers):
            self._holders[pair].remove(user)
            if not self._holders[pair]:
                del self._holders[pair]
        member.identifiers = tuple([pair for pair in member.identifiers if pair not in named])
        if not member.identifiers:
            del self.by_id[user]
            self.matched -= member.matched
