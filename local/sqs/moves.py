"""Message move tasks: the way back for dead letters."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from local.sqs.errors import InvalidParameterValueException, ResourceNotFoundException, UnsupportedOperation
from local.sqs.message import Message
from local.sqs.queue import Queue

TASKS_REMEMBERED = 10  # per queue: as many as ListMessageMoveTasks can show

# FailureReason values.
NO_SOURCE = "CouldNotDetermineMessageSource"  # sent to the dead letters directly: there is no queue to go back to
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


@dataclass(eq=False, slots=True)
class MoveTask:
    """Moves the messages that are visible in a dead letter queue when the task starts.

    Without a rate everything moves at once; with one, as much as the clock allows each time the queues are touched.
    """

    handle: str
    source: Queue
    destination: str | None  # queue name; None is back to where each message came from
    rate: int | None  # messages per second
    started_at: float  # epoch seconds
    to_move: int
    moved: int = 0
    status: str = "RUNNING"
    failure: str | None = None

    def advance(self, now: float, *, resend: Callable[[str, Message], bool]) -> None:
        """Move what is due by now. `resend` puts a message into the queue of that name; False when there is none."""
        due = self.to_move if self.rate is None else min(self.to_move, int((now - self.started_at) * self.rate))
        while self.status == "RUNNING" and self.moved < due:
            message = self.source.first_visible(now)
            if message is None:  # received or expired in the meantime
                break
            self._move(message, resend)
        if self.status == "RUNNING" and (self.moved >= self.to_move or self.source.counts(now).visible == 0):
            self.status = "COMPLETED"

    def next_change(self) -> float | None:
        """Epoch seconds at which the next message is due; None when nothing more happens by itself."""
        if self.status != "RUNNING" or self.rate is None:
            return None
        return self.started_at + (self.moved + 1) / self.rate

    def _move(self, message: Message, resend: Callable[[str, Message], bool]) -> None:
        target = self.destination or message.dead_letter_of
        if target is not None and resend(target, message):
            self.source.remove(message.id)
            self.moved += 1
        else:
            self.status, self.failure = "FAILED", NO_SOURCE if target is None else NO_QUEUE


class MoveTasks:
    """The tasks of all queues. `queues` is by name, and stays shared with its owner."""

    def __init__(self, queues: Mapping[str, Queue], clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._queues = queues
        self._clock = clock
        self._new_id = new_id
        self._tasks: dict[str, deque[MoveTask]] = {}  # by source queue, the newest first

    def start(self, source: str, destination: str | None = None, *, rate: int | None = None) -> MoveTask:
        """Begin to move the visible messages of the queue `source` to where they came from, or to `destination`.

        Both are names. `rate` is in messages per second; without one everything has moved when this returns.

        Raises:
            ResourceNotFoundException: no such queue.
            InvalidParameterValueException: `source` is nobody's dead letter queue.
            UnsupportedOperation: a task of this queue is running.
        """
        self.advance()
        queue, now = self._queue(source), self._clock()
        if destination is not None:
            self._queue(destination)
        policies = (other.settings.redrive for other in self._queues.values())
        if not any(policy is not None and policy.dead_letters == source for policy in policies):
            raise InvalidParameterValueException("Source queue must be configured as a Dead Letter Queue.")
        tasks = self._tasks.setdefault(source, deque(maxlen=TASKS_REMEMBERED))
        if tasks and tasks[0].status == "RUNNING":
            raise UnsupportedOperation("There is already a task running. Only one active task is allowed for a queue.")
        tasks.appendleft(MoveTask(self._new_id(), queue, destination, rate, now, queue.counts(now).visible))
        self.advance()
        return tasks[0]

    def of(self, source: str) -> list[MoveTask]:
        """The last 10 tasks of the queue `source`, the newest first. Raises ResourceNotFoundException."""
        self.advance()
        return list(self._tasks.get(self._queue(source).name, ()))

    def cancel(self, handle: str) -> MoveTask:
        """Stop a task; what has moved stays moved. Raises ResourceNotFoundException, UnsupportedOperation."""
        self.advance()
        task = next((task for tasks in self._tasks.values() for task in tasks if task.handle == handle), None)
        if task is None:
            raise ResourceNotFoundException("Task does not exist.")
        if task.status != "RUNNING":
            raise UnsupportedOperation("Only active tasks can be cancelled.")
        task.status = "CANCELLED"
        return task

    def forget(self, source: str) -> None:
        """Drop the tasks of a queue that is gone."""
        self._tasks.pop(source, None)

    def advance(self) -> None:
        """Let time pass for the running tasks."""
        for task in self._running():
            task.advance(self._clock(), resend=self._resend)

    def next_change(self) -> float | None:
        """Epoch seconds at which the next message moves; None when no task waits for time to pass."""
        return min((change for task in self._running() if (change := task.next_change()) is not None), default=None)

    def _running(self) -> list[MoveTask]:
        return [tasks[0] for tasks in self._tasks.values() if tasks and tasks[0].status == "RUNNING"]

    def _queue(self, name: str) -> Queue:
        try:
            return self._queues[name]
        except KeyError:
            raise ResourceNotFoundException("The resource that you specified by its ARN doesn't exist.") from None

    def _resend(self, name: str, message: Message) -> bool:
        """A moved message is a new one: new id, new enqueue time, never received. False when the queue is gone."""
        target, now = self._queues.get(name), self._clock()
        if target is None:
            return False
        fresh = replace(message, id=self._new_id(), sent_at=now, dead_letter_of=None)
        target.put(fresh, now=now, delay=target.settings.delay)
        return True
