"""The operations on messages: send, receive, delete, change visibility."""

from typing import Any

from local.sqs.addresses import Addresses
from local.sqs.batches import entries_of, outcomes
from local.sqs.content import Content, check_size, chosen_attributes, content_of, system_attributes, written
from local.sqs.errors import BatchRequestTooLong, SqsError
from local.sqs.message import Received, md5_of_attributes, md5_of_body
from local.sqs.parameters import Parameters
from local.sqs.queues import SqsQueues
from local.sqs.settings import LONGEST_VISIBILITY, MESSAGE_LIMIT, OLDEST_DEFERRED_CHANGE_AGE


def send_message(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """SendMessage."""
    return _send(queues, request.text("QueueUrl"), content_of(request))


def send_message_batch(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """SendMessageBatch. Too much in all refuses the whole batch; an entry at fault fails alone."""
    queue = queues.find(request.text("QueueUrl")).name
    entries = [(entry_id, _content_or_error(entry)) for entry_id, entry in entries_of(request)]
    size = sum(content.size for _, content in entries if isinstance(content, Content))
    if size > MESSAGE_LIMIT:
        raise BatchRequestTooLong(
            f"Batch requests cannot be longer than {MESSAGE_LIMIT} bytes. You have sent {size} bytes."
        )
    return outcomes(entries, lambda content: _send(queues, queue, content))


async def receive_message(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ReceiveMessage."""
    received = await queues.receive(
        request.text("QueueUrl"),
        request.whole_or_none("MaxNumberOfMessages", 1, 10) or 1,
        request.whole_or_none("WaitTimeSeconds", 0, OLDEST_DEFERRED_CHANGE_AGE),
        visibility=request.whole_or_none("VisibilityTimeout", 0, LONGEST_VISIBILITY),
    )
    system = [*request.texts("AttributeNames"), *request.texts("MessageSystemAttributeNames")]  # the older name first
    chosen = request.texts("MessageAttributeNames")
    return {"Messages": [_delivery(each, system, chosen, addresses) for each in received]} if received else {}


def delete_message(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """DeleteMessage."""
    return _delete(queues, request.text("QueueUrl"), request)


def delete_message_batch(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """DeleteMessageBatch."""
    queue = queues.find(request.text("QueueUrl")).name
    return outcomes(entries_of(request), lambda entry: _delete(queues, queue, entry))


def change_message_visibility(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ChangeMessageVisibility."""
    return _change_visibility(queues, request.text("QueueUrl"), request)


def change_message_visibility_batch(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ChangeMessageVisibilityBatch."""
    queue = queues.find(request.text("QueueUrl")).name
    return outcomes(entries_of(request), lambda entry: _change_visibility(queues, queue, entry))


def _content_or_error(entry: Parameters) -> Content | SqsError:
    try:
        return content_of(entry)
    except SqsError as error:
        return error


def _send(queues: SqsQueues, queue: str, content: Content | SqsError) -> dict[str, Any]:
    if isinstance(content, SqsError):
        raise content
    check_size(content, queues.find(queue).settings.message_limit)
    message = queues.send(
        queue, content.body, delay=content.delay, attributes=content.attributes, trace_header=content.trace_header
    )
    return {"MessageId": message.id, **content.checksums()}


def _delete(queues: SqsQueues, queue: str, entry: Parameters) -> dict[str, Any]:
    queues.delete(queue, entry.text("ReceiptHandle"))
    return {}


def _change_visibility(queues: SqsQueues, queue: str, entry: Parameters) -> dict[str, Any]:
    seconds = entry.whole("VisibilityTimeout", 0, LONGEST_VISIBILITY)
    queues.change_visibility(queue, entry.text("ReceiptHandle"), seconds)
    return {}


def _delivery(received: Received, system: list[str], chosen: list[str], addresses: Addresses) -> dict[str, Any]:
    message = received.message
    answer: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": received.receipt_handle,
        "MD5OfBody": md5_of_body(message.body),
        "Body": message.body,
    }
    if attributes := system_attributes(received, system, addresses.arn):
        answer["Attributes"] = attributes
    if attached := chosen_attributes(message, chosen):
        answer["MD5OfMessageAttributes"] = md5_of_attributes(attached)  # of those returned, not of all
        answer["MessageAttributes"] = {name: written(value) for name, value in attached.items()}
    return answer
