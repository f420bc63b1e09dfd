"""Tables on narrow terminals: an id is never broken, because it could not be copied."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync_cli.audiences import list_and_show as audiences
from audience_sync_cli.checks import status
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.tables import laid_out
from audience_sync_cli.members import member
from audience_sync_cli.parked import parked_commands as parked
from audience_sync_cli.parked.parked_commands import Filter
from tests.command.conftest import Deployment, change
from tests.support.aws_fixtures import AUDIENCE

WORD = st.text(alphabet="abc_0123456789", min_size=1, max_size=20)
CELL = st.lists(WORD, max_size=5).map(" ".join)


def drawn(names: list[str], rows: list[list[str]], width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        for part in laid_out(names, [[Text(cell) for cell in row] for row in rows], width):
            console.print(part)
    return captured.get()


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(st.lists(CELL, min_size=columns, max_size=columns), min_size=1, max_size=4)
    ),
    st.integers(min_value=40, max_value=120),
)
def test_words_are_not_broken_and_lines_fit(rows: list[list[str]], width: int) -> None:
    text = drawn([f"column{index}" for index in range(len(rows[0]))], rows, width)
    words = text.split()
    for cell in (cell for row in rows for cell in row):
        assert set(cell.split()) <= set(words)
    assert max(map(len, text.splitlines())) <= width


def test_a_column_of_text_shrinks_before_a_column_of_ids() -> None:
    text = drawn(["id", "name"], [["418273650912345678", "a rather long name of an audience"]], 40)
    assert [line.rstrip() for line in text.splitlines()] == [
        "id                   name",
        "────────────────────────────────────────",
        "418273650912345678   a rather long name",
        "                     of an audience",
    ]


def test_on_a_narrow_terminal_each_row_becomes_a_list() -> None:
    text = drawn(["id", "key"], [["418273650912345678", "lapsed_premium_buyers"], ["1", "vip"]], 30)
    assert [line.rstrip() for line in text.splitlines()] == [
        "id   418273650912345678",
        "key  lapsed_premium_buyers",
        "",
        "id   1",
        "key  vip",
    ]


def test_a_time_stays_on_one_line() -> None:
    text = drawn(["parked", "detail"], [["2026-03-04 09:15:22Z", "one two three four five six"]], 36)
    assert "2026-03-04 09:15:22Z" in text


CONNECTION, MEMBER = "connection-1", "cust_0123456789abcdef"


@pytest.mark.parametrize(
    ("show", "ids"),
    [
        pytest.param(
            audiences.list_, {AUDIENCE.audience_id, CONNECTION, AUDIENCE.computation_key}, id="audiences list"
        ),
        pytest.param(
            lambda session: parked.list_(session, Filter()),
            {AUDIENCE.audience_id, MEMBER, "member_id_invalid"},
            id="parked list",
        ),
        pytest.param(status.count_members, {AUDIENCE.audience_id}, id="status --members"),
        pytest.param(lambda session: member.show(session, MEMBER), {MEMBER, "0" * 64}, id="member show"),
    ],
)
@pytest.mark.parametrize("width", [80, 100, 140])
def test_ids_are_whole_on_terminals_of_any_width(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    show: Callable[[Session], object],
    ids: set[str],
    width: int,
) -> None:
    monkeypatch.setattr("audience_sync_cli.frame.screen.PLAIN_WIDTH", width)
    deployment.list_audience(
        replace(AUDIENCE, destination=amc_connection(CONNECTION), name="Lapsed buyers of the last twelve months")
    )
    deployment.record(change(MEMBER))
    deployment.park(change(MEMBER), reason="member_id_invalid")
    show(Session(Screen(), lambda: deployment.stack))
    text = capsys.readouterr().out
    assert ids <= set(text.split())
    assert max(map(len, text.splitlines())) <= width
