"""Isolating the bad entries of a request that Amazon refuses: which answers to halve for, and when to give up. Pure."""

from collections.abc import Sequence

BISECTABLE_STATUSES = (400, 413, 422)  # one bad entry can cause these; others concern the whole request
# Single entries refused in a row, none accepted: perhaps the entries are not at fault. As many from across the rest are
# sent next; if these are also refused, so is the whole request.
SAMPLE_SIZE = 8


def sample[T](left: Sequence[T]) -> tuple[list[T], list[T]]:
    """Choose SAMPLE_SIZE entries from across those still to send. Returns them and the rest, each in order."""
    chosen = {len(left) * number // SAMPLE_SIZE for number in range(SAMPLE_SIZE)} if left else set()
    return [left[place] for place in sorted(chosen)], [each for place, each in enumerate(left) if place not in chosen]
