"""The demo's hard cases: people who leave while something happens that a handler of single events gets wrong.

The pipeline and a naive handler get the same events, and Amazon treats their uploads alike.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import batched
from typing import Any

import requests

from local.demo_progress import INTERVAL, TIMEOUT, NotFinished
from local.demo_traffic import BATCH, Sent, events_of
from local.example_audiences import EXAMPLE
from local.naive_handler import NaiveHandler
from local.sample_profiles import Person

type Events = list[dict[str, Any]]
type Groups = dict[str, Sequence[Person]]  # by case

QUICK, LATE = "within seconds of entering", "before a late copy of the enter"
KILLED, ERASED = "while a worker was killed", "by a deletion notice"
SLOW_JOB = 0.9  # seconds until an enter takes effect, later than its exit; after one, the pipeline first checks a job
HELD = 60.0  # seconds until an upload is answered; its worker is killed long before


def groups_of(leaving: Sequence[Person]) -> Groups:
    """Split the first who leave: an eighth for each case, but one person who is erased. Empty if too few leave."""
    size = len(leaving) // 8
    groups = {QUICK: leaving[:size], LATE: leaving[size : 2 * size], KILLED: leaving[2 * size : 3 * size]}
    return groups | {ERASED: leaving[3 * size : 3 * size + 1]} if size else {}


def play(where: dict[str, str], groups: Groups, others: Events, post: Callable[[Events], Sent]) -> tuple[Sent, int]:
    """Send the events of the groups and of others: with `post` to the pipeline, and to a naive handler.

    Returns what was sent to the pipeline, and the naive handler's audience. Raises NotTaken, NotFinished.
    """
    naive = NaiveHandler(where)
    pairs = {case: events_of(people, people) for case, people in groups.items()}
    enters, exits = ({case: both[part::2] for case, both in pairs.items()} for part in (0, 1))
    at = datetime.now(UTC).isoformat()
    notices = [{"type": "delete", "userId": person.user_id, "timestamp": at} for person in groups[ERASED]]
    first = (enters[QUICK] + enters[ERASED], exits[QUICK] + pairs[LATE] + notices, enters[KILLED])
    rest = exits[KILLED] + others + enters[LATE]
    rules = [
        _rule(EXAMPLE.audience_id, groups[QUICK], job={"delay": SLOW_JOB}),
        _rule(EXAMPLE.audience_id, groups[QUICK]),  # shows that the exits are sent
        _rule(EXAMPLE.audience_id, groups[KILLED], delay=HELD),
        _rule(naive.audience_id, groups[QUICK], job={"delay": SLOW_JOB}),
        _rule(naive.audience_id, groups[KILLED], close_after_apply=True),
    ]
    faults = f"{where['amazon']}/sandbox/faults"
    requests.put(faults, json=rules, timeout=10).raise_for_status()
    sent = Sent(0, 0.0, 0)
    for rule, events in enumerate(first):
        sent += post(events)
        _wait_until_fired(faults, rule)
    requests.post(f"{where['api']}/local/kill/WorkerFunction", timeout=10).raise_for_status()
    sent += post(rest)
    for part in (*first, *batched(rest, BATCH, strict=False), enters[KILLED]):
        with suppress(requests.ConnectionError):  # as if killed there: Segment repeats the request that is not answered
            naive.handle(part)
    requests.delete(faults, timeout=10).raise_for_status()
    return sent, naive.audience_id


def _rule(audience_id: int | str, people: Sequence[Person], **effect: Any) -> dict[str, Any]:
    """Return a rule of the sandbox for an audience's next upload with these people."""
    match = {"path": "/amc/audiences/records", "audience": audience_id, "contains": people[0].user_id}
    return {"match": match, "do": effect, "times": 1}


def _wait_until_fired(faults: str, rule: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not requests.get(faults, timeout=10).json()[rule]["fired"]:
        if time.monotonic() > deadline:
            raise NotFinished(f"a hard case did not happen within {TIMEOUT:g} s")
        time.sleep(INTERVAL)
