"""Following changes until none is waiting: when it ends, what it prints, and the exit code of each end."""

from collections.abc import Sequence
from itertools import chain, repeat

import pytest

from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync_cli.errors import AlreadyReported, ReportedAsUnfinished
from audience_sync_cli.screen import Screen
from audience_sync_cli.state.blockers import Blocker
from audience_sync_cli.state.settling import End, Reading, raise_unless_settled, settle
from tests.doubles.clocks import ManualClock

DONE = Reading(0, 0, "Every accepted change is completed")
TWO_WAITING = Reading(2, 0, "2 changes waiting")


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


def test_following_ends_when_nothing_is_left() -> None:
    end, seconds = settled([TWO_WAITING, TWO_WAITING, DONE])
    assert (end.ending, end.text, seconds) == ("done", "Every accepted change is completed.", 30)
    raise_unless_settled(end)


def test_late_counts_must_stay_at_nothing_for_a_while() -> None:
    end, seconds = settled([DONE, TWO_WAITING, DONE], steady=60)
    assert (end.ending, seconds) == ("done", 75)


def test_changes_parked_meanwhile_end_with_exit_code_1() -> None:
    end, _ = settled([TWO_WAITING, Reading(0, 2, "Every accepted change is completed")])
    assert (end.ending, end.text) == ("parked", "Every accepted change is completed. 2 dead letters more than before.")
    with pytest.raises(AlreadyReported) as raised:
        raise_unless_settled(end)
    assert raised.value.exit_code == 1


def test_the_timeout_ends_with_exit_code_5_and_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    busy = Blocker("throttled", "Amazon asks the stack to slow down (429).")
    end, seconds = settled([TWO_WAITING], blockers=[busy])
    assert (end.ending, end.text, seconds) == ("timeout", "After 300 seconds: 2 changes waiting.", 300)
    assert capsys.readouterr().out.count("waits: Amazon asks the stack to slow down (429).") == 1
    with pytest.raises(ReportedAsUnfinished) as raised:
        raise_unless_settled(end)
    assert raised.value.exit_code == 5


def test_what_needs_a_person_ends_it_at_once_with_exit_code_1() -> None:
    refused = Blocker("not_connected", "Amazon is not connected yet.", "Connect it.", needs_person=True)
    end, seconds = settled([TWO_WAITING], blockers=[refused])
    assert (end, seconds) == (End("blocked", refused.sentence, refused.remedy), 15)
    with pytest.raises(AlreadyReported):
        raise_unless_settled(end)


def test_a_temporary_error_is_retried() -> None:
    end, seconds = settled([TWO_WAITING, Unavailable("CloudWatch does not answer"), DONE])
    assert (end.ending, seconds) == ("done", 30)
