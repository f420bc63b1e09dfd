"""Isolates the bad records of an upload that Amazon refuses: halves it, and checks whether the records are at fault."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audience_sync.amazon_ads.bisection import sample
from audience_sync.amazon_ads.upload import Upload
from audience_sync.members.membership import MembershipChange


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
    """Move a sample of single records from across the remaining chunks to the front. The rest follows as one chunk.

    Args:
        chunks: still to send, the next one last; the result is in the same order.
    """
    left = [pair for each in reversed(chunks) for pair in zip(each.upload.encoded, each.changes, strict=True)]
    if not left:
        return []
    whole = chunks[0].upload
    chosen, rest = sample(left)
    return [_chunk(whole, pairs) for pairs in ([rest] if rest else []) + [[pair] for pair in reversed(chosen)]]


def _chunk(whole: Upload, pairs: Sequence[tuple[bytes, MembershipChange]]) -> Chunk:
    return Chunk(replace(whole, encoded=tuple(encoded for encoded, _ in pairs)), [change for _, change in pairs])
