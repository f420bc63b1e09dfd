"""What a terminal shows while a command waits."""

import sys

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
