"""`audience-sync compare`: the members of a file against the rows of an audience, and what repairs them."""

import csv
import json
import sys
from dataclasses import replace
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import ChangeMessage
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.comparison import Difference
from audience_sync_cli.member_files.lists import listed_differences
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.options import FileOptions
from audience_sync_cli.member_files.repair import RepairOptions
from tests.command.conftest import NOW, Deployment
from tests.command.member_files.conftest import WRITTEN, Write
from tests.support.aws_fixtures import AUDIENCE
from tests.support.builders import change, sha256

BEFORE, AFTER = (WRITTEN - 60) * 1000, (WRITTEN + 60) * 1000  # epoch milliseconds
BOTH = RepairOptions(repair="missing,surplus")
KEY = AUDIENCE.computation_key
IDS = ("same", "missing", "left", "left-since", "different", "erased")


@pytest.fixture
def file(write: Write) -> str:
    return write("userId,email\n" + "".join(f"{each},{each}@example.com\n" for each in IDS) + "no-identifier,\n")


@pytest.fixture(autouse=True)
def _recorded(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.record(
        row("same"),
        row("left", exits=True),
        row("left-since", exits=True, at=AFTER),
        row("different", email="other@example.com"),
        row("surplus"),
        row("entered-since", at=AFTER),
        erasing_exit("erased", BEFORE, "notice"),
    )


def row(member: str, *, email: str = "", exits: bool = False, at: int = BEFORE) -> MembershipChange:
    email = sha256(email or f"{member}@example.com")
    return change(member, email, at=at, exits=exits, message_id=f"id-{member}", country="US")


def run(deployment: Deployment, file: str, *, out: Path | None = None, **options: Any) -> Any:
    repair = RepairOptions(**options)
    return deployment.json(compare, file, KEY, options=repair, out=out, yes=True, now=NOW)


def sent(deployment: Deployment) -> dict[str, tuple[str, int]]:
    """Action and time of the changes in the queue, by member."""
    return {each["record"]["externalUserId"]: (each["record"]["action"], each["at"]) for each in deployment.changes()}


def test_every_member_is_counted_once_and_waiting_messages_are_mentioned(deployment: Deployment, file: str) -> None:
    report = run(deployment, file)
    assert (report["membersInFile"], report["rowsLeftOut"], report["sent"]) == (6, 1, None)
    once = ("same", "missing", "left", "different", "surplus", "leftSince", "enteredSince", "erased")
    never = ("changedSince", "rowLeftOut", "consentDenied")
    assert report["differences"] == dict.fromkeys(once, 1) | dict.fromkeys(never, 0)
    assert report["sample"]["surplus"] == ["surplus"]
    assert sent(deployment) == {}
    deployment.send("ChangeQueue", "{}")
    noted = deployment.printed(compare, file, KEY, now=NOW).err
    assert "1 message in the change queue: their changes are not in this comparison." in noted


@pytest.mark.parametrize("repair", ["missing", "missing,surplus", "surplus"])
def test_a_repair_sends_only_the_requested_changes_with_the_time_of_the_file(
    deployment: Deployment, file: str, repair: str
) -> None:
    report = run(deployment, file, repair=repair)
    removed = {"surplus": ("DELETE", WRITTEN * 1000)} if "surplus" in repair else {}
    names = ("missing", "left", "different") if "missing" in repair else ()
    added = dict.fromkeys(names, ("CREATE", WRITTEN * 1000))
    assert sent(deployment) == added | removed
    assert report["sent"] == len(added | removed)


def test_a_repair_leaves_no_difference_that_it_can_repair(deployment: Deployment, file: str) -> None:
    run(deployment, file, repair="missing,surplus")
    for body in deployment.bodies("ChangeQueue"):
        deployment.record(*ChangeMessage.from_body(json.dumps(body)).changes)
    found = {name: count for name, count in run(deployment, file)["differences"].items() if count}
    assert found == {"same": 4, "leftSince": 1, "enteredSince": 1, "erased": 1}


def test_a_repair_removes_dataset_members_with_the_consent_of_their_rows(deployment: Deployment, file: str) -> None:
    """Amazon ignores a removal without it, and an empty consent would be the exit's own statement."""
    dataset = Audience("adm-ds-1", "In a dataset", destination=ads_data_manager())
    deployment.list_audience(dataset)
    deployment.record(replace(row("surplus"), audience_id="adm-ds-1", destination=dataset.destination))
    deployment.json(compare, file, "adm-ds-1", options=BOTH, yes=True, now=NOW)
    (exit_,) = (each["record"] for each in deployment.changes() if each["record"]["action"] == "DELETE")
    assert "userConsent" not in exit_


@pytest.fixture
def with_left_out_rows(deployment: Deployment, write: Write) -> str:
    """Members of the audience whose rows cannot be sent, one who is surplus, and rows without a member id."""
    deployment.record(*(row(each) for each in ("no-identifier", "country", "no-consent", "denies")))
    deployment.record(row("denies-since", at=AFTER), row("different", exits=True, at=BEFORE + 1))
    return write(
        "userId,email,country,amzn_user_data\n"
        "same,same@example.com,US,\n"
        "no-identifier,,US,\n"
        "not-in-the-audience,,US,\n"
        "country,country@example.com,Atlantis,\n"
        "no-consent,no-consent@example.com,DE,\n"
        "denies,denies@example.com,US,denied\n"
        "denies,,US,\n"
        "denies-since,denies@example.com,US,denied\n"
        ",x@example.com,US,\n"
        "x@example.com,x@example.com,US,\n"
        "too,many,cells,in,this,row\n",
        "later.csv",
    )


@pytest.mark.parametrize(
    ("options", "removed"),
    [
        pytest.param({"repair": "missing"}, set(), id="missing"),
        pytest.param({"repair": "missing,surplus", "ignore_rows_without_id": True}, {"surplus"}, id="surplus"),
        pytest.param({"repair": "missing,denied"}, {"denies"}, id="denied"),
        pytest.param({"repair": "surplus,denied", "ignore_rows_without_id": True}, {"surplus", "denies"}, id="both"),
    ],
)
def test_a_member_whose_row_is_left_out_is_not_removed(
    deployment: Deployment, with_left_out_rows: str, options: dict[str, Any], removed: set[str]
) -> None:
    report = run(deployment, with_left_out_rows, **options)
    assert sent(deployment) == dict.fromkeys(removed, ("DELETE", WRITTEN * 1000))
    found = {"same": 1, "surplus": 1, "enteredSince": 2, "rowLeftOut": 3, "consentDenied": 1}
    assert {name: count for name, count in report["differences"].items() if count} == found
    members = dict.fromkeys(("no_identifier", "country_invalid", "consent_missing", "consent_denied"), 1)
    without_id = dict.fromkeys(("member_id_missing", "member_id_address", "row_unreadable"), 1)
    assert report["membersLeftOut"] == members
    assert report["leftOut"] == members | without_id | {"no_identifier": 3, "consent_denied": 2}
    assert (report["rowsLeftOut"], report["rowsWithoutMemberId"]) == (10, 3)


def test_surplus_is_refused_while_rows_lack_a_member_id_unless_ignored(
    deployment: Deployment, with_left_out_rows: str, tmp_path: Path
) -> None:
    out = tmp_path / "differences.csv"
    refused = deployment.refusal(WrongUsage, compare, with_left_out_rows, KEY, options=BOTH, out=out, now=NOW)
    assert "3 rows of the file have no valid member id" in str(refused)
    assert "--ignore-rows-without-id" in refused.remedy
    assert not out.exists(), "the command can be repeated with the same --out"


DENIED = ", 1 member with consent denied (--repair denied removes them)"


@pytest.mark.parametrize(
    ("kinds", "removed", "and_removed", "not_removed"),
    [("surplus", 1, "", DENIED), ("surplus,denied", 2, ", 1 with consent denied", "")],
)
def test_the_question_names_the_members_that_are_not_removed(
    deployment: Deployment, with_left_out_rows: str, kinds: str, removed: int, and_removed: str, not_removed: str
) -> None:
    repair = RepairOptions(f"missing,{kinds}", ignore_rows_without_id=True)
    assert deployment.declined(compare, with_left_out_rows, KEY, options=repair, now=NOW) == (
        f"Remove {removed} of the 8 members of Lapsed premium buyers: 1 not in later.csv{and_removed}, dated "
        "2027-01-15 07:00:00Z? Not removed: 3 members with unusable rows (1 consent_missing, 1 country_invalid, "
        f"1 no_identifier){not_removed}. "
        "3 rows of the file have no valid member id: any member could be in them. [y/N] "
    )
    assert sent(deployment) == {}


def test_members_whose_rows_are_left_out_are_shown_and_listed_by_reason(
    deployment: Deployment, with_left_out_rows: str, tmp_path: Path
) -> None:
    out = tmp_path / "differences.csv"
    shown = " ".join(deployment.printed(compare, with_left_out_rows, KEY, out=out, now=NOW).out.split())
    assert "row left out 3 in both; the row in the file cannot be sent" in shown
    assert "3 rows of the file have no valid member id: any member could be in them." in shown
    listed = {each["externalUserId"]: each for each in csv.DictReader(out.read_text().splitlines())}
    assert {name: (each["reason"], each["repaired by"]) for name, each in listed.items() if each["reason"]} == {
        "no-identifier": ("no_identifier", ""),
        "country": ("country_invalid", ""),
        "no-consent": ("consent_missing", ""),
        "denies": ("consent_denied", "compare --repair denied"),
    }


def test_the_question_has_the_numbers_of_file_and_audience(deployment: Deployment, file: str) -> None:
    assert deployment.declined(compare, file, KEY, options=BOTH, now=NOW) == (
        "Add 3 members of members.csv to Lapsed premium buyers, and remove 1 of its 4 members: 1 not in "
        "members.csv, dated 2027-01-15 07:00:00Z? [y/N] "
    )
    assert sent(deployment) == {}


def test_an_old_file_can_be_compared_but_adds_nobody(deployment: Deployment, file: str) -> None:
    old = FileOptions(at="34d")
    assert deployment.json(compare, file, KEY, old, now=NOW)["differences"]
    repair = RepairOptions(repair="missing")
    assert "more than 33 days ago" in str(deployment.refusal(WrongUsage, compare, file, KEY, old, repair, now=NOW))
    assert sent(deployment) == {}


def test_values_that_are_not_usable_are_counted_by_field_and_reason(deployment: Deployment, write: Write) -> None:
    path = write("userId,email,phone\nu1,a@b.co,206-555-010\nu2,c@d.co,\n")
    assert run(deployment, path)["unusable"] == {"phone": {"too_short": 1}}
    output = " ".join(deployment.printed(compare, path, KEY, now=NOW).out.split())
    assert "not usable 1 phone (1 too short)" in output
    assert "`audience-sync import --dry-run --rejects FILE` lists" in output


def test_a_repair_can_state_a_consent_for_the_whole_file(deployment: Deployment, write: Write) -> None:
    reading, repair = FileOptions(country="Germany", consent="GRANTED"), RepairOptions(repair="missing")
    repairing = (write("userId,email\nu1,a@b.co\n"), KEY, reading, repair)
    assert deployment.declined(compare, *repairing, now=NOW).endswith("the operator log records it. [y/N] ")
    deployment.printed(compare, *repairing, yes=True, now=NOW)
    (change,) = deployment.changes()
    assert change["record"]["userConsent"]["consent"] == {"amzn": {"amznUserData": "GRANTED"}}
    assert [each["consent"] for each in deployment.operator_log()] == ["GRANTED"]


def test_a_repair_that_adds_members_needs_an_answer_about_a_column_that_says_no(
    deployment: Deployment, write: Write
) -> None:
    path = write("userId,email,Werbung erlaubt\nmissing,missing@example.com,nein\nsame,same@example.com,ja\n")
    error = deployment.refusal(WrongUsage, compare, path, KEY, options=BOTH, yes=True, now=NOW)
    assert "Werbung erlaubt says yes and no (1 nein, 1 ja)" in str(error)
    assert run(deployment, path, repair="surplus")["sent"] == 2
    assert run(deployment, path)["sent"] is None


def test_out_lists_every_difference(deployment: Deployment, file: str, tmp_path: Path) -> None:
    out = tmp_path / "differences.csv"
    run(deployment, file, out=out)
    listed = list(csv.DictReader(out.read_text().splitlines()))
    added = dict.fromkeys(("missing", "left", "different"), "compare --repair missing")
    nothing = dict.fromkeys(("left-since", "entered-since", "erased"), "")
    expected = added | nothing | {"surplus": "compare --repair surplus"}
    assert {each["externalUserId"]: each["repaired by"] for each in listed} == expected
    assert out.stat().st_mode & 0o077 == 0, "it names members"
    deployment.refusal(WrongUsage, compare, file, KEY, out=out, now=NOW)


def test_the_list_of_differences_escapes_formulas_and_can_be_read_back(tmp_path: Path) -> None:
    out = tmp_path / "differences.csv"
    with listed_differences(out) as add:
        add("-A1", Difference.MISSING, "")
        add("cust_1", Difference.MISSING, "")
    assert [row[0] for row in csv.reader(out.read_text().splitlines())] == ["externalUserId", "'-A1", "cust_1"]
    with MemberFile.named(str(out)).rows() as rows:
        assert [*rows.read(["externalUserId"])] == [("-A1",), ("cust_1",)]


def test_an_audience_equal_to_the_file_needs_no_repair(deployment: Deployment, write: Write) -> None:
    path = write("userId,email\n" + "".join(f"{each},{each}@example.com\n" for each in ("same", "surplus")))
    output = deployment.printed(compare, path, KEY, options=RepairOptions(repair="missing"), now=NOW).out
    assert "entered since" in output
    assert "There is nothing to repair." in output


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"repair": "missing,all"}, id="no such difference"),
        pytest.param({"repair": "missing", "ignore_rows_without_id": True}, id="no surplus to remove"),
        pytest.param({"repair": "missing", "name": "-"}, id="read twice"),
    ],
)
def test_contradictory_options_are_refused(
    deployment: Deployment, file: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BufferedReader(BytesIO(b"userId,email\n"))))
    with pytest.raises(WrongUsage):
        run(deployment, options.pop("name", file), **options)
