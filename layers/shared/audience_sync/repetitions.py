"""Repetitions: messages that ask the worker to send what the row of a member says is due. Pure.

They hold no identities. What is sent is decided when one arrives, from the row as it is then; one that finds nothing
due does nothing. So two of them are no more than one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from audience_sync.member_state import MemberState, Timing
from audience_sync.membership import MembershipChange
from audience_sync.messages import REPETITION, pack

MAX_DELAY = 900  # seconds a message can be delayed; the limit of SQS. What waits longer looks again by then
MINUTE = 60  # seconds


def repetition_messages(states: Iterable[MemberState], now: float, timing: Timing) -> Iterator[tuple[list[str], int]]:
    """Yield the messages for what is due, each with the seconds by which it is delayed.

    Args:
        states: of members; most of them owe nothing.
        now: epoch seconds.
        timing: how long Amazon may take.
    """
    waiting = ((state.bare(), due.at - now) for state in states if (due := state.due(timing)))
    for delay, changes in by_delay(waiting, now).items():
        yield pack(changes, REPETITION), delay


def by_delay(waiting: Iterable[tuple[MembershipChange, float]], now: float) -> dict[int, list[MembershipChange]]:
    """Group changes that wait so many seconds by the seconds until they look again."""
    grouped: defaultdict[int, list[MembershipChange]] = defaultdict(list)
    for change, seconds in waiting:
        grouped[look_again(seconds, now)].append(change)
    return dict(grouped)


def look_again(seconds: float, now: float) -> int:
    """Return in how many seconds a change looks again that waits so many, `now` in epoch seconds.

    Waits of over a minute end on a minute of the clock, and longer ones than SQS allows on a quarter of an hour. So
    changes that wait for the same moment come back together, whenever they have arrived. Of two enters of one member,
    the older would otherwise be superseded if it came second.
    """
    if seconds <= MINUTE:
        return max(0, math.ceil(seconds))
    delay = math.ceil(math.ceil((now + seconds) / MINUTE) * MINUTE - now)
    return delay if delay <= MAX_DELAY else math.floor((math.floor(now / MAX_DELAY) + 1) * MAX_DELAY - now)
