"""Groups members so that every upload but the last is full."""

from collections.abc import Iterator, Sequence

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.amazon_ads.upload import Target, UploadSize, upload_ends
from audience_sync.delivery.pending import PendingMember
from audience_sync.delivery.uploads import Limits

# Of the bytes of an upload: a record may grow a little if the table knows more about the member.
_FILLED = 0.98


def groups(target: Target, members: Sequence[PendingMember], limits: Limits) -> Iterator[Sequence[PendingMember]]:
    """Split the members of one audience into groups of about `max_records`, so that only the last upload is small.

    Args:
        target: of their uploads.
        members: in any order, which is kept.
        limits: of an upload.
    """
    size, rules = limits.size(target.destination), upload_rules(target.destination)
    sizes = (len(rules.encode(each.newest)) for each in members)
    filled = UploadSize(size.max_records, int(size.max_bytes * _FILLED))
    start = end = 0
    for end in upload_ends(rules.frame_of(target), sizes, filled):
        if end - start >= size.max_records:
            yield members[start:end]
            start = end
    if start < end:
        yield members[start:end]
