"""Finds the bad records of an upload that Amazon refuses: by halving, and with an eye on whether it is them at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.membership import MembershipChange

BISECTABLE_STATUSES = (400, 413, 422)  # what Amazon may answer because of one record; anything else is about the whole
SAMPLE_SIZE = 8  # records refused one by one, none taken: perhaps it is not the records. As many from elsewhere tell


@dataclass(frozen=True, slots=True)
class Chunk:
    """An upload, and the changes whose records it holds, in the same order."""

    upload: Upload
    changes: Sequence[MembershipChange]

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """Split in two, keeping the order."""
        first, second = self.upload.halves()
        middle = len(first.encoded)
        return Chunk(first, self.changes[:middle]), Chunk(second, self.changes[middle:])


def sample_first(pieces: Sequence[Chunk]) -> list[Chunk]:
    """Cut a few single records out of what is left, from all over it, to be sent first. The rest follows as one."""
    left = [pair for each in reversed(pieces) for pair in zip(each.upload.encoded, each.changes, strict=True)]
    if not left:
        return []
    target = pieces[0].upload.target
    chosen = {len(left) * number // SAMPLE_SIZE for number in range(SAMPLE_SIZE)}
    rest = [pair for position, pair in enumerate(left) if position not in chosen]
    alone = [[left[position]] for position in sorted(chosen, reverse=True)]
    return [_piece(target, pairs) for pairs in ([rest] if rest else []) + alone]


def _piece(target: Target, pairs: Sequence[tuple[bytes, MembershipChange]]) -> Chunk:
    return Chunk(Upload(target, tuple(encoded for encoded, _ in pairs)), [change for _, change in pairs])
