"""Uploads of many records: cuts them by number and size. Pure: returns bytes, no HTTP."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from audience_sync.errors import RequestRejected
from audience_sync.members.membership import Destination


@dataclass(frozen=True, slots=True)
class Target:
    """The audience of an upload."""

    audience_id: str
    destination: Destination = field(default_factory=Destination)


class UploadKind(StrEnum):
    """The kind of request that an upload makes."""

    RECORDS = "records"  # of the audience API
    MEMBERS = "members"  # of a dataset


class Frame(NamedTuple):
    """The request of an upload, and the bytes of its body around the records."""

    request: UploadKind
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of one upload, in parts, so that regrouping does not encode records again."""

    target: Target
    frame: Frame
    encoded: tuple[bytes, ...] = field(repr=False)

    def body(self) -> bytes:
        """The exact bytes to send."""
        return self.frame.before + b",".join(self.encoded) + self.frame.after

    def halves(self) -> tuple["Upload", "Upload"]:
        """Split in two, keeping the order."""
        middle = len(self.encoded) // 2
        first, second = self.encoded[:middle], self.encoded[middle:]
        return Upload(self.target, self.frame, first), Upload(self.target, self.frame, second)


@dataclass(frozen=True, slots=True)
class Submission:
    """Amazon's answer to an upload that it has accepted, at least in part."""

    job_id: str  # Amazon's id of the upload
    rejected: Mapping[int, RequestRejected] = field(default_factory=dict, repr=False)  # by place in the upload, from 0
    counted_from_one: bool = False  # whether Amazon's answer gives places from 1, which it does not document


class UploadSize(NamedTuple):
    """The limits on one upload."""

    max_records: int
    max_bytes: int


def cut_uploads(target: Target, frame: Frame, encoded: Sequence[bytes], size: UploadSize) -> Iterator[Upload]:
    """Group records into uploads within the limits. A larger record gets its own upload."""
    start = 0
    for end in upload_ends(frame, map(len, encoded), size):
        yield Upload(target, frame, tuple(encoded[start:end]))
        start = end


def upload_ends(frame: Frame, sizes: Iterable[int], size: UploadSize) -> Iterator[int]:
    """Yield the number of records up to the end of each upload of `cut_uploads`, given their sizes in bytes."""
    around = len(frame.before) + len(frame.after)
    start = position = 0
    filled = around
    for position, more in enumerate(sizes):
        longer = filled + more + (position > start)
        if position > start and (position - start == size.max_records or longer > size.max_bytes):
            yield position
            start, filled = position, around
        filled += more + (position > start)
    if filled > around:
        yield position + 1
