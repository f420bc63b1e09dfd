"""The demo's bars show every step that the stack makes, and end when nothing is left to do."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from local.demo_progress import NotFinished, wait_until_quiescent
from tests.support.doubles.clocks import ManualClock


def state(settled: int, *, accepted: int = 100, quiescent: bool = False) -> dict[str, Any]:
    return {
        "accepted": accepted,
        "delivered": settled,
        "superseded": 0,
        "parked": 0,
        "uploads": 4,
        "quiescent": quiescent,
    }


def watch(states: Iterator[dict[str, Any]], rows: Iterator[int]) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    clock = ManualClock()
    sleep = lambda seconds: clock.sleep(1000 * seconds)  # noqa: E731
    final = wait_until_quiescent(
        lambda: next(states), lambda: next(rows), members=80, console=console, clock=clock, sleep=sleep
    )
    return final, console.file.getvalue()  # type: ignore[attr-defined]


def test_each_step_is_shown_from_the_first_row_to_the_last_outcome() -> None:
    states = [state(0), state(40), state(100, quiescent=True)]
    final, shown = watch(iter(states), iter([25, 50, 80]))
    assert final == states[-1]
    assert list(dict.fromkeys(re.findall(r"(\d+)/80\b", shown))) == ["0", "25", "50", "80"]
    assert list(dict.fromkeys(re.findall(r"(\d+)/100\b", shown))) == ["0", "40", "100"]
    assert re.search(r"Jobs at Amazon.*m4/4 ", shown), "each upload has a job"


def test_rows_of_an_earlier_run_do_not_overfill_the_bar() -> None:
    _, shown = watch(iter([state(0), state(100, quiescent=True)]), iter([500, 500]))
    assert set(re.findall(r"(\d+)/80\b", shown)) <= {"0", "80"}


def test_the_demo_gives_up_after_its_timeout_and_shows_the_state() -> None:
    def stuck() -> Iterator[Any]:
        while True:
            yield state(40)

    with pytest.raises(NotFinished, match='"delivered": 40'):
        watch(stuck(), iter(lambda: 80, None))
