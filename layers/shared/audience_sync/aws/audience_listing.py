"""A copy of the audience table for the functions that look at it for every change.

The whole table is read in one go: it has a row for each audience, and as many look-ups as a body has events would take
seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.membership import Audience

MAX_AGE = 60.0  # seconds that the copy is used
MIN_AGE = 10.0  # seconds before it is read anew for what it does not list: short, so that a fix takes effect quickly


@dataclass(frozen=True, slots=True)
class _Copy:
    read_at: float  # monotonic seconds
    audiences: list[Audience]  # every one, unlinked ones also
    by_id: dict[str, Audience]
    by_key: dict[str, list[Audience]]
    mappings: str | None


class AudienceListing:
    """The audiences that events may reach, all that deletions reach, and the mappings."""

    def __init__(self, table: AudienceTable, monotonic: Callable[[], float]) -> None:
        self._table = table
        self._monotonic = monotonic
        self._copy: _Copy | None = None

    def by_id(self, audience_id: str) -> Audience | None:
        """Return the audience with Amazon's id, None where it is not listed. Raises Unavailable."""
        found = self._current().by_id.get(audience_id)
        return found or self._current(MIN_AGE).by_id.get(audience_id)

    def by_computation_key(self, key: str) -> Sequence[Audience]:
        """Return the audiences linked to Segment's computation key; there should be one at most. Raises Unavailable."""
        linked = self._current().by_key.get(key, ())
        return linked if len(linked) == 1 else self._current(MIN_AGE).by_key.get(key, ())

    def with_unlinked(self) -> Sequence[Audience]:
        """Return every audience, the listed ones first. Raises Unavailable."""
        return self._current().audiences

    def mappings(self) -> str | None:
        """Return the stored mappings document as JSON text, None where none was saved. Raises Unavailable."""
        return self._current().mappings

    def _current(self, max_age: float = MAX_AGE) -> _Copy:
        now = self._monotonic()
        if self._copy is None or now - self._copy.read_at >= max_age:
            audiences, unlinked, mappings = self._table.contents()
            by_key: dict[str, list[Audience]] = {}
            for audience in audiences:
                if audience.computation_key:
                    by_key.setdefault(audience.computation_key, []).append(audience)
            by_id = {each.audience_id: each for each in audiences}
            self._copy = _Copy(now, [*audiences, *unlinked], by_id, by_key, mappings)
        return self._copy
