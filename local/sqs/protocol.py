"""The AWS JSON protocol of SQS: an operation and its bytes in, an answer or an SqsError out."""

import json
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from local.sqs import message_calls, move_calls, queue_calls
from local.sqs.addresses import Addresses
from local.sqs.errors import SerializationException, SqsError, UnknownOperationException
from local.sqs.parameters import Parameters
from local.sqs.queues import SqsQueues

type Answer = dict[str, Any]
type Call = Callable[[SqsQueues, Addresses, Parameters], Answer | Awaitable[Answer]]

OPERATIONS: dict[str, Call] = {
    "CancelMessageMoveTask": move_calls.cancel_message_move_task,
    "ChangeMessageVisibility": message_calls.change_message_visibility,
    "ChangeMessageVisibilityBatch": message_calls.change_message_visibility_batch,
    "CreateQueue": queue_calls.create_queue,
    "DeleteMessage": message_calls.delete_message,
    "DeleteMessageBatch": message_calls.delete_message_batch,
    "DeleteQueue": queue_calls.delete_queue,
    "GetQueueAttributes": queue_calls.get_queue_attributes,
    "GetQueueUrl": queue_calls.get_queue_url,
    "ListDeadLetterSourceQueues": queue_calls.list_dead_letter_source_queues,
    "ListMessageMoveTasks": move_calls.list_message_move_tasks,
    "ListQueueTags": queue_calls.list_queue_tags,
    "ListQueues": queue_calls.list_queues,
    "PurgeQueue": queue_calls.purge_queue,
    "ReceiveMessage": message_calls.receive_message,
    "SendMessage": message_calls.send_message,
    "SendMessageBatch": message_calls.send_message_batch,
    "SetQueueAttributes": queue_calls.set_queue_attributes,
    "StartMessageMoveTask": move_calls.start_message_move_task,
    "TagQueue": queue_calls.tag_queue,
    "UntagQueue": queue_calls.untag_queue,
}


async def answer(queues: SqsQueues, addresses: Addresses, operation: str, body: bytes) -> Answer:
    """Do one operation. Raises SqsError, of the kinds that the operation documents."""
    call = OPERATIONS.get(operation)
    if call is None:
        raise UnknownOperationException("This is not an operation of the local queue server.")
    try:
        request = Parameters(json.loads(body or b"{}"))
    except ValueError:
        raise SerializationException("The request is not JSON.") from None
    result = call(queues, addresses, request)
    return await result if isawaitable(result) else result


def error_body(error: SqsError) -> Answer:
    """An error as the protocol spells it; the status is 400, and `query_error` goes into a header beside it."""
    return {"__type": error.shape, "message": str(error)}


def query_error(error: SqsError) -> str:
    """The value of the header `x-amzn-query-error`: the older code, and whose fault it is."""
    return f"{error.query_code};Sender"
