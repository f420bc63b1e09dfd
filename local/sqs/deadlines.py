"""Keys with a deadline each: change, drop and pop the earliest, all at a cost that hardly grows with their number."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count


class Deadlines:
    """A heap with a table beside it.

    The table decides. A change or a drop touches only the table and leaves a stale entry in the heap, which is skipped
    when it comes up; once stale entries outnumber valid ones the heap is rebuilt, so that each costs O(1) more.
    """

    def __init__(self) -> None:
        self._due: dict[str, tuple[float, int]] = {}  # the number keeps keys of one time in the order they came
        self._heap: list[tuple[tuple[float, int], str]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: str) -> bool:
        return key in self._due

    def __iter__(self) -> Iterator[str]:
        return iter(self._due)

    def put(self, key: str, due: float) -> None:
        """Add a key or move its deadline."""
        self._due[key] = due, next(self._numbers)
        heappush(self._heap, (self._due[key], key))
        self._rebuild_if_stale()

    def drop(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""
        if self._due.pop(key, None) is not None:
            self._rebuild_if_stale()

    def first(self) -> float | None:
        """The earliest deadline, or None when there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0][0] if self._heap else None

    def pop_due(self, now: float) -> list[str]:
        """Remove and return the keys that are due at `now` or before, the earliest first."""
        due_keys = []
        while (first := self.first()) is not None and first <= now:
            key = heappop(self._heap)[1]
            del self._due[key]
            due_keys.append(key)
        return due_keys

    def _rebuild_if_stale(self) -> None:
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(due, key) for key, due in self._due.items()]
            heapify(self._heap)
