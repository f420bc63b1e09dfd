"""What a message may hold, and how it is read from a request and written into an answer."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local.sqs.errors import InvalidMessageContents, InvalidParameterValueException
from local.sqs.message import Message, MessageAttribute, Received, md5_of_attributes, md5_of_body, size_of
from local.sqs.parameters import Parameters
from local.sqs.settings import LONGEST_DELAY

SENDER = "AIDALOCALSTACKSENDER0"  # whoever it is, on this machine
TRACE_HEADER = "AWSTraceHeader"  # the only system attribute that a sender can set

# Source: API Reference, SendMessage: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_DATA_TYPE = re.compile(r"(String|Number|Binary)(\..{1,249})?")
_MOST_ATTRIBUTES = 10


@dataclass(frozen=True, slots=True)
class Content:
    """The part of a message that its sender chooses."""

    body: str
    attributes: Mapping[str, MessageAttribute]
    trace_header: str | None
    delay: int | None  # seconds; None for the queue's own

    @property
    def size(self) -> int:
        """Bytes that count against the limits."""
        return size_of(self.body, self.attributes)

    def checksums(self) -> dict[str, str]:
        """The digests in the answer to a send: clients compare them with their own."""
        sums = {"MD5OfMessageBody": md5_of_body(self.body)}
        if self.attributes:
            sums["MD5OfMessageAttributes"] = md5_of_attributes(self.attributes)
        if self.trace_header is not None:
            sums["MD5OfMessageSystemAttributes"] = md5_of_attributes(
                {TRACE_HEADER: MessageAttribute("String", self.trace_header)}
            )
        return sums


def content_of(entry: Parameters) -> Content:
    """Read SendMessage or one entry of SendMessageBatch.

    Raises:
        MissingRequiredParameterException: no body, or an empty one.
        InvalidMessageContents: a character that SQS does not carry, in the body or in an attribute.
        InvalidParameterValueException: an attribute without a valid name, type or value, or more than 10 of them; a
            delay out of range.
        SerializationException: a member of the wrong type.
    """
    body = _clean(entry.text("MessageBody"))
    attributes = {name: _attribute(name, value) for name, value in entry.object_map("MessageAttributes").items()}
    if len(attributes) > _MOST_ATTRIBUTES:
        raise InvalidParameterValueException(f"Number of message attributes exceeds the limit [{_MOST_ATTRIBUTES}].")
    trace = entry.object_map("MessageSystemAttributes").get(TRACE_HEADER)
    return Content(
        body,
        attributes,
        trace_header=None if trace is None else _clean(trace.text("StringValue")),
        delay=entry.whole_or_none("DelaySeconds", 0, LONGEST_DELAY),
    )


def check_size(content: Content, limit: int) -> None:
    """Raises InvalidParameterValueException for a message above `limit` bytes."""
    if content.size > limit:
        raise InvalidParameterValueException(
            f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )


def system_attributes(received: Received, wanted: Iterable[str], arn_of: Callable[[str], str]) -> dict[str, str]:
    """The system attributes that a receive asked for; `arn_of` spells a queue name as an ARN."""
    message = received.message
    known = {
        "SenderId": SENDER,
        "SentTimestamp": _milliseconds(message.sent_at),
        "ApproximateReceiveCount": str(received.receive_count),
        "ApproximateFirstReceiveTimestamp": _milliseconds(received.first_received_at),
        TRACE_HEADER: message.trace_header,
        "DeadLetterQueueSourceArn": None if message.dead_letter_of is None else arn_of(message.dead_letter_of),
    }
    names = set(wanted)
    return {name: value for name, value in known.items() if value is not None and (name in names or "All" in names)}


def chosen_attributes(message: Message, wanted: Iterable[str]) -> dict[str, MessageAttribute]:
    """The message attributes that a receive asked for: by name, by prefix ("trace*" is spelled "trace.*") or all."""
    patterns = list(wanted)
    return {
        name: value
        for name, value in message.attributes.items()
        if any(_is_wanted(name, pattern) for pattern in patterns)
    }


def written(attribute: MessageAttribute) -> dict[str, str]:
    """An attribute as the JSON protocol spells it."""
    if isinstance(attribute.value, bytes):
        return {"DataType": attribute.data_type, "BinaryValue": b64encode(attribute.value).decode()}
    return {"DataType": attribute.data_type, "StringValue": attribute.value}


def _attribute(name: str, value: Parameters) -> MessageAttribute:
    reserved = name.lower().startswith(("aws.", "amazon."))
    if reserved or not _ATTRIBUTE_NAME.fullmatch(name):
        raise InvalidParameterValueException("A message attribute has a name that is not allowed.")
    data_type = value.text("DataType")
    if not _DATA_TYPE.fullmatch(data_type):
        raise InvalidParameterValueException("The type of a message attribute must be String, Number or Binary.")
    if data_type.startswith("Binary"):
        try:
            return MessageAttribute(data_type, b64decode(value.text("BinaryValue"), validate=True))
        except ValueError:
            raise InvalidParameterValueException("A binary message attribute is not base64.") from None
    text = _clean(value.text("StringValue"))
    if data_type.startswith("Number") and not _is_number(text):
        raise InvalidParameterValueException("A message attribute of type Number is not a number.")
    return MessageAttribute(data_type, text)


def _clean(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise InvalidMessageContents(
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF."
        )
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_wanted(name: str, pattern: str) -> bool:
    if pattern in {"All", ".*"}:
        return True
    return name.startswith(pattern[:-2]) if pattern.endswith(".*") else name == pattern


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
