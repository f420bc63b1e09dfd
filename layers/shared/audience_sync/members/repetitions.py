"""Messages that make a function do whatever is due in a row when they arrive. Pure.

A repetition is for the worker, a deletion for the jobs function. They hold no identities: the row decides, and if
nothing is due, nothing happens. So duplicates are harmless.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import batched
from typing import NamedTuple, Self

from audience_sync.members.job_messages import DeletionMessage
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.messages import REPETITION, pack

MAX_DELAY = 900  # seconds; the longest delay SQS accepts. Changes that wait longer are checked again by then
MINUTE = 60  # seconds
MAX_PEOPLE = 1_000  # in one deletion message: as many as Amazon deletes in one request


class Wait(NamedTuple):
    """How long a message waits."""

    delay: int  # seconds until it is received
    until: int | None = None  # epoch second before which its rows need not be read; None if that may come nearer

    @classmethod
    def of(cls, at: float, now: float, *, is_fixed: bool) -> Self:
        """Return how long a message waits that is due at `at`; both in epoch seconds.

        Waits of over a minute end on a full minute, and waits longer than SQS allows on a quarter of an hour. So
        changes that wait for the same moment come back together, whenever they arrived, and take one upload.

        Args:
            at: when it is due.
            now: the time.
            is_fixed: whether it cannot be due sooner, as what waits for a late job can.
        """
        due = _due_second(at, now)
        delay = max(0, math.ceil(due - now))
        if delay > MAX_DELAY:
            delay = math.ceil((math.floor(now / MAX_DELAY) + 1) * MAX_DELAY - now)
        return cls(delay, due if is_fixed else None)


def repetition_messages(due: Iterable[tuple[MemberState, float]], now: float) -> Iterator[tuple[list[str], int]]:
    """Yield the messages for repetitions, each with its delay in seconds.

    Args:
        due: the state of each member, and the epoch second from which its row is to be looked at.
        now: epoch seconds.
    """
    grouped: defaultdict[Wait, list[MemberState]] = defaultdict(list)
    for state, at in due:
        grouped[Wait.of(at, now, is_fixed=not state.late_jobs)].append(state)
    for wait, waiting in grouped.items():
        yield pack([state.bare() for state in waiting], replace(REPETITION, unread_until=wait.until)), wait.delay


def with_due(states: Iterable[MemberState], timing: Timing) -> Iterator[tuple[MemberState, float]]:
    """Yield the states for which something is due, now or later, with its epoch second; most owe nothing."""
    for state in states:
        if due := state.due(timing):
            yield state, due.at


def deletion_messages(due: Mapping[str, float], now: float, attempts: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the messages that ask Amazon to delete people, each with its delay in seconds.

    People who are due in the same minute share a message, which is not read before.

    Args:
        due: epoch second by external user id.
        now: epoch seconds.
        attempts: that failed.
    """
    grouped: defaultdict[int, list[str]] = defaultdict(list)
    for person, at in due.items():
        grouped[_due_second(at, now)].append(person)
    for at, people in grouped.items():
        for some in batched(people, MAX_PEOPLE):
            yield DeletionMessage(some, at, attempts).body(), Wait.of(at, now, is_fixed=True).delay


def _due_second(at: float, now: float) -> int:
    return math.ceil(at) if at <= now + MINUTE else math.ceil(at / MINUTE) * MINUTE
