"""A copy of the audience table for the functions that read it for every change.

The whole table is read in one go: it has a row for each audience, and one look-up for each event of a body would take
seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.membership import Audience

MAX_AGE = 60.0  # seconds that the copy is used


@dataclass(frozen=True, slots=True)
class _Copy:
    """The audience table as it was read."""

    read_at: float  # monotonic seconds
    version: int | None  # of the list, if the copy has every audience listed under it
    audiences: list[Audience]  # all, including unlinked ones
    by_id: dict[str, Audience]
    by_key: dict[str, list[Audience]]
    mappings: str | None


class AudienceListing:
    """The audiences for events, all audiences for deletions, and the mappings."""

    def __init__(self, table: AudienceTable, monotonic: Callable[[], float]) -> None:
        self._table = table
        self._monotonic = monotonic
        self._copy: _Copy | None = None

    def for_request(self) -> "RequestAudiences":
        """Return the audiences for the events of a request that has arrived. Raises Unavailable."""
        return RequestAudiences(self)

    def with_unlinked(self) -> Sequence[Audience]:
        """Return every audience, the listed ones first. Raises Unavailable."""
        return self.current().audiences

    def mappings(self) -> str | None:
        """Return the stored mappings document as a JSON string, None if none was saved. Raises Unavailable."""
        return self.current().mappings

    def current(self) -> _Copy:
        """Return a copy at most a minute old. Raises Unavailable."""
        copy = self._copy
        if copy is None or self._monotonic() - copy.read_at >= MAX_AGE:
            return self._read(None)
        return copy

    def latest(self) -> _Copy:
        """Return a copy with every audience whose creation was answered before this call. Raises Unavailable.

        Costs one small read; the whole table is read again only if the list has changed.
        """
        version = self._table.version()
        copy = self.current()
        return copy if copy.version == version else self._read(version)

    def _read(self, version: int | None) -> _Copy:
        now = self._monotonic()
        audiences, unlinked, mappings = self._table.contents(consistent=version is not None)
        by_key: dict[str, list[Audience]] = {}
        for audience in audiences:
            if audience.computation_key:
                by_key.setdefault(audience.computation_key, []).append(audience)
        by_id = {each.audience_id: each for each in audiences}
        self._copy = copy = _Copy(now, version, [*audiences, *unlinked], by_id, by_key, mappings)
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

    def by_id(self, audience_id: str) -> Audience | None:
        """Return the audience with Amazon's id, None if it is not listed. Raises Unavailable."""
        return self._copy.by_id.get(audience_id) or self._checked().by_id.get(audience_id)

    def by_computation_key(self, key: str) -> Sequence[Audience]:
        """Return the audiences linked to Segment's computation key; there should be one at most. Raises Unavailable."""
        linked = self._copy.by_key.get(key, ())
        return linked if len(linked) == 1 else self._checked().by_key.get(key, ())

    def _checked(self) -> _Copy:
        if not self._is_checked:
            self._copy, self._is_checked = self._listing.latest(), True
        return self._copy
