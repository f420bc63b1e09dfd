"""A part of the dashboard is read once in an interval, and a failure leaves its last value."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from audience_sync_cli.dashboard.parts import Part
from audience_sync_cli.frame.errors import TryLater


class Source:
    """A part of counts, which says how often it was read, and fails where the test wants it to."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.times = 0
        self.error: Exception | None = None
        self.part, self.executor = Part("counts", 60, self.read, 0), executor

    def read(self) -> int:
        self.times += 1
        if self.error:
            raise self.error
        return self.times

    def at(self, now: float) -> int:
        self.part.begin(self.executor, now)
        self.part.finish(now)
        return self.part.value


@pytest.fixture
def source() -> Iterator[Source]:
    with ThreadPoolExecutor(1) as executor:
        yield Source(executor)


def test_a_part_is_read_once_within_its_interval_and_at_once_after_it_has_expired(source: Source) -> None:
    assert [source.at(now) for now in (0, 10, 59, 60, 119)] == [1, 1, 1, 2, 2]
    source.part.expire()
    assert source.at(119) == 3


def test_a_failed_part_is_a_problem_and_keeps_its_last_value(source: Source) -> None:
    source.at(0)
    source.error = TryLater("AWS cannot be reached.", "Check the network.")
    assert source.at(60) == 1
    problem = source.part.problem
    assert problem is not None
    assert (problem.part, problem.message, problem.remedy) == ("counts", "AWS cannot be reached.", "Check the network.")
    source.error = None
    assert (source.at(120), source.part.problem) == (3, None)


def test_an_unexpected_failure_does_not_show_its_text(source: Source) -> None:
    source.error = ValueError("a value that must not be shown")
    source.at(0)
    assert source.part.problem is not None
    assert "must not be shown" not in repr(source.part.problem)


def test_a_part_is_unread_until_it_has_been_read_once(source: Source) -> None:
    part = source.part
    assert not part.is_unread
    part.begin(source.executor, 0)
    assert (part.is_unread, part.is_running) == (True, True)
    part.finish(0)
    assert (part.is_unread, part.is_running) == (False, False)
