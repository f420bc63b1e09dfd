"""Messages that make a function do whatever is due in a row when they arrive. Pure.

A repetition is for the worker, a deletion for the jobs function. They hold no identities: the row decides, and if
nothing is due, nothing happens. So duplicates are harmless.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import batched

from audience_sync.member_state import MemberState, Timing
from audience_sync.membership import MembershipChange
from audience_sync.messages import REPETITION, DeletionMessage, pack

MAX_DELAY = 900  # seconds; the longest delay SQS accepts. Changes that wait longer are checked again by then
MINUTE = 60  # seconds
MAX_PEOPLE = 1_000  # in one deletion message: as many as Amazon deletes in one request


def repetition_messages(states: Iterable[MemberState], now: float, timing: Timing) -> Iterator[tuple[list[str], int]]:
    """Yield the messages for due repetitions, each with its delay in seconds.

    Args:
        states: of members; most owe nothing.
        now: epoch seconds.
        timing: how long Amazon may take.
    """
    waiting = ((state.bare(), due.at - now) for state in states if (due := state.due(timing)))
    for delay, changes in by_delay(waiting, now).items():
        yield pack(changes, REPETITION), delay


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
        grouped[math.ceil(at) if at <= now + MINUTE else math.ceil(at / MINUTE) * MINUTE].append(person)
    for at, people in grouped.items():
        for some in batched(people, MAX_PEOPLE):
            yield DeletionMessage(some, at, attempts).body(), look_again(at - now, now)


def by_delay(waiting: Iterable[tuple[MembershipChange, float]], now: float) -> dict[int, list[MembershipChange]]:
    """Group waiting changes by the seconds until their next check."""
    grouped: defaultdict[int, list[MembershipChange]] = defaultdict(list)
    for change, seconds in waiting:
        grouped[look_again(seconds, now)].append(change)
    return dict(grouped)


def look_again(seconds: float, now: float) -> int:
    """Return the seconds until the next check of a change that waits `seconds`; `now` in epoch seconds.

    Waits of over a minute end on a full minute, and waits longer than SQS allows on a quarter of an hour. So changes
    that wait for the same moment come back together, whenever they arrived. Otherwise, of two enters of one member, the
    older would be superseded if it came second.
    """
    if seconds <= MINUTE:
        return max(0, math.ceil(seconds))
    delay = math.ceil(math.ceil((now + seconds) / MINUTE) * MINUTE - now)
    return delay if delay <= MAX_DELAY else math.floor((math.floor(now / MAX_DELAY) + 1) * MAX_DELAY - now)
