"""A copy of the audience table for the functions that read it for every change.

The whole table is read in one go: it has a row for each audience, and one lookup for each event of a body would take
seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.members.membership import Audience, after_moves, may_share_a_key

MAX_AGE = 60.0  # seconds that the copy is used


@dataclass(frozen=True, slots=True)
class _Listing:
    """The audience table as it was read."""

    read_at: float  # monotonic seconds
    version: int | None  # of the list, if the copy has every audience listed under it
    audiences: list[Audience]  # all, including unlinked ones
    by_id: dict[str, Sequence[Audience]]  # what an event with the id reaches, also that of an audience that has moved
    by_key: dict[str, Sequence[Audience]]
    ambiguous: dict[str, Sequence[Audience]]  # by keys that several audiences have, and not on purpose
    mappings: str | None


class AudienceListing:
    """The audiences for events, all audiences for deletions, and the mappings."""

    def __init__(self, table: AudienceTable, monotonic: Callable[[], float]) -> None:
        self._table = table
        self._monotonic = monotonic
        self._copy: _Listing | None = None

    def for_request(self) -> "RequestAudiences":
        """Return the audiences for the events of a request that has arrived. Raises Unavailable."""
        return RequestAudiences(self)

    def with_unlinked(self) -> Sequence[Audience]:
        """Return every audience, the listed ones first. Raises Unavailable."""
        return self.current().audiences

    def mappings(self) -> str | None:
        """Return the stored mappings document as a JSON string, None if none was saved. Raises Unavailable."""
        return self.current().mappings

    def current(self) -> _Listing:
        """Return a copy at most a minute old. Raises Unavailable."""
        copy = self._copy
        if copy is None or self._monotonic() - copy.read_at >= MAX_AGE:
            return self._read(None)
        return copy

    def latest(self) -> _Listing:
        """Return a copy with every audience whose creation was answered before this call. Raises Unavailable.

        Segment does not repeat an event whose audience is unknown, so the copy must not be older than that. Costs one
        small read; the whole table is read again only if the list has changed: one partition serves every request.
        """
        version = self._table.version()
        copy = self.current()
        return copy if copy.version == version else self._read(version)

    def _read(self, version: int | None) -> _Listing:
        now = self._monotonic()
        audiences, unlinked, mappings = self._table.contents(consistent=version is not None)
        linked: dict[str, list[Audience]] = {}
        for audience in audiences:
            if audience.computation_key:
                linked.setdefault(audience.computation_key, []).append(audience)
        by_key: dict[str, Sequence[Audience]] = {key: each for key, each in linked.items() if may_share_a_key(each)}
        ambiguous: dict[str, Sequence[Audience]] = {key: each for key, each in linked.items() if key not in by_key}
        by_id = {each.audience_id: by_key.get(each.computation_key or "", [each]) for each in audiences}
        stored = {each.audience_id: each for each in (*audiences, *unlinked)}
        reached = ((each.audience_id, after_moves(each, stored.get)) for each in unlinked)
        by_id |= {moved: by_id[target.audience_id] for moved, target in reached if target}
        self._copy = copy = _Listing(now, version, [*audiences, *unlinked], by_id, by_key, ambiguous, mappings)
        return copy


class RequestAudiences:
    """The audiences that the events of one request may reach.

    Segment does not repeat a rejected event. So the first event for an audience missing from the copy has the copy
    checked; for the rest of the request it is then recent enough.
    """

    def __init__(self, listing: AudienceListing) -> None:
        self._listing = listing
        self._copy = listing.current()
        self._is_checked = False

    def by_id(self, audience_id: str) -> Sequence[Audience]:
        """Return the audiences that an event with this id reaches. Raises Unavailable.

        The listed audience with Amazon's id, and all that share its key on purpose. If it was unlinked after a move:
        what an event reaches with the id of the audience that it was moved to.
        """
        return self._copy.by_id.get(audience_id) or self._checked().by_id.get(audience_id, ())

    def by_computation_key(self, key: str) -> Sequence[Audience]:
        """Return the audiences linked to Segment's computation key, even if that is ambiguous. Raises Unavailable."""
        if linked := self._copy.by_key.get(key):
            return linked
        copy = self._checked()
        return copy.by_key.get(key) or copy.ambiguous.get(key, ())

    def _checked(self) -> _Listing:
        if not self._is_checked:
            self._copy, self._is_checked = self._listing.latest(), True
        return self._copy
