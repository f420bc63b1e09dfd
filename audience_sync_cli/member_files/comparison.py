"""Compares the members of a file with the rows of an audience in the membership table.

Keeps only the id of each member and eight bytes of each identifier: about 300 bytes for a member with every identifier.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from audience_sync.fields import IDENTIFIERS
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MembershipChange
from audience_sync.reasons import Reason
from audience_sync_cli.frame.unusable import Unusable
from audience_sync_cli.member_files.erased import Erased, is_erased
from audience_sync_cli.member_files.repeated_ids import Repeated
from audience_sync_cli.member_files.row_changes import LeftOut

SAMPLED = 3  # members of each difference
_PIECE = 8  # bytes kept of an identifier: its field, and the beginning of its digest
_CODES = {each.amazon_name: bytes([code]) for code, each in enumerate(IDENTIFIERS)}


class Difference(StrEnum):
    """The difference between a member's row in the file and in the audience."""

    SAME = "same"
    MISSING = "missing"  # in the file only
    LEFT = "left"  # in the file, and left the audience before the file was written
    DIFFERENT = "different"  # in both, but not with every identifier of the file
    SURPLUS = "surplus"  # in the audience only
    LEFT_SINCE = "left since"  # the file was written
    ENTERED_SINCE = "entered since"
    CHANGED_SINCE = "changed since"
    ERASED = "erased"  # in the file, but named in a deletion notice and not entered since
    ROW_LEFT_OUT = "row left out"  # in the audience, and in the file with a row that cannot be sent
    CONSENT_DENIED = "consent denied"  # likewise, by a row that denies consent


ENTERS = frozenset({Difference.MISSING, Difference.LEFT, Difference.DIFFERENT})
"""Differences that an enter dated as the file repairs."""

_ROW_LEFT_OUT = frozenset({Difference.ROW_LEFT_OUT, Difference.CONSENT_DENIED})
_INSIDE = frozenset(Difference) - {Difference.MISSING, Difference.LEFT, Difference.LEFT_SINCE, Difference.ERASED}

type OnDifference = Callable[[str, Difference, str], None]  # member; reason for which the member's row is left out


@dataclass
class Comparison:
    """The members of a file, and their differences from the audience."""

    at: int  # epoch milliseconds, the time of the file
    counts: Counter[Difference] = field(default_factory=Counter)
    sample: dict[Difference, list[str]] = field(default_factory=dict)
    enters: set[str] = field(default_factory=set)  # members that an enter repairs
    surplus: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)  # members of the audience whose rows deny consent
    repeated: Repeated | None = None  # member ids in more than one usable row; None if they could not be counted
    rows_left_out: Counter[str] = field(default_factory=Counter)  # of the file, by reason
    unusable: Counter[tuple[str, Unusable]] = field(default_factory=Counter)  # values of the file, by field and reason
    rows_without_id: int = 0  # of these; any member could be in them
    members_left_out: Counter[str] = field(default_factory=Counter)  # members of the audience, by the reason of the row
    _left_out: dict[str, str] = field(default_factory=dict)  # reason by member of the file
    _members: dict[str, bytes] = field(default_factory=dict)  # of the file, those not yet found in the audience

    def add(self, change: MembershipChange) -> None:
        """Add one member of the file. Several rows of one member are merged."""
        _, member = change.member
        pieces = b"".join(
            _piece(name, digest) for identity in change.identities for name, digest in identity.digests.items()
        )
        before = self._members.get(member)
        self._members[member] = before + pieces if before else pieces

    def leave_out(self, row: LeftOut) -> None:
        """Add a row that cannot be sent. Denied consent outweighs the reasons of the member's other rows."""
        self.rows_left_out[row.reason] += 1
        if row.member is None:
            self.rows_without_id += 1
        elif self._left_out.get(row.member) != Reason.CONSENT_DENIED:
            self._left_out[row.member] = row.reason

    @property
    def members(self) -> int:
        """Number of members in the file; before the comparison."""
        return len(self._members)

    @property
    def inside(self) -> int:
        """Number of members in the audience; after the comparison."""
        return sum(self.counts[each] for each in _INSIDE)

    def compare(self, states: Iterable[MemberState], erased: Erased, on_difference: OnDifference) -> None:
        """Compare all rows of the audience, once, with the file; `on_difference` gets each member who differs."""
        for state in states:
            _, member = state.newest.member
            pieces = self._members.pop(member, None)
            found = self._unlisted(state) if pieces is None else self._listed(state, pieces)
            if found in ENTERS and is_erased(member, state, erased):
                found = Difference.ERASED
            if found:
                self._record(member, found, on_difference)
        for member in self._members:
            found = Difference.ERASED if is_erased(member, None, erased) else Difference.MISSING
            self._record(member, found, on_difference)

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
        if state.newest.at > self.at:
            return Difference.ENTERED_SINCE
        reason = self._left_out.get(state.newest.member[1])
        if reason is None:
            return Difference.SURPLUS
        return Difference.CONSENT_DENIED if reason == Reason.CONSENT_DENIED else Difference.ROW_LEFT_OUT

    def _record(self, member: str, found: Difference, on_difference: OnDifference) -> None:
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
        elif found is Difference.CONSENT_DENIED:
            self.denied.append(member)
        reason = self._left_out[member] if found in _ROW_LEFT_OUT else ""
        if reason:
            self.members_left_out[reason] += 1
        on_difference(member, found, reason)


def _piece(name: str, digest: str) -> bytes:
    return _CODES[name] + bytes.fromhex(digest[: 2 * (_PIECE - 1)])
