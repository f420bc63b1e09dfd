"""The smallest scenarios in which delivery did not come to rest, or did not erase."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal

from tests.soak.datasets import REACHES
from tests.soak.faults import PlannedFault
from tests.soak.script import HOUR, MINUTE, Copies, Outage, Scenario, ScriptedSimulation, Sent

IN_TIME = 5 * MINUTE  # of an ordinary job


def _always(seconds: float) -> Callable[[int], float]:
    return lambda _number: seconds


def _first(seconds: float) -> Callable[[int], float]:
    return lambda number: seconds if number == 1 else IN_TIME


def _a_fifth_late() -> Callable[[int], float]:
    random = Random(1)

    def seconds(_number: int) -> float:
        return random.uniform(15 * MINUTE, 45 * MINUTE) if random.random() < 0.2 else random.uniform(1.0, 15 * MINUTE)

    return seconds


def _busy_hour() -> tuple[Sent, ...]:
    """Let 20 members enter and leave, 565 times in an hour."""
    random = Random(1)
    is_in: dict[str, bool] = {}
    sent = []
    for number in range(565):
        user = f"user_{random.randrange(20)}"
        is_in[user] = not is_in.get(user, False)
        email = f"{user}-{number}@example.com" if is_in[user] else ""
        sent.append(Sent(number * HOUR / 565, "enter" if is_in[user] else "exit", email, user))
    return tuple(sent)


def _enters_and_exits(count: int) -> tuple[Sent, ...]:
    """Let one member enter and leave by turns within a minute."""
    moments = [number * MINUTE / count for number in range(count)]
    return tuple(
        Sent(at, "exit") if number % 2 else Sent(at, "enter", f"email-{number}@example.com")
        for number, at in enumerate(moments)
    )


_RETURN = (
    Sent(0.0, "enter", "a@example.com"),
    Sent(2 * MINUTE, "exit"),
    Sent(4 * MINUTE, "enter", "b@example.com"),
)

DAY = 24 * HOUR
NOTICED = 3 * DAY  # when the people of the scenarios below have been in for long


def _in_two(at: float, kind: Literal["enter", "exit"], email: str = "", user: str = "user") -> tuple[Sent, Sent]:
    """Let a person enter or leave the last two audiences."""
    return Sent(at, kind, email, user, to=1), Sent(at, kind, email, user, to=2)


def _return() -> Scenario:
    """Let a person come back to two datasets after a notice, and leave one of them."""
    sent = (
        Sent(0.0, "enter", "a@example.com", to=2),
        Sent(NOTICED, "enter", "a@example.com"),
        Sent(NOTICED + 10 * MINUTE, "notice"),
        *_in_two(NOTICED + 20 * MINUTE, "enter", "b@example.com"),
        Sent(NOTICED + 6 * HOUR, "exit"),
    )
    return Scenario("exit-after-return", sent, _always(IN_TIME), datasets=2, deletes="accepted")


def _failed_removal(name: str, fails: str, hours: float) -> Scenario:
    """Let removals from an audience and a dataset fail, and both people be back with other addresses."""
    back = NOTICED + 61 * HOUR
    sent = (
        *_in_two(0.0, "enter", "a@example.com", "leaver"),
        *_in_two(0.0, "enter", "c@example.com", "deleter"),
        *_in_two(NOTICED, "exit", user="leaver"),
        Sent(NOTICED, "notice", user="deleter"),
        *_in_two(back, "enter", "b@example.com", "leaver"),
        *_in_two(back, "enter", "d@example.com", "deleter"),
    )
    outage = Outage(fails, NOTICED - 2 * HOUR, NOTICED + hours * HOUR)
    return Scenario(name, sent, _always(IN_TIME), outages=(outage,), datasets=1)


def _early_denial(reading: str) -> Scenario:
    """Let a person deny consent while the enter before may still take effect."""
    sent = (Sent(0.0, "enter", "a@example.com"), Sent(10 * MINUTE, "denial"))
    return Scenario(f"early-denial-{reading}", sent, _always(IN_TIME), datasets=2, deletes=reading)


def _return_by_a_fast_clock() -> tuple[Sent, ...]:
    """Let members leave and be back 1 or 2 seconds later, by senders' clocks that are 10 or 120 seconds fast."""
    sent = []
    for number, (ahead, gap) in enumerate([(10.0, 1.0), (10.0, 2.0), (120.0, 1.0), (120.0, 2.0)]):
        user, at = f"user_{number}", HOUR + number * MINUTE
        sent += [Sent(number * 0.01, "enter", "a@example.com", user), Sent(at, "exit", "", user, ahead=ahead)]
        sent.append(Sent(at + gap, "enter", "a@example.com", user, ahead=ahead))
    return tuple(sent)


# Made for each run: the durations of jobs are drawn.
SCENARIOS: dict[str, Callable[[], Scenario]] = {
    # A member returns while every job takes 25 minutes.
    "slow-jobs": lambda: Scenario("slow-jobs", _RETURN, _always(25 * MINUTE)),
    # An hour of traffic while a fifth of the jobs takes 15 to 45 minutes, and then silence.
    "some-slow-jobs": lambda: Scenario("some-slow-jobs", _busy_hour(), _a_fifth_late()),
    # A person deletes the account, and signs up again with another address.
    "return-after-notice": lambda: Scenario(
        "return-after-notice",
        (
            Sent(0.0, "enter", "old@example.com"),
            Sent(5 * MINUTE, "notice"),
            Sent(7 * MINUTE, "enter", "new@example.com"),
        ),
        _always(IN_TIME),
    ),
    # Several workers have changes of one member at the same time.
    "one-busy-member": lambda: Scenario("one-busy-member", _enters_and_exits(31), _always(IN_TIME), batch_size=1),
    # Two workers have the same enter.
    "same-enter-twice": lambda: Scenario(
        "same-enter-twice",
        (*_RETURN[:2], Sent(4 * MINUTE, "enter", "b@example.com", times=2)),
        _always(IN_TIME),
        batch_size=1,
    ),
    # An upload's job is not known, since its message was not stored, and it ends after a notice.
    "unknown-job": lambda: Scenario(
        "unknown-job",
        (Sent(0.0, "enter", "a@example.com"), Sent(20 * MINUTE, "notice")),
        _first(50 * MINUTE),
        faults=(PlannedFault("job_queue", "refused", times=3),),
    ),
    # The same, since the upload's answer was lost.
    "lost-answer": lambda: Scenario(
        "lost-answer",
        (Sent(0.0, "enter", "a@example.com"), Sent(20 * MINUTE, "notice")),
        _first(50 * MINUTE),
        faults=(PlannedFault("uploads", "lost"),),
    ),
    # The first check of a slow job fails once, so that a notice's removal is checked before it is known to be late.
    "failed-check": lambda: Scenario(
        "failed-check",
        (Sent(0.0, "enter", "a@example.com"), Sent(17 * MINUTE, "notice")),
        _first(60 * MINUTE),
        faults=(PlannedFault("checks", "refused", after=14 * MINUTE),),
    ),
    # A check is delivered again when its job has ended, to two consumers: one fails, and the other one deletes it.
    "repeated-check": lambda: Scenario(
        "repeated-check",
        (Sent(0.0, "enter", "a@example.com"), Sent(20 * MINUTE, "notice")),
        _first(15.5 * MINUTE),
        faults=(PlannedFault("checks", "hang", after=31 * MINUTE),),
        copies=(Copies("JobQueue", 14 * MINUTE, (18 * MINUTE, 0.0)),),
    ),
    # An enter waits for a removal, and brings from its request an enter that is older than a notice.
    "older-enter-waits": lambda: Scenario(
        "older-enter-waits",
        (
            Sent(0.0, "exit", "a@example.com"),
            Sent(10 * MINUTE, "notice"),
            Sent(11 * MINUTE, "enter", "old@example.com", dated=9 * MINUTE),
            Sent(11 * MINUTE, "enter", "new@example.com"),
        ),
        _always(IN_TIME),
    ),
    # Nobody has ever entered: an exit, a notice that is older, and another exit.
    "exits-only": lambda: Scenario(
        "exits-only",
        (
            Sent(MINUTE, "exit"),
            Sent(2 * MINUTE, "notice", dated=0.0),
            Sent(12 * MINUTE, "exit", "a@example.com"),
        ),
        _always(IN_TIME),
    ),
    # A plain exit from one of two datasets that a person has come back to, hours after a notice.
    "exit-after-return": _return,
    # A removal that cannot be sent for 62 hours, or is refused and redriven after the return.
    "no-token": lambda: _failed_removal("no-token", "checks", 62),
    "refused-removals": lambda: _failed_removal("refused-removals", "removals", 1),
    # A notice older than an exit and an enter, and another exit before the audit.
    "late-notice": lambda: Scenario(
        "late-notice",
        (
            Sent(10 * MINUTE, "exit", "a@example.com"),
            Sent(20 * MINUTE, "enter", "b@example.com"),
            Sent(50 * MINUTE, "notice", dated=0.0),
            Sent(110 * MINUTE, "exit"),
        ),
        _always(IN_TIME),
    ),
    # A denial ten minutes after an enter, whatever a deletion reaches.
    **{f"early-denial-{reading}": partial(_early_denial, reading) for reading in REACHES},
    # Amazon refuses deletions for a day, and the person is back before.
    "refused-deletion": lambda: Scenario(
        "refused-deletion",
        (
            *_in_two(0.0, "enter", "a@example.com"),
            Sent(NOTICED, "notice"),
            *_in_two(NOTICED + 20 * MINUTE, "enter", "b@example.com"),
        ),
        _always(IN_TIME),
        outages=(Outage("deletions", NOTICED, NOTICED + DAY),),
        datasets=2,
        deletes="accepted",
    ),
    # A member who has been in for long denies consent.
    "denial": lambda: Scenario(
        "denial",
        (*_in_two(0.0, "enter", "a@example.com"), Sent(NOTICED, "denial")),
        _always(IN_TIME),
        datasets=2,
    ),
    # Members leave and are back at once, at the event queue, and the sender's clock is fast.
    "fast-clock": lambda: Scenario("fast-clock", _return_by_a_fast_clock(), _always(IN_TIME), event_queue=1.0),
    # The same clock dates an enter that SQS delivers again after the exit.
    "fast-clock-copy": lambda: Scenario(
        "fast-clock-copy",
        (Sent(0.0, "enter", "a@example.com", ahead=4 * MINUTE), Sent(MINUTE, "exit", ahead=4 * MINUTE)),
        _always(IN_TIME),
        copies=(Copies("EventsQueue", 0.0, (190.0,)),),
        event_queue=1.0,
    ),
    # A person who was unknown at the time of a notice enters.
    "enter-after-notice": lambda: Scenario(
        "enter-after-notice",
        (Sent(0.0, "notice"), *_in_two(HOUR, "enter", "a@example.com")),
        _always(IN_TIME),
        datasets=2,
    ),
}


def run_script(name: str, seed: int) -> ScriptedSimulation:
    """Run a scenario to its end. Loops are allowed: the scenarios are about delivery, not about Lambda."""
    simulation = ScriptedSimulation(SCENARIOS[name](), seed=seed, recursive_loop="Allow")
    simulation.run()
    return simulation
