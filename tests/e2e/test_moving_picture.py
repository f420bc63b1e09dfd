"""The moving picture of the README shows what the commands print now."""

import re

import pytest

from tests.e2e.moving_picture import MOVING, READ, STILL, WAIT, ends, lines_of, main, paced, take
from tests.e2e.terminal import Moment
from tests.e2e.transcript import UPDATE, as_documented

_NUMBER = re.compile(r"\d[\d,.:]*|─+")  # the border of a table is as wide as its numbers


def without_numbers(lines: list[str]) -> list[str]:
    return [" ".join(_NUMBER.sub("#", as_documented(line)).split()) for line in lines]


@pytest.mark.transcript
def test_the_moving_picture_shows_what_the_commands_print() -> None:
    printed = without_numbers(ends(take("--enter", "30", "--exit", "10")))  # other numbers, the same lines
    if UPDATE and printed != without_numbers(lines_of(MOVING.read_text(encoding="utf-8"))):
        main()
    for picture in (MOVING, STILL):
        shown = without_numbers(lines_of(picture.read_text(encoding="utf-8")))
        assert shown == printed, f"{picture.name} is out of date: run `make docs`"


def test_the_pictures_are_small_and_load_nothing() -> None:
    texts = MOVING.read_text(encoding="utf-8") + STILL.read_text(encoding="utf-8")
    assert len(texts) < 200_000
    assert not re.search(r"<script|@import|url\(|href=\"[^#]", texts)


def test_waits_are_shortened_and_the_end_can_be_read() -> None:
    waiting = [f"{spinner} waiting 0:00:0{second}" for second, spinner in enumerate("⠋⠙⠹⠸")]
    *waits, end = paced([Moment(2.0, [line]) for line in (*waiting, "done")])
    assert [each.lines[0] for each in waits] == waiting
    assert sum(each.seconds for each in waits) == pytest.approx(WAIT)
    assert end == Moment(READ, ["done"])
