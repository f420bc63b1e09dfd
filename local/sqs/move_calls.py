"""The operations on message move tasks."""

from typing import Any

from local.sqs.addresses import Addresses
from local.sqs.moves import TASKS_REMEMBERED, MoveTask
from local.sqs.parameters import Parameters
from local.sqs.queues import SqsQueues, name_of

_FASTEST = 500  # messages per second


def start_message_move_task(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """StartMessageMoveTask."""
    destination = request.text_or_none("DestinationArn")
    task = queues.moves.start(
        name_of(request.text("SourceArn")),
        None if destination is None else name_of(destination),
        rate=request.whole_or_none("MaxNumberOfMessagesPerSecond", 1, _FASTEST),
    )
    return {"TaskHandle": task.handle}


def list_message_move_tasks(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ListMessageMoveTasks, the newest first."""
    limit = request.whole_or_none("MaxResults", 1, TASKS_REMEMBERED) or 1
    return {"Results": [_task(task, addresses) for task in queues.moves.of(name_of(request.text("SourceArn")))[:limit]]}


def cancel_message_move_task(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """CancelMessageMoveTask."""
    return {"ApproximateNumberOfMessagesMoved": queues.moves.cancel(request.text("TaskHandle")).moved}


def _task(task: MoveTask, addresses: Addresses) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Status": task.status,
        "SourceArn": addresses.arn(task.source.name),
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": int(task.started_at * 1000),
    }
    optional = {
        "TaskHandle": task.handle if task.status == "RUNNING" else None,  # good for cancelling, and only then shown
        "DestinationArn": None if task.destination is None else addresses.arn(task.destination),
        "MaxNumberOfMessagesPerSecond": task.rate,
        "FailureReason": task.failure,
    }
    return answer | {name: value for name, value in optional.items() if value is not None}
