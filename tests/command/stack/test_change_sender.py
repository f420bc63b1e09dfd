"""Changes reach the queue whole and in order, and each that is there is counted as accepted."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audience_sync.aws.client_errors import unavailable
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from audience_sync.members.membership import MembershipChange
from audience_sync.members.messages import ChangeMessage
from audience_sync_cli.stack import queue_room
from audience_sync_cli.stack.change_sender import IN_FLIGHT, WAITS, ChangeSender
from audience_sync_cli.stack.queue_room import ROOM_EVERY, room_for
from tests.command.conftest import change
from tests.support.doubles.clocks import ManualClock
from tests.support.waiting import wait_until


class MemoryQueue:
    """Keeps what it is sent, unless `refuses` says otherwise for the number of the request."""

    def __init__(self, refuses: Callable[[int], str | None] = lambda _: None) -> None:
        self.bodies: list[str] = []
        self.requests = 0
        self._refuses = refuses
        self._lock = threading.Lock()

    def send(self, bodies: Sequence[str], *, deadline: float) -> None:
        assert deadline > 0
        with self._lock:
            self.requests += 1
            code = self._refuses(self.requests)
            if code is None:
                self.bodies += bodies
                return
        with unavailable("SQS did not accept the messages"):
            status = 400 if code in ("AccessDenied", "ThrottlingException") else 503
            answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(answer, "SendMessageBatch")

    def members(self) -> list[str]:
        """The ids of the members of all changes, in the order of the messages."""
        messages = [ChangeMessage.from_body(body) for body in self.bodies]
        return [each.member_id for message in messages for each in message.changes]


class Sending:
    """A sender, and what it reports."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.counted: Counter[int] = Counter()
        self.rows: list[int] = []
        self.notes: list[str] = []
        self.slept: list[float] = []
        self.now = 1_800_000_000.0
        self.sleep: Callable[[float], None] = self.slept.append

    def count(self, counts: Mapping[int, int]) -> None:
        self.counted.update(counts)

    def sender(self) -> ChangeSender:
        clock = Clock(lambda: self.now, time.monotonic, self.sleep)
        confirmed = lambda row, _: self.rows.append(row)  # noqa: E731
        self.current = ChangeSender(self.queue.send, self.count, clock, confirmed, note=self.notes.append)
        return self.current

    def send(self, changes: Iterable[MembershipChange]) -> ChangeSender:
        with self.sender() as sender:
            for row, each in enumerate(changes, start=1):
                sender.take(row, each)
        return sender


def changes(count: int) -> list[MembershipChange]:
    return [change(f"m{number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 12_345])
def test_every_change_is_sent_once_and_counted_once(count: int) -> None:
    sending = Sending(MemoryQueue())
    sender = sending.send(changes(count))
    assert sorted(sending.queue.members()) == sorted(f"m{number}" for number in range(count))
    assert (sender.confirmed, sending.counted.total(), sender.messages) == (count, count, len(sending.queue.bodies))
    assert sending.rows == sorted(sending.rows)
    assert sending.rows[-1] == count


def test_messages_are_full_and_carry_the_time_of_acceptance() -> None:
    sending = Sending(MemoryQueue())
    sending.send(changes(20_000))
    sizes = [len(body) for body in sending.queue.bodies]
    assert max(sizes) <= MAX_MESSAGE_BYTES
    assert len(sizes) <= sum(sizes) / MAX_MESSAGE_BYTES * 1.2
    assert {ChangeMessage.from_body(body).history.first_at for body in sending.queue.bodies} == {1_800_000_000_000}
    assert set(sending.counted) == {1_800_000_000}


def test_changes_are_counted_in_the_minute_in_which_they_were_accepted() -> None:
    sending = Sending(MemoryQueue())
    with sending.sender() as sender:
        for row in range(1, 3_001):
            sending.now += 0.05
            sender.take(row, change(f"m{row}"))
    by_minute: Counter[int] = Counter()
    for message in map(ChangeMessage.from_body, sending.queue.bodies):
        by_minute[(message.history.first_at or 0) // 60_000 * 60] += len(message.changes)
    assert len(by_minute) > 1
    assert +sending.counted == by_minute


SILENT = "The change queue does not answer. It is asked again for two minutes"
LOST = "Up to 10 changes may be delivered without being counted"  # an answer may have been lost


@pytest.mark.parametrize(
    ("codes", "waits", "notes"),
    [
        pytest.param(["ThrottlingException", "InternalError", None], WAITS[:2], [], id="asked again until it answers"),
        pytest.param(["ServiceUnavailable"], WAITS, [SILENT, LOST], id="two minutes without an answer end the run"),
        pytest.param(["AccessDenied"], (), [], id="a missing permission ends it at once"),
    ],
)
def test_sending_is_retried_if_the_queue_throttles_or_fails(
    codes: list[str | None], waits: Sequence[float], notes: list[str]
) -> None:
    sending = Sending(MemoryQueue(lambda request: codes[min(request, len(codes)) - 1]))
    with nullcontext() if codes[-1] is None else pytest.raises(Unavailable):
        assert sending.send(changes(10)).confirmed == 10
    assert sum(sending.slept) == sum(waits)
    assert [note.startswith(each) for note, each in zip(sending.notes, notes, strict=True)] == [True] * len(notes)
    assert (bool(sending.rows), sending.counted.total()) == ((False, 0) if codes[-1] else (True, 10))


def test_after_a_failure_queued_changes_are_counted_and_only_rows_before_the_gap_are_confirmed() -> None:
    sending = Sending(MemoryQueue(lambda request: "AccessDenied" if request == 2 else None))
    with pytest.raises(Unavailable):
        sending.send(changes(3_000))
    arrived = sending.queue.members()
    assert sending.counted.total() == len(arrived)
    confirmed = sending.rows[-1] if sending.rows else 0
    assert {f"m{row}" for row in range(confirmed)} <= set(arrived)


def interrupted(count: int, before: Callable[[], object] = lambda: None) -> Iterator[MembershipChange]:
    """Yield some changes, and end as Ctrl-C does."""
    yield from changes(count)
    before()
    raise KeyboardInterrupt


def test_an_interruption_waits_for_requests_in_flight_and_sends_no_more() -> None:
    sending = Sending(MemoryQueue())
    with pytest.raises(KeyboardInterrupt):
        sending.send(interrupted(1_500))
    assert sending.rows == [1_000]
    assert len(sending.queue.members()) == sending.counted.total() == 1_000


def test_requests_in_flight_are_counted_after_a_second_interrupt() -> None:
    sending, begun, may_end = Sending(MemoryQueue()), threading.Event(), threading.Event()
    send = sending.queue.send

    def slow(bodies: Sequence[str], *, deadline: float) -> None:
        begun.set()
        assert may_end.wait(60)
        send(bodies, deadline=deadline)

    def interrupt_twice() -> None:
        assert begun.wait(60)
        sending.current._confirm = lambda: next(interrupted(0, may_end.set))  # type: ignore[assignment]

    sending.queue.send = slow
    with pytest.raises(KeyboardInterrupt):
        sending.send(interrupted(1_000, interrupt_twice))
    assert (len(sending.queue.members()), sending.counted.total(), sending.notes) == (1_000, 1_000, [])


def _unavailable(_: Mapping[int, int]) -> None:
    raise Unavailable("CloudWatch did not accept the metrics")


def test_nothing_is_sent_if_cloudwatch_refuses_counts_and_what_it_never_counted_is_reported() -> None:
    sending = Sending(MemoryQueue())
    with pytest.raises(Unavailable), sending.sender() as sender:  # noqa: PT012 - the end raises
        sender.take(1, change("m1"))
        sender._count = _unavailable
    assert sending.notes[0].startswith("Up to 1 change may be delivered without being counted")
    sending = Sending(MemoryQueue())
    sending.count = _unavailable  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        sending.send(changes(10))
    assert sending.queue.requests == 0


def test_an_interruption_ends_the_wait_before_a_retry() -> None:
    sending, waits = Sending(MemoryQueue(lambda _: "ThrottlingException")), threading.Event()

    def sleep(seconds: float) -> None:
        sending.slept.append(seconds)
        waits.set()
        wait_until(lambda: sending.current._is_ending, bool)

    sending.sleep = sleep
    with pytest.raises(KeyboardInterrupt):
        sending.send(interrupted(1_000, lambda: waits.wait(60)))
    assert sending.slept == [1.0]


def test_at_most_in_flight_requests_run_at_a_time() -> None:
    all_begun, begun, running, most, lock = threading.Barrier(IN_FLIGHT), 0, 0, 0, threading.Lock()

    class WaitingQueue(MemoryQueue):
        def send(self, bodies: Sequence[str], *, deadline: float) -> None:
            nonlocal begun, running, most
            with lock:
                begun += 1
                running += 1
                most = max(most, running)
                is_first = begun <= IN_FLIGHT
            if is_first:
                all_begun.wait(60)
            super().send(bodies, deadline=deadline)
            with lock:
                running -= 1

    Sending(WaitingQueue()).send(changes(30_000))
    assert most == IN_FLIGHT


def test_a_full_queue_pauses_sending_and_is_counted_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_room, "MAX_WAITING", 10)
    clock, depths, notes = ManualClock(), iter([5, 12, 11, 10, 3]), list[str]()
    room = room_for(lambda: next(depths), Clock(monotonic=clock, sleep=clock.sleep), notes.append)
    room()  # not counted: a short run waits for nobody
    clock.now = ROOM_EVERY
    room()  # 5
    room()  # not counted again
    assert (clock.now, notes) == (ROOM_EVERY, [])
    clock.now = 2 * ROOM_EVERY
    room()  # 12, 11, 10
    assert clock.now == 3 * ROOM_EVERY
    assert notes == ["12 messages in the change queue: waiting until there are 10."]
    clock.now += ROOM_EVERY
    room()
    assert next(depths, None) is None


def test_each_request_is_made_only_when_there_is_room() -> None:
    sending, rooms = Sending(MemoryQueue()), list[int]()
    clock = Clock(sleep=sending.slept.append)
    wait = lambda: rooms.append(sending.queue.requests)  # noqa: E731
    with ChangeSender(sending.queue.send, sending.count, clock, lambda *_: None, wait) as sender:
        for row, each in enumerate(changes(3_000), start=1):
            sender.take(row, each)
    assert len(rooms) == sending.queue.requests
