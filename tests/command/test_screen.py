"""What a terminal shows while a command waits."""

import sys

from tests.e2e.terminal import plain, recorded

WAITS = """
from audience_sync_cli.screen import Screen
screen = Screen()
with screen.progress("waiting"):
    screen.say("a result")
    screen.note("a note")
screen.say("the end")
"""


def test_results_and_notes_stand_above_the_progress_not_behind_it() -> None:
    with recorded([sys.executable, "-c", WAITS], "the end") as moments:
        assert [plain(line) for line in moments[-1].lines if line] == ["a result", "a note", "the end"]
