"""A part of the dashboard is read once in an interval, and a failure leaves its last value."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from audience_sync_cli.dashboard.parts import Part
from audience_sync_cli.frame.errors import TryLater


class Source:
    """Counts how often it is read, and fails where the test wants it to."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception | None = None

    def read(self) -> int:
        self.times += 1
        if self.error:
            raise self.error
        return self.times


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def read_at(part: Part[int], executor: ThreadPoolExecutor, now: float) -> int:
    part.begin(executor, now)
    part.finish(now)
    return part.value


def test_a_part_is_read_once_within_its_interval(executor: ThreadPoolExecutor) -> None:
    source = Source()
    part = Part("counts", 60, source.read, 0)
    assert [read_at(part, executor, now) for now in (0, 10, 59, 60, 119)] == [1, 1, 1, 2, 2]


def test_an_expired_part_is_read_at_once(executor: ThreadPoolExecutor) -> None:
    part = Part("counts", 60, Source().read, 0)
    read_at(part, executor, 0)
    part.expire()
    assert read_at(part, executor, 1) == 2


def test_a_failed_part_is_a_problem_and_keeps_its_last_value(executor: ThreadPoolExecutor) -> None:
    source = Source()
    part = Part("counts", 60, source.read, 0)
    read_at(part, executor, 0)
    source.error = TryLater("AWS cannot be reached.", "Check the network.")
    assert read_at(part, executor, 60) == 1
    assert part.problem is not None
    assert (part.problem.part, part.problem.message) == ("counts", "AWS cannot be reached.")
    assert part.problem.remedy == "Check the network."
    source.error = None
    assert read_at(part, executor, 120) == 3
    assert part.problem is None


def test_an_unexpected_failure_does_not_show_its_text(executor: ThreadPoolExecutor) -> None:
    source = Source()
    source.error = ValueError("a value that must not be shown")
    part = Part("counts", 60, source.read, 0)
    read_at(part, executor, 0)
    assert "must not be shown" not in repr(part.problem)


def test_a_part_is_unread_until_it_has_been_read_once(executor: ThreadPoolExecutor) -> None:
    part = Part("counts", 60, Source().read, 0)
    assert not part.is_unread
    part.begin(executor, 0)
    assert (part.is_unread, part.is_running) == (True, True)
    part.finish(0)
    assert (part.is_unread, part.is_running) == (False, False)
