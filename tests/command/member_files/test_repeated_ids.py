"""Rows with one member id: they are counted in bounded memory, and the last one decides."""

import sqlite3
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import coalesce
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.repeated_ids import RepeatedIds
from audience_sync_cli.member_files.row_changes import MessageId, ids_of_file, ids_of_records, numbered_ids
from tests.command.conftest import NOW, Deployment
from tests.command.member_files.conftest import Write
from tests.support.aws_fixtures import AUDIENCE
from tests.support.builders import change

LINE = (
    "2 member ids occur in more than one row (5 rows, 3 different addresses): all their identifiers count, and the "
    "country and consent of the last. If these are different people, a spreadsheet may have cut their ids: format "
)


@pytest.fixture
def file(deployment: Deployment, write: Write) -> str:
    deployment.list_audience()
    rows = ["m1,a", "m2,a", "m1,b", "m3,a", "m2,b", "m1,c", "m3,"]
    return write("userId,email\n" + "".join(f"{each}{'' if each == 'm3,' else '@example.com'}\n" for each in rows))


@pytest.mark.parametrize(
    "message_id",
    [ids_of_file("0" * 64), ids_of_records, numbered_ids("compare-1")],
    ids=["a file", "standard input", "a repair"],
)
@pytest.mark.parametrize("rows", [(9, 10), (99_999, 100_000), (3, 4)])
@pytest.mark.parametrize("countries", [("US", "DE"), ("DE", "US")])
def test_the_last_row_of_a_member_wins_in_any_order_of_arrival(
    message_id: MessageId, rows: tuple[int, int], countries: tuple[str, str]
) -> None:
    entered = (change("m", country, country=country) for country in countries)
    first, last = (replace(each, message_id=message_id(row, each)) for row, each in zip(rows, entered, strict=True))
    for changes in ((first, last), (last, first)):
        (merged,) = coalesce(changes)
        assert (merged.country, len(merged.identities)) == (countries[1], 2)
        state = None
        for each in changes:
            state = apply_changes(state, [each], now=1, timing=Timing(0)).state
        assert state
        assert (state.newest.country, len(state.active)) == (countries[1], 2)


def test_repeated_ids_are_counted_in_bounded_memory() -> None:
    peaks = []
    for rows in (5_000, 50_000):
        tracemalloc.start()
        with RepeatedIds() as ids:
            for number in range(rows):
                ids.add(f"cust_{number % (rows - 485)}", [{"phone": "1"}, {"email": f"{number % 9}"}])
            ids.add("cust_0", [{}])
            assert ids.count() == (485, 971, 9)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def test_without_disk_space_the_repeated_ids_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def full(name: str) -> sqlite3.Connection:
        database = connect(name)
        database.execute("PRAGMA max_page_count = 8")
        return database

    monkeypatch.setattr(sqlite3, "connect", full)
    with RepeatedIds() as ids:
        for number in range(20_000):
            ids.add(f"cust_{number}", [])
        ids.add("cust_0", [])
        assert ids.count() is None


@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param(import_members, [ImportOptions(dry_run=True)], id="a dry run of an import"),
        pytest.param(import_members, [], id="an import"),
        pytest.param(compare, [], id="a comparison"),
    ],
)
def test_repeated_member_ids_are_counted(deployment: Deployment, file: str, command: Any, options: list[Any]) -> None:
    about = (file, AUDIENCE.audience_id, *options)
    assert LINE in " ".join(deployment.printed(command, *about, yes=True, now=NOW).out.split())
    report = deployment.json(command, *about, yes=True, now=NOW)
    assert (report["repeatedMemberIds"], report.get("membersInFile", 3)) == (2, 3)
