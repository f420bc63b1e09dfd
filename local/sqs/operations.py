"""The operations of SQS that this project calls: from a request to an answer or an SqsError."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from local.sqs.message import Received, md5_of_attributes, md5_of_body, size_of
from local.sqs.queues import SqsQueues
from local.sqs.settings import MAX_BYTES, MAX_DELAY, MAX_VISIBILITY, MAX_WAIT
from local.sqs.sqs_errors import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidAttributeName,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValueException,
    MissingRequiredParameterException,
    SqsError,
    TooManyEntriesInBatchRequest,
    UnknownOperationException,
)
from local.template import ACCOUNT, REGION

type Request = Mapping[str, Any]  # boto3 has checked names and types
type Answer = dict[str, Any]

MAX_MESSAGES = 10  # in one receive and in one batch

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")  # of queues and of batch entries
# Source: API Reference, SendMessage: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Operations:
    """Runs operations for one client. `base_url` is the address it used, so that queue URLs lead back here.

    `trace` is its trace header, which its messages keep.
    """

    def __init__(self, queues: SqsQueues, base_url: str, trace: str = "") -> None:
        self._queues = queues
        self._base_url = base_url
        self._trace = trace
        self._by_name: dict[str, Callable[[Request], Answer]] = {
            "ChangeMessageVisibility": self._change_message_visibility,
            "ChangeMessageVisibilityBatch": self._change_message_visibility_batch,
            "CreateQueue": self._create_queue,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._get_queue_attributes,
            "ListQueues": self._list_queues,
            "PurgeQueue": self._purge_queue,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
        }

    async def run(self, operation: str, request: Request) -> Answer:
        """Run one operation. Raises SqsError, of the kinds that the operation documents."""
        if operation == "ReceiveMessage":  # the only one that waits
            return await self._receive_message(request)
        return self.answer(operation, request)

    def answer(self, operation: str, request: Request) -> Answer:
        """Run one operation that does not wait. Raises SqsError."""
        if operation not in self._by_name:
            raise UnknownOperationException("This is not an operation of the local queue server.")
        return self._by_name[operation](request)

    def _create_queue(self, request: Request) -> Answer:
        name = request["QueueName"]
        if not _NAME.fullmatch(name):
            raise InvalidParameterValueException("Can only include 1 to 80 letters, digits, hyphens and underscores.")
        self._queues.create(name, request.get("Attributes"))
        return {"QueueUrl": self._url(name)}

    def _list_queues(self, request: Request) -> Answer:
        prefix = request.get("QueueNamePrefix", "")
        urls = [self._url(name) for name in self._queues.names() if name.startswith(prefix)]
        return {"QueueUrls": urls} if urls else {}

    def _get_queue_attributes(self, request: Request) -> Answer:
        queue, wanted = self._queues.find(request["QueueUrl"]), set(request.get("AttributeNames", ()))
        counts = self._queues.counts(queue.name)
        known = {
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
            "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.name}",
        }
        if wanted - known.keys() - {"All"}:
            raise InvalidAttributeName("Unknown Attribute. The local queue server does not know it.")
        return {"Attributes": {name: value for name, value in known.items() if name in wanted or "All" in wanted}}

    def _delete_queue(self, request: Request) -> Answer:
        self._queues.remove(request["QueueUrl"])  # unlike at AWS, the name is free again at once
        return {}

    def _purge_queue(self, request: Request) -> Answer:
        self._queues.find(request["QueueUrl"]).purge()  # unlike at AWS, at any rate
        return {}

    def _send_message(self, request: Request) -> Answer:
        queue, content = request["QueueUrl"], _content(request)
        if content.size > MAX_BYTES:
            raise InvalidParameterValueException(f"Message must be shorter than {MAX_BYTES} bytes.")
        return self._send(queue, content)

    def _send_message_batch(self, request: Request) -> Answer:
        """An oversized batch is rejected as a whole; an invalid entry fails alone."""
        queue = self._queues.find(request["QueueUrl"]).name
        contents = [(entry_id, _attempt(_content, entry)) for entry_id, entry in _entries(request)]
        size = sum(content.size for _, content in contents if isinstance(content, _Content))
        if size > MAX_BYTES:
            raise BatchRequestTooLong(f"Batch requests cannot be longer than {MAX_BYTES} bytes; these are {size}.")
        return _outcomes(
            (entry_id, content if isinstance(content, SqsError) else self._send(queue, content))
            for entry_id, content in contents
        )

    async def _receive_message(self, request: Request) -> Answer:
        received = await self._queues.receive(
            request["QueueUrl"],
            _number(request, "MaxNumberOfMessages", 1, MAX_MESSAGES) or 1,
            _number(request, "WaitTimeSeconds", 0, MAX_WAIT),
            visibility=_number(request, "VisibilityTimeout", 0, MAX_VISIBILITY),
        )
        system = {
            *request.get("AttributeNames", ()),
            *request.get("MessageSystemAttributeNames", ()),
        }  # the older name first
        chosen = set(request.get("MessageAttributeNames", ()))
        return {"Messages": [_delivery(each, system, chosen) for each in received]} if received else {}

    def _delete_message(self, request: Request) -> Answer:
        return self._delete(request["QueueUrl"], request)

    def _delete_message_batch(self, request: Request) -> Answer:
        queue = self._queues.find(request["QueueUrl"]).name
        return _outcomes((entry_id, _attempt(self._delete, queue, entry)) for entry_id, entry in _entries(request))

    def _change_message_visibility(self, request: Request) -> Answer:
        return self._change_visibility(request["QueueUrl"], request)

    def _change_message_visibility_batch(self, request: Request) -> Answer:
        queue = self._queues.find(request["QueueUrl"]).name
        return _outcomes(
            (entry_id, _attempt(self._change_visibility, queue, entry)) for entry_id, entry in _entries(request)
        )

    def _send(self, queue: str, content: "_Content") -> Answer:
        message = self._queues.send(
            queue, content.body, delay=content.delay, attributes=content.attributes, trace=self._trace
        )
        answer = {"MessageId": message.id, "MD5OfMessageBody": md5_of_body(message.body)}
        return answer | (
            {"MD5OfMessageAttributes": md5_of_attributes(message.attributes)} if message.attributes else {}
        )

    def _delete(self, queue: str, entry: Request) -> Answer:
        self._queues.delete(queue, entry["ReceiptHandle"])
        return {}

    def _change_visibility(self, queue: str, entry: Request) -> Answer:
        _required(entry, "VisibilityTimeout")
        seconds = _number(entry, "VisibilityTimeout", 0, MAX_VISIBILITY)
        self._queues.change_visibility(queue, entry["ReceiptHandle"], seconds or 0)
        return {}

    def _url(self, queue: str) -> str:
        return f"{self._base_url}/{ACCOUNT}/{queue}"


class _Content(NamedTuple):
    """The part of a message that its sender chooses."""

    body: str
    attributes: dict[str, str]
    delay: int  # seconds

    @property
    def size(self) -> int:
        return size_of(self.body, self.attributes)


def _content(entry: Request) -> _Content:
    """Read SendMessage or one entry of SendMessageBatch. Raises SqsError."""
    attributes = {name: _attribute(value) for name, value in entry.get("MessageAttributes", {}).items()}
    return _Content(
        _clean(_required(entry, "MessageBody")), attributes, _number(entry, "DelaySeconds", 0, MAX_DELAY) or 0
    )


def _required(request: Request, name: str) -> Any:
    if request.get(name) in (None, ""):
        raise MissingRequiredParameterException(f"The request must contain the parameter {name}.")
    return request[name]


def _number(request: Request, name: str, lowest: int, highest: int) -> int | None:
    """Read an optional number. Raises InvalidParameterValueException."""
    value: int | None = request.get(name)
    if value is not None and not lowest <= value <= highest:
        raise InvalidParameterValueException(f"{name} must be between {lowest} and {highest}.")
    return value


def _attribute(value: Request) -> str:
    if value["DataType"] != "String":
        raise InvalidParameterValueException("The local queue server takes message attributes of the type String only.")
    return _clean(value["StringValue"])


def _clean(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise InvalidMessageContents("Invalid characters found.")
    return text


def _entries(request: Request) -> list[tuple[str, Request]]:
    """The entries of a batch with their ids. Raises SqsError for the batch as a whole."""
    entries = [(entry["Id"], entry) for entry in request["Entries"]]
    if not entries:
        raise EmptyBatchRequest("There should be at least one entry in the request.")
    if len(entries) > MAX_MESSAGES:
        raise TooManyEntriesInBatchRequest(f"Maximum number of entries per request are {MAX_MESSAGES}.")
    if not all(_NAME.fullmatch(entry_id) for entry_id, _ in entries):
        raise InvalidBatchEntryId("A batch entry id has 1 to 80 alphanumeric characters, hyphens and underscores.")
    if len({entry_id for entry_id, _ in entries}) < len(entries):
        raise BatchEntryIdsNotDistinct("Two entries of the batch have the same id.")
    return entries


def _attempt[**P, Result](act: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result | SqsError:
    try:
        return act(*args, **kwargs)
    except SqsError as error:
        return error


def _outcomes(results: Iterable[tuple[str, Answer | SqsError]]) -> Answer:
    """Answer a batch: a rejected entry does not stop the others."""
    successful, failed = [], []
    for entry_id, result in results:
        if isinstance(result, SqsError):
            failed.append({"Id": entry_id, "SenderFault": True, "Code": result.query_code, "Message": str(result)})
        else:
            successful.append({"Id": entry_id, **result})
    return {"Successful": successful, "Failed": failed}


def _delivery(received: Received, system: set[str], chosen: set[str]) -> Answer:
    message = received.message
    answer: Answer = {
        "MessageId": message.id,
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": md5_of_body(message.body),
        "Body": message.body,
    }
    known = {
        "SenderId": "AIDALOCALSTACKSENDER0",
        "SentTimestamp": str(int(message.sent_at * 1000)),
        "ApproximateReceiveCount": str(received.receive_count),
        "ApproximateFirstReceiveTimestamp": str(int(received.first_received_at * 1000)),
    }
    if attributes := {name: value for name, value in known.items() if name in system or "All" in system}:
        answer["Attributes"] = attributes
    if attached := {name: value for name, value in message.attributes.items() if name in chosen or "All" in chosen}:
        answer["MD5OfMessageAttributes"] = md5_of_attributes(attached)  # of those returned, not of all
        answer["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in attached.items()
        }
    return answer
