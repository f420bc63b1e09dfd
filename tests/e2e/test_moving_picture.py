"""The moving picture of the README shows what the commands print now."""

import re
from pathlib import Path

import pytest

from tests.e2e.moving_picture import MOVING, READ, STILL, WAIT, lines_of, main, paced, take
from tests.e2e.terminal import Cell, Moment, Screen, text_of
from tests.e2e.transcript import UPDATE, as_documented

_NUMBER = re.compile(r"\d[\d,.:]*|─+")  # the border of a table is as wide as its numbers


def without_numbers(lines: list[str]) -> list[str]:
    return [" ".join(_NUMBER.sub("#", as_documented(line)).split()) for line in lines]


@pytest.mark.transcript
def test_the_moving_picture_shows_what_the_commands_print() -> None:
    fewer = take("--enter", "30", "--exit", "10")  # other numbers, the same lines
    printed = without_numbers([line for scene in fewer for line in scene.text() if line])
    if UPDATE and printed != without_numbers(lines_of(MOVING.read_text(encoding="utf-8"))):
        main()
    for picture in (MOVING, STILL):
        shown = without_numbers(lines_of(picture.read_text(encoding="utf-8")))
        assert shown == printed, f"{picture.name} is out of date: run `make docs`"


@pytest.mark.parametrize("picture", [MOVING, STILL], ids=lambda path: path.name)
def test_the_pictures_are_small_and_load_nothing(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert not re.search(r"<script|@import|url\(|href=\"[^#]", text)


def test_waits_are_shortened_and_the_end_can_be_read() -> None:
    shows = [f"{spinner} waiting 0:00:0{second}" for second, spinner in enumerate("⠋⠙⠹⠸")] + ["", "done"]
    lasts = [2.0, 2.0, 2.0, 2.0, 0.1, 0.0]
    moments = [Moment(seconds, (tuple(map(Cell, line)),)) for seconds, line in zip(lasts, shows, strict=True)]
    *waits, end = paced(moments)
    assert [text_of(each.lines[0]) for each in waits] == shows[:4]
    assert sum(each.seconds for each in waits) == pytest.approx(WAIT)
    assert end.seconds >= READ


def test_a_screen_goes_back_to_a_line_and_erases_it_even_where_a_sequence_arrives_in_parts() -> None:
    screen = Screen()
    for part in ("one\r\n\x1b[3", "2mtwo\x1b[0m\r\x1b[1A\x1b", "[2KONE"):
        screen.write(part)
    assert [text_of(line) for line in screen.lines()] == ["ONE", "two"]
    assert {cell.style for cell in screen.lines()[1]} == {"32"}
