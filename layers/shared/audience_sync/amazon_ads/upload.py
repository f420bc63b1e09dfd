"""Uploads of many records: cuts them by number and size. Pure: returns bytes, no HTTP."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience_sync.amazon_ads.destination import resource_of_upload
from audience_sync.errors import RequestRejected
from audience_sync.membership import Destination
from audience_sync.quick_json import utf8_json


@dataclass(frozen=True, slots=True)
class Target:
    """The audience of an upload."""

    audience_id: str
    destination: Destination = field(default_factory=Destination)


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of one upload, in parts, so that regrouping does not encode records again."""

    target: Target
    encoded: tuple[bytes, ...] = field(repr=False)

    def body(self) -> bytes:
        """The exact bytes to send. The audience id becomes a JSON integer only here."""
        prefix, suffix = _frame(self.target)
        return prefix + b",".join(self.encoded) + suffix

    def halves(self) -> tuple["Upload", "Upload"]:
        """Split in two, keeping the order."""
        middle = len(self.encoded) // 2
        return Upload(self.target, self.encoded[:middle]), Upload(self.target, self.encoded[middle:])


@dataclass(frozen=True, slots=True)
class Submission:
    """Amazon's answer to an upload that it has accepted, at least in part."""

    job_id: str  # Amazon's id of the upload
    rejected: Mapping[int, RequestRejected] = field(default_factory=dict)  # by place in the upload, from 0


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Encode one record as compact JSON. An empty `userConsent` is left out."""
    fields = {name: value for name, value in record.items() if name != "userConsent" or value}
    return utf8_json(fields)


def cut_uploads(target: Target, encoded: Sequence[bytes], *, max_records: int, max_bytes: int) -> Iterator[Upload]:
    """Group records into uploads of at most `max_records` and `max_bytes`. A larger record gets its own upload."""
    start = 0
    for end in upload_ends(target, map(len, encoded), max_records=max_records, max_bytes=max_bytes):
        yield Upload(target, tuple(encoded[start:end]))
        start = end


def upload_ends(target: Target, sizes: Iterable[int], *, max_records: int, max_bytes: int) -> Iterator[int]:
    """Yield the number of records up to the end of each upload of `cut_uploads`, given their sizes in bytes."""
    prefix, suffix = _frame(target)
    frame = len(prefix) + len(suffix)
    start = position = 0
    filled = frame
    for position, size in enumerate(sizes):
        longer = filled + size + (position > start)
        if position > start and (position - start == max_records or longer > max_bytes):
            yield position
            start, filled = position, frame
        filled += size + (position > start)
    if filled > frame:
        yield position + 1


def _frame(target: Target) -> tuple[bytes, bytes]:
    resource = resource_of_upload(target.destination)
    suffix = f'],"targetResource":{json.dumps(resource, separators=(",", ":"))}}}' if resource else "]}"
    return f'{{"audienceId":{int(target.audience_id)},"records":['.encode(), suffix.encode()
