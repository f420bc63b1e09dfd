"""What a terminal shows while a command waits."""

import sys

import pytest

from audience_sync_cli.frame.screen import iso_time, moment
from tests.command.frame.terminal import screen_of

WAITS = """
from audience_sync_cli.frame.screen import Screen
screen = Screen()
with screen.progress("waiting"):
    screen.say("a result")
    screen.note("a note")
screen.say("the end")
"""


def test_results_and_notes_stand_above_the_progress_not_behind_it() -> None:
    shown = screen_of([sys.executable, "-c", WAITS], "the end")
    assert [line for line in shown if line] == ["a result", "a note", "the end"]


@pytest.mark.parametrize(("at", "shown"), [(10**16, "9999-12-31"), (-(10**16), "0001-01-01"), (0, "1970-01-01")])
def test_a_time_that_no_calendar_has_is_printed_as_the_nearest_one(at: int, shown: str) -> None:
    assert str(iso_time(at))[:10] == shown
    assert shown.lstrip("0") in moment(at)
