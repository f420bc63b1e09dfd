"""Follows accepted changes until none is waiting, that is until accepted = delivered + superseded + parked.

For `--wait` of commands whose changes are too many to follow one by one; `send --wait` follows each.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from audience_sync.clock import Clock
from audience_sync.errors import TransientError
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from audience_sync_cli.frame.errors import AlreadyReported, ReportedAsUnfinished
from audience_sync_cli.frame.screen import Screen, counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY, MINUTE

if TYPE_CHECKING:
    from audience_sync_cli.stack.blockers import Blocker  # loads boto3, which completion must not

TIMEOUT = 1_200  # seconds; Amazon's jobs usually end within 15 minutes
PAUSE = 15.0  # seconds between two readings
LATE = 150.0  # seconds by which CloudWatch's counts may be late
LOOK_FOR_BLOCKERS = 10.0  # seconds between two checks for blockers
LONGEST_IN_QUEUE = 7 * DAY  # seconds
KEEPS_MINUTES = 14 * DAY  # seconds; CloudWatch has the minutes of 15 days
GOES_ON = "It will continue on its own. `audience-sync status` shows waiting changes, and with --wait waits for them."

type Ending = Literal["done", "superseded", "parked", "rejected", "blocked", "timeout"]


class End(NamedTuple):
    """How following ends."""

    ending: Ending
    text: str
    remedy: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is left to be done."""
        return self.ending in ("done", "superseded")

    def as_json(self) -> dict[str, Any]:
        """The end for scripts."""
        return {"ending": self.ending, "text": self.text, "remedy": self.remedy}


class Reading(NamedTuple):
    """The followed changes at one moment."""

    left: int  # not completed; following ends at 0
    parked: int  # since following began
    text: str  # of both, without a period
    refused: int = 0  # records on which Amazon's jobs had no effect; they are sent again


def settle(
    screen: Screen,
    read: Callable[[], Reading],
    clock: Clock,
    timeout: float,
    *,
    pause: float = PAUSE,
    steady: float = 0.0,
    blockers: Callable[[], Iterable["Blocker"]] = tuple,
) -> End:
    """Read until nothing is left, a person is needed, or for `timeout` seconds. Prints progress and the end.

    Reads every `pause` seconds. If counts may be late, nothing may be left for `steady` seconds. `blockers` returns why
    changes wait. Temporary errors are retried. Raises AudienceSyncError.
    """
    from audience_sync_cli.frame.explanation import passes  # noqa: PLC0415 - loads boto3

    begun = looked = empty_since = clock.monotonic()
    reading, told, needed = Reading(1, 0, "not known yet"), dict[str, "Blocker"](), None
    with screen.progress("waiting") as bar:
        while True:
            try:
                reading = read()
                if reading.left and clock.monotonic() - looked >= LOOK_FOR_BLOCKERS:
                    looked = clock.monotonic()
                    for blocker in blockers():
                        if told.get(blocker.reason) != blocker and not blocker.needs_person:
                            screen.say(blocker.text, style="yellow")
                        told[blocker.reason] = blocker
                        needed = blocker if blocker.needs_person else needed
            except TransientError as error:
                if not passes(error):
                    raise
            now = clock.monotonic()
            empty_since = now if reading.left else empty_since
            is_empty = not reading.left and now - empty_since >= steady
            if is_empty or needed or now - begun >= timeout:
                break
            bar.describe(reading.text)
            clock.sleep(pause)
    end = _end(reading, None if is_empty else needed, told, "" if is_empty else f"After {timeout:,.0f} seconds: ")
    screen.say(end.text, style="green" if end.is_good else "yellow")
    if end.remedy:
        screen.say(end.remedy)
    return end


def _end(reading: Reading, needed: "Blocker | None", told: Mapping[str, "Blocker"], timed_out: str) -> End:
    text = f"{timed_out}{reading.text}."
    if needed:
        return End("blocked", needed.sentence, needed.remedy)
    if reading.parked:
        text += f" {counted(reading.parked, 'more dead letter')}."
        return End("parked", text, "`audience-sync parked list` shows why changes are parked.")
    if reading.refused:
        return End("rejected", text, "They are sent again, from five minutes later on. A second rejection parks them.")
    if timed_out:
        return End("timeout", text, " ".join(each.text for each in told.values()) or GOES_ON)
    return End("done", text)


def raise_unless_settled(end: End) -> None:
    """Raise ReportedAsUnfinished if changes still wait, AlreadyReported if some are parked or a person is needed."""
    if not end.is_good:
        raise ReportedAsUnfinished if end.ending == "timeout" else AlreadyReported


def follow_stack(session: Session, timeout: float, read: Callable[[], Reading] | None = None) -> End:
    """Follow the changes of a stack, or what `read` returns."""
    from audience_sync_cli.stack.blockers import waiting  # noqa: PLC0415 - loads boto3

    clock, why = Clock(session.now, sleep=session.sleep), lambda: waiting(session).blockers
    pause, steady = session.stack.pause(PAUSE), session.stack.pause(LATE)
    read = read or readings(session)
    return settle(session.screen, read, clock, timeout, pause=pause, steady=steady, blockers=why)


def readings(session: Session, since: float | None = None) -> Callable[[], Reading]:
    """Return a function that reads the changes of a stack, or those accepted from `since` until its first reading."""
    from audience_sync_cli.stack.counts import depth, waiting_text  # noqa: PLC0415 - loads boto3
    from audience_sync_cli.stack.stack_metrics import StackMetrics  # noqa: PLC0415 - as above

    stack, until = session.stack, 0.0
    before = depth(stack, "DeadLetterQueue").total

    def parked() -> int:
        """Return the dead letters since the beginning: read last, since a change leaves one queue for the other."""
        return max(0, depth(stack, "DeadLetterQueue").total - before)

    def read() -> Reading:
        nonlocal until
        until = until or session.now()
        if since is not None:
            left = outstanding(session, until, since // MINUTE * MINUTE)
            return Reading(
                left, parked(), f"{counted(left, 'change')} waiting" if left else "Every change is completed"
            )
        queue, now = depth(stack, "ChangeQueue"), session.now()
        counts = StackMetrics(stack).counts(stack.created, now)
        return Reading(max(counts.on_their_way, queue.total), parked(), waiting_text(counts, queue))

    return read


def outstanding(session: Session, until: float, since: float | None = None) -> int:
    """Return the number of changes accepted by the minute of `until`, and not completed. Raises Unavailable.

    Since a week before, by default: no change waits longer. Both in epoch seconds. CloudWatch shows completed changes a
    minute or two late, and minutes for two weeks.
    """
    from audience_sync_cli.stack.stack_metrics import StackMetrics  # noqa: PLC0415 - loads boto3

    end = until // MINUTE * MINUTE + MINUTE
    begin = max(end - LONGEST_IN_QUEUE if since is None else since, session.now() - KEEPS_MINUTES)
    if begin >= end:
        return 0
    found = StackMetrics(session.stack).sums([CHANGES_ACCEPTED, CHANGES_COMPLETED], MINUTE, begin, end)
    accepted, completed = found.values()
    # A message delivered twice counts twice.
    return sum(max(0, round(count - completed.get(minute, 0))) for minute, count in accepted.items())
