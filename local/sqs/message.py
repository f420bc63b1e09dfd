"""A message, its checksums, and the receipt handle of a delivery."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.sqs.sqs_errors import ReceiptHandleIsInvalid


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """A message as sent. It never changes, however often it is received."""

    id: str
    body: str
    sent_at: float  # epoch seconds; kept when the redrive policy moves the message to the dead letters
    attributes: Mapping[str, str] = field(default_factory=dict)  # all of the type String
    trace: str = ""  # the header of the request, SQS's system attribute AWSTraceHeader


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery of a message."""

    message: SqsMessage
    receipt_handle: str
    receive_count: int  # this delivery included
    first_received_at: float  # epoch seconds


def size_of(body: str, attributes: Mapping[str, str]) -> int:
    """Bytes that count against the limits of a message and of a batch: body, attribute names, types and values."""
    return len(body.encode()) + sum(len(f"{name}String{value}".encode()) for name, value in attributes.items())


def md5_of_body(body: str) -> str:
    """Lowercase hex, as in MD5OfMessageBody."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, str]) -> str:
    """Lowercase hex, as in MD5OfMessageAttributes.

    Source: Amazon SQS Developer Guide, "Calculating the MD5 message digest for message attributes": by name, each
    part with its length in four bytes, and before the value one byte that is 1 for a string.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name, value in sorted(attributes.items()):
        digest.update(_with_length(name) + _with_length("String") + b"\x01" + _with_length(value))
    return digest.hexdigest()


def receipt_handle(queue: str, message_id: str, receive_count: int) -> str:
    """A handle that names one delivery; opaque to clients."""
    return urlsafe_b64encode(f"{queue} {message_id} {receive_count}".encode()).decode()


def delivery_named_by(handle: str, queue: str) -> tuple[str, int]:
    """The message id and receive count in a handle. Raises ReceiptHandleIsInvalid unless `queue` issued it."""
    try:
        owner, message_id, receive_count = urlsafe_b64decode(handle.encode("ascii")).decode().split(" ")
        delivery = message_id, int(receive_count)
    except ValueError:  # of base64, of UTF-8, of the number of parts, of the number
        raise ReceiptHandleIsInvalid("The input receipt handle is not a valid receipt handle.") from None
    if owner != queue:
        raise ReceiptHandleIsInvalid("The input receipt handle was given out by another queue.")
    return delivery


def _with_length(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded
