"""Repetitions: messages that make the worker send whatever is due in a member's row. Pure.

They hold no identities: the row decides when the message arrives, and if nothing is due, nothing happens. So duplicates
are harmless.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from audience_sync.member_state import MemberState, Timing
from audience_sync.membership import MembershipChange
from audience_sync.messages import REPETITION, pack

MAX_DELAY = 900  # seconds; the longest delay SQS accepts. Changes that wait longer are checked again by then
MINUTE = 60  # seconds


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
