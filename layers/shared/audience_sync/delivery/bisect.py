"""Isolates the bad records of an upload that Amazon refuses: halves it, and checks whether the records are at fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audience_sync.amazon_ads.upload import Upload
from audience_sync.members.membership import MembershipChange

BISECTABLE_STATUSES = (400, 413, 422)  # one bad record can cause these; others concern the whole upload
# Single records refused in a row, none accepted: perhaps the records are not at fault. As many from across the rest are
# sent next; if these are also refused, so is the whole upload.
SAMPLE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """An upload and the changes behind its records, in the same order."""

    upload: Upload
    changes: Sequence[MembershipChange]

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Split in two, keeping the order."""
        first, second = self.upload.halves()
        middle = len(first.encoded)
        return Chunk(first, self.changes[:middle]), Chunk(second, self.changes[middle:])


def sample_first(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Move SAMPLE_SIZE single records from across the remaining chunks to the front. The rest follows as one chunk.

    Args:
        chunks: still to send, the next one last; the result is in the same order.
    """
    left = [pair for each in reversed(chunks) for pair in zip(each.upload.encoded, each.changes, strict=True)]
    if not left:
        return []
    whole = chunks[0].upload
    chosen = {len(left) * number // SAMPLE_SIZE for number in range(SAMPLE_SIZE)}
    rest = [pair for position, pair in enumerate(left) if position not in chosen]
    sample = [[left[position]] for position in sorted(chosen, reverse=True)]
    return [_chunk(whole, pairs) for pairs in ([rest] if rest else []) + sample]


def _chunk(whole: Upload, pairs: Sequence[tuple[bytes, MembershipChange]]) -> Chunk:
    return Chunk(replace(whole, encoded=tuple(encoded for encoded, _ in pairs)), [change for _, change in pairs])
