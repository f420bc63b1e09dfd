"""`member erase --file` and `member erasure --file`: everybody on a list, asked about once and reported as one."""

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Identity
from audience_sync_cli.frame.errors import NotThere, ReportedAsNotThere, WrongUsage
from audience_sync_cli.members import erasing
from audience_sync_cli.members.erasing import erase
from audience_sync_cli.members.proof import erasure
from audience_sync_cli.stack.deletion_notices import queue_deletion_notices
from audience_sync_cli.stack.digest import digest
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE
from tests.support.builders import notice

AT = round(NOW) - 3_600  # epoch seconds, at which deletion notices were recorded


People = Callable[..., str]


@pytest.fixture(autouse=True)
def people(deployment: Deployment, tmp_path: Path) -> People:
    """Return a function that writes a list of ids, and returns its path."""
    deployment.list_audience()
    path = tmp_path / "ids.txt"

    def write(*lines: str) -> str:
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    return write


def type_list(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def recorded(deployment: Deployment, member: str, **fields: Any) -> None:
    """Record a deletion notice about a member, whose row in the audience reflects it."""
    first = ErasureStep(StepKind.NOTICE, f"notice-{member}", AT * 1000 - 500, AT * 1000)
    left = change(member, at=first.at, exits=True, message_id=first.id)
    row = MemberState(left, last_exit=left.version, erase_until=first.at, removal_sent=AT + 2)
    plan = ErasurePlan((AUDIENCE.audience_id,), (), AT)
    everywhere = replace(row, newest=notice(member, first.at), erasure=(first,), plan=plan)
    removed = ErasureStep(StepKind.REMOVAL, "job-1", (AT + 2) * 1000, (AT + 900) * 1000)
    deployment.session().members.write([everywhere, replace(row, erasure=(removed,), **fields)])


def sent(deployment: Deployment) -> list[str]:
    return [each["record"]["externalUserId"] for each in deployment.changes()]


def test_erasing_a_list_asks_once_skips_unknown_ids_and_logs_a_count(deployment: Deployment, people: People) -> None:
    deployment.record(change("m1"), change("m2"))
    deployment.park(change("m3"))
    deployment.answers = ["y"]
    listed = people("\ufeffm1", "", " m2 ", "m1", "nobody", "m3")
    printed = deployment.printed(erase, file=listed, as_json=True, raises=ReportedAsNotThere)
    assert deployment.questions == ["Erase 3 people from every audience? [y/N] "]
    assert sent(deployment) == ["m1", "m2", "m3"]
    assert list(printed.json.values())[:-1] == [4, 1, 1, 3, 0, ["nobody"], [], [], 1]
    assert printed.err == "Left out: 1 repeated id, 1 empty line.\n"
    assert "0 to erase" in deployment.printed(erase, ["nobody"], raises=ReportedAsNotThere).out, "and nothing to ask"
    (line,) = deployment.operator_log()
    assert line.pop("who")
    assert line == {"command": "member erase", "outcome": "done", "changes": 3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_a_list_from_excel_is_read_and_its_heading_is_not_an_id(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    deployment.record(change("m1"), change("id-1"))
    for lines, noted in ("User ID\r\nm1\r\n", True), ("id-1\r\n", False):
        type_list(monkeypatch, lines.encode(encoding))
        printed = deployment.printed(erase, file="-", yes=True)
        assert printed.err == ("Left out: User ID in line 1, since it names the column.\n" if noted else "")
    assert sent(deployment) == ["m1", "id-1"]


def test_a_repeated_list_sends_who_needs_another_notice(deployment: Deployment, people: People) -> None:
    recorded(deployment, "done")
    recorded(deployment, "refused", identities=(Identity(AT * 1000 - 600, {"email": "0" * 64}),), removal_owed=True)
    recorded(deployment, "back", newest=change("back", at=AT * 1000 + 500))
    found = deployment.json(erase, file=people("done", "refused", "back"), yes=True, now=NOW)
    assert (found["sent"], found["alreadyRecorded"], sent(deployment)) == (2, 1, ["refused", "back"])


def test_an_interrupted_list_says_how_many_are_queued_and_how_to_go_on(
    deployment: Deployment, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.record(change("m1"), change("m2"))
    monkeypatch.setattr(erasing, "AT_ONCE", 1)
    queue = queue_deletion_notices

    def interrupted(session: Any, members: list[str]) -> Any:
        if members == ["m2"]:
            raise KeyboardInterrupt
        return queue(session, members)

    monkeypatch.setattr(erasing, "queue_deletion_notices", interrupted)
    printed = deployment.printed(erase, file=people("m1", "m2"), yes=True, raises=KeyboardInterrupt)
    assert "1 of 2 are queued. To erase the others, run it again." in printed.err


@pytest.mark.parametrize("command", [erase, erasure])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"m1\nmaya@example.com\nm2,x\n", "Not an external user id, in 2 lines: 2, 3."),
        (b"\n\n", "The list is empty."),
        (b"m\xff1\n", "The list is not UTF-8."),
        pytest.param(b"\n" * 10_000_001, "The list is over 10,000,000 bytes.", id="too large for memory"),
    ],
)
def test_a_faulty_list_is_refused_whole_and_no_value_is_repeated(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, command: Any, content: bytes, message: str
) -> None:
    type_list(monkeypatch, content)
    assert str(deployment.refusal(WrongUsage, command, file="-", yes=True)) == message
    one: Any = ["m1"] if command is erase else "m1"
    for given, kind in ((one, "-"), WrongUsage), ((None, "missing"), NotThere):
        deployment.refusal(kind, command, *given, yes=True)
    neither: Any = {"page": Path("x.html")} if command is erasure else {}
    assert "Pass an external user id or --file" in str(deployment.refusal(WrongUsage, command, **neither))


def test_the_report_of_a_list_has_every_person_the_totals_and_its_own_digest(
    deployment: Deployment, people: People, tmp_path: Path
) -> None:
    recorded(deployment, "m1")
    recorded(deployment, "m2", newest=change("m2", at=AT * 1000 + 500))
    page, listed = tmp_path / "list.html", people("m1", "m2", "nobody", "m1")
    found = deployment.printed(erasure, file=listed, page=page, as_json=True, now=NOW, raises=ReportedAsNotThere).json
    assert (found["totals"], found["notRecorded"]) == ({"closed": 2, "not_recorded": 1}, ["nobody"])
    one = deployment.json(erasure, "m1", now=NOW)
    assert (found["people"][0], digest(found)) == (one, found["digest"])
    assert found["conclusion"].startswith("The erasure of 2 of 3 people is closed.")
    shown = deployment.printed(erasure, file=listed, now=NOW, raises=ReportedAsNotThere).out
    assert re.search(rf"m1 +closed +2027-01-15 +- +2027-03-31 +{one['digest'][:12]}\b", shown)
    assert re.search("m2 +closed, entered again +2027-01-15 +-", shown)
    assert re.search("nobody +not on record +-", shown)
    for text in (found["digest"], one["digest"], "2 closed, 1 not on record", "2027-03-31"):
        assert text in page.read_text(encoding="utf-8")
