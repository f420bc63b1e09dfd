"""Which members of an audience are recorded together, and then sent: as many as fill whole uploads."""

from collections.abc import Iterator, Sequence

from audience_sync.amazon_ads.record import Target, encode_record, upload_ends
from audience_sync.delivery.uploads import Limits
from audience_sync.membership import MembershipChange

# Of the bytes of an upload: what is sent may be a little longer, where the table knows more of a member.
_FILLED = 0.98


def groups(
    target: Target, members: Sequence[Sequence[MembershipChange]], limits: Limits
) -> Iterator[Sequence[Sequence[MembershipChange]]]:
    """Cut the members of one audience into groups of about `max_records`, so that only the last upload is small.

    Args:
        target: of their uploads.
        members: the changes of each, the newest last.
        limits: of an upload.
    """
    sizes = (len(encode_record(changes[-1].record)) for changes in members)
    max_bytes = int(limits.max_bytes * _FILLED)
    start = end = 0
    for end in upload_ends(target, sizes, max_records=limits.max_records, max_bytes=max_bytes):
        if end - start >= limits.max_records:
            yield members[start:end]
            start = end
    if start < end:
        yield members[start:end]
