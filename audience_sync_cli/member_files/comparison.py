"""Compares the members of a file with the rows of an audience in the membership table.

Of a member of the file, only the id and eight bytes of each identifier are kept: about 300 bytes, with all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from enum import StrEnum

from audience_sync.fields import IDENTIFIERS
from audience_sync.member_state import MemberState
from audience_sync.membership import MembershipChange

SAMPLED = 3  # members of each difference
_PIECE = 8  # bytes kept of an identifier: its field, and the beginning of its digest
_CODES = {each.amazon_name: bytes([code]) for code, each in enumerate(IDENTIFIERS)}


class Difference(StrEnum):
    """How a member of the file or of the audience stands."""

    SAME = "same"
    MISSING = "missing"  # in the file only
    LEFT = "left"  # in the file, and left the audience before the file was written
    DIFFERENT = "different"  # in both, but not with every identifier of the file
    SURPLUS = "surplus"  # in the audience only
    LEFT_SINCE = "left since"  # the file was written
    ENTERED_SINCE = "entered since"
    CHANGED_SINCE = "changed since"
    ERASED = "erased"  # in the file, but named in a deletion notice and not in the audience


ENTERS = frozenset({Difference.MISSING, Difference.LEFT, Difference.DIFFERENT})
"""What an enter as of the file repairs."""

type OnDifference = Callable[[str, Difference], None]


@dataclass
class Comparison:
    """The members of a file, and how they and those of the audience differ."""

    at: int  # epoch milliseconds, the time of the file
    counts: Counter[Difference] = field(default_factory=Counter)
    sample: dict[Difference, list[str]] = field(default_factory=dict)
    enters: set[str] = field(default_factory=set)  # members that an enter repairs
    surplus: list[str] = field(default_factory=list)
    _members: dict[str, bytes] = field(default_factory=dict)  # of the file, those not yet found in the audience

    def add(self, change: MembershipChange) -> None:
        """Take one member of the file. Several rows of one member merge."""
        _, member = change.member
        pieces = b"".join(
            _piece(name, digest) for identity in change.record["hashedPII"] for name, digest in identity.items()
        )
        before = self._members.get(member)
        self._members[member] = before + pieces if before else pieces

    @property
    def members(self) -> int:
        """How many members the file has; before the comparison."""
        return len(self._members)

    @property
    def inside(self) -> int:
        """How many members the audience has; after the comparison."""
        inside = (Difference.SAME, Difference.DIFFERENT, Difference.CHANGED_SINCE, Difference.SURPLUS)
        return sum(self.counts[each] for each in (*inside, Difference.ENTERED_SINCE))

    def compare(self, states: Iterable[MemberState], erased: Set[str], on_difference: OnDifference) -> None:
        """Compare with the audience, once.

        Args:
            states: all rows of the audience.
            erased: external user ids that a deletion notice names.
            on_difference: is given each member who is not the same in both.
        """
        for state in states:
            _, member = state.newest.member
            pieces = self._members.pop(member, None)
            found = self._unlisted(state) if pieces is None else self._listed(state, pieces)
            if found is Difference.LEFT and member in erased:
                found = Difference.ERASED
            if found:
                self._note(member, found, on_difference)
        for member in self._members:
            self._note(member, Difference.ERASED if member in erased else Difference.MISSING, on_difference)

    def _listed(self, state: MemberState, pieces: bytes) -> Difference:
        newest = state.newest
        if newest.exits:
            return Difference.LEFT_SINCE if newest.at >= self.at else Difference.LEFT
        active = {_piece(name, digest) for identity in state.active for name, digest in identity.digests.items()}
        if all(pieces[start : start + _PIECE] in active for start in range(0, len(pieces), _PIECE)):
            return Difference.SAME
        return Difference.CHANGED_SINCE if newest.at > self.at else Difference.DIFFERENT

    def _unlisted(self, state: MemberState) -> Difference | None:
        if state.newest.exits:
            return None
        return Difference.ENTERED_SINCE if state.newest.at > self.at else Difference.SURPLUS

    def _note(self, member: str, found: Difference, on_difference: OnDifference) -> None:
        self.counts[found] += 1
        if found is Difference.SAME:
            return
        sample = self.sample.setdefault(found, [])
        if len(sample) < SAMPLED:
            sample.append(member)
        if found in ENTERS:
            self.enters.add(member)
        elif found is Difference.SURPLUS:
            self.surplus.append(member)
        on_difference(member, found)


def _piece(name: str, digest: str) -> bytes:
    return _CODES[name] + bytes.fromhex(digest[: 2 * (_PIECE - 1)])
