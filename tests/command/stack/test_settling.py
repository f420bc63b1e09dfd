"""Following changes until none is waiting: when it ends, what it prints, and the exit code of each end."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain, repeat
from typing import Any

import pytest

from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync_cli.frame.errors import AlreadyReported
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.settling import End, Reading, raise_unless_settled, settle
from tests.support.doubles.clocks import ManualClock

BUSY = Blocker("throttled", "Amazon asks the stack to slow down (429).")
REFUSED = Blocker("not_connected", "Amazon is not connected.", "Run `audience-sync connect`.", needs_person=True)
DONE = Reading(0, 0, "Every accepted change is completed")
TWO_WAITING = Reading(2, 0, "2 changes waiting")
SOME_PARKED, SILENT = DONE._replace(parked=2), Unavailable("no answer")
TIMED_OUT = "After 300 seconds: 2 changes waiting."


def settled(
    readings: Sequence[Reading | Exception], *, steady: float = 0.0, blockers: Sequence[Blocker] = ()
) -> tuple[End, float]:
    """Return the end of some readings, the last one repeated, and the seconds that it took; a reading every 15."""
    clock, left = ManualClock(), chain(readings, repeat(readings[-1]))

    def read() -> Reading:
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found

    end = settle(Screen(), read, Clock(clock, clock, clock.sleep), 300, steady=steady, blockers=lambda: blockers)
    return end, clock.now


@pytest.mark.parametrize(
    ("readings", "options", "ending", "text", "after", "code"),
    [
        pytest.param([TWO_WAITING, TWO_WAITING, DONE], {}, "done", f"{DONE.text}.", 30, 0, id="nothing is left"),
        pytest.param([DONE, TWO_WAITING, DONE], {"steady": 60}, "done", f"{DONE.text}.", 75, 0, id="counts are late"),
        pytest.param([TWO_WAITING, SILENT, DONE], {}, "done", f"{DONE.text}.", 30, 0, id="an error passes"),
        pytest.param([SOME_PARKED], {}, "parked", f"{DONE.text}. 2 more dead letters.", 0, 1, id="some are parked"),
        pytest.param([Reading(0, 0, "2 rejected", refused=2)], {}, "rejected", "2 rejected.", 0, 1, id="a job rejects"),
        pytest.param([TWO_WAITING], {"blockers": [BUSY]}, "timeout", TIMED_OUT, 300, 5, id="timeout"),
        pytest.param([TWO_WAITING], {"blockers": [BUSY, REFUSED]}, "blocked", REFUSED.sentence, 15, 1, id="a person"),
    ],
)
def test_each_outcome_of_waiting_has_its_text_and_exit_code(
    readings: Sequence[Reading | Exception], options: dict[str, Any], ending: str, text: str, after: float, code: int
) -> None:
    end, took = settled(readings, **options)
    assert (end.ending, end.text, took) == (ending, text, after)
    with pytest.raises(AlreadyReported) if code else nullcontext() as raised:
        raise_unless_settled(end)
    assert (raised.value.exit_code if raised else 0) == code


def test_why_changes_wait_is_printed_once_and_is_the_remedy_at_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    end, _ = settled([TWO_WAITING], blockers=[BUSY])
    assert capsys.readouterr().out.splitlines().count(BUSY.text) == 1 + 1
    assert end.remedy == BUSY.text
