"""Tables on narrow terminals: an id is never broken, because it could not be copied."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

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


SHRUNK = """
id                   name
────────────────────────────────────────
418273650912345678   a rather long name
                     of an audience
"""
LISTED = """
id   418273650912345678
key  lapsed_premium_buyers

id   1
key  vip
"""


@pytest.mark.parametrize(
    ("names", "rows", "width", "shown"),
    [
        (["id", "name"], [["418273650912345678", "a rather long name of an audience"]], 40, SHRUNK),
        (["id", "key"], [["418273650912345678", "lapsed_premium_buyers"], ["1", "vip"]], 30, LISTED),
    ],
    ids=["text shrinks before ids", "each row becomes a list on a narrow terminal"],
)
def test_a_table_is_laid_out_so_that_no_id_is_broken(
    names: list[str], rows: list[list[str]], width: int, shown: str
) -> None:
    assert [line.rstrip() for line in drawn(names, rows, width).splitlines()] == shown.strip().splitlines()
    text = drawn(["parked", "detail"], [["2026-03-04 09:15:22Z", "one two three four five six"]], 36)
    assert "2026-03-04 09:15:22Z" in text, "nor a time"


CONNECTION, MEMBER, ID = "connection-1", "cust_0123456789abcdef", AUDIENCE.audience_id


@pytest.mark.parametrize(
    ("show", "ids"),
    [
        pytest.param(audiences.list_, {ID, CONNECTION, AUDIENCE.computation_key}, id="audiences list"),
        pytest.param(partial(parked.list_, only=Filter()), {ID, MEMBER, "member_id_invalid"}, id="parked list"),
        pytest.param(status.count_members, {ID}, id="status --members"),
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
    for name in ("PLAIN_WIDTH", "ROW_WIDTH"):
        monkeypatch.setattr(f"audience_sync_cli.frame.screen.{name}", width)
    named = replace(AUDIENCE, name="Lapsed buyers of the last twelve months")
    deployment.list_audience(replace(named, destination=amc_connection(CONNECTION)))
    deployment.record(change(MEMBER))
    deployment.park(change(MEMBER), reason="member_id_invalid")
    show(Session(Screen(), lambda: deployment.stack))
    text = capsys.readouterr().out
    assert ids <= set(text.split())
    assert max(map(len, text.splitlines())) <= width


def test_in_a_pipe_a_row_is_one_line(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program reads it: `audiences list | grep`."""
    for number in range(3):
        deployment.list_audience(
            replace(AUDIENCE, audience_id=f"{ID[:-1]}{number}", name="Lapsed buyers of twelve months " * 9)
        )
    audiences.list_(Session(Screen(), lambda: deployment.stack))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines[2:5]] == [f"{ID[:-1]}{number}" for number in range(3)]
