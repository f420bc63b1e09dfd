"""`audience-sync import`: rows of a file become changes by the rules of ingest, each sent and counted once."""

import csv
import hashlib
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader, BytesIO, TextIOWrapper
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.errors import Unavailable
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.ingest.record_rules import MAX_ENTER_AGE, erasing_exit
from audience_sync.members.messages import record_as_json
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.samples import sample
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.member_files.formats import DELIMITERS
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.import_state import ImportState, Progress
from audience_sync_cli.member_files.list_cells import read_back, written
from audience_sync_cli.member_files.lists import listed_rejects
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.options import FileOptions
from audience_sync_cli.member_files.row_changes import LeftOut
from audience_sync_cli.stack import change_sender, queue_room
from audience_sync_cli.stack.estimate import estimate
from local.template import ROOT
from tests.command.conftest import NOW, Deployment, Printed, change
from tests.command.member_files.conftest import WRITTEN, Write
from tests.support.aws_fixtures import AUDIENCE
from tests.support.doubles.audiences import Listed

ROWS = """userId,Email address,first_name,Phone,note
u1,Ada@Example.com,Ada,(206) 555-0100,x
u2,bob@example.com,Bob,,
u3,,,,
not an id,carol@example.com,Carol,,
u5,dan@example.com,Dan,,,too many
u6,eve@example.com,Eve,206 555 0199,
"""
KEPT = ["u1", "u2", "u6"]
KEY, ALL = "lapsed_premium_buyers", ImportOptions()

EVENTS = ROOT / "events"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps how far it has come."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "audience-sync" / "imports"


@dataclass
class Imports:
    """Imports of files into the audience, and what they lead to."""

    deployment: Deployment
    write: Write

    def run(self, content: str = ROWS, *, written: float = WRITTEN, **options: Any) -> Printed:
        """Import a file without a question, and return what is printed."""
        return self.of(self.write(content, at=written), **options)

    def of(self, file: str, *, raises: Any = None, as_json: bool = False, **options: Any) -> Printed:
        """Import a file by its path."""
        reading = {name: options.pop(name) for name in FileOptions.__dataclass_fields__ if name in options}
        chosen, session = (ImportOptions(**options), FileOptions(**reading)), {"raises": raises, "as_json": as_json}
        return self.deployment.printed(import_members, file, KEY, *chosen, **session, yes=True, now=NOW)

    def json(self, content: str = ROWS, **options: Any) -> Any:
        return self.run(content, as_json=True, **options).json

    def refused(self, content: str = ROWS, **options: Any) -> WrongUsage:
        """Import a file that must be refused, and return the error."""
        with pytest.raises(WrongUsage) as caught:
            self.run(content, **options)
        return caught.value

    def question(self, content: str = ROWS, options: ImportOptions = ALL, at: float = WRITTEN, **reading: Any) -> str:
        """Decline an import, and return its question."""
        file, how = self.write(content, at=at), FileOptions(**reading)
        return self.deployment.declined(import_members, file, KEY, options, how, now=NOW)

    @property
    def changes(self) -> list[dict[str, Any]]:
        return self.deployment.changes()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [change["record"] for change in self.changes]

    @property
    def members(self) -> list[str]:
        return [record["externalUserId"] for record in self.records]

    @property
    def accepted(self) -> float:
        """Changes that the metric counts."""
        metric = Metric("AudienceSync", "ChangesAccepted", {"service": "tests"}, "Sum", 60)
        store = MetricStore(self.deployment.stack.service("cloudwatch"))
        return sum(store.read({"accepted": metric}, NOW - 3_600, NOW + 3_600)["accepted"].values())


@pytest.fixture
def imports(deployment: Deployment, write: Write) -> Imports:
    deployment.list_audience()
    return Imports(deployment, write)


def test_each_usable_row_becomes_a_change_dated_as_the_file(imports: Imports) -> None:
    imports.run()
    assert imports.members == KEPT
    assert {change["at"] for change in imports.changes} == {WRITTEN * 1000}
    (body,) = imports.deployment.bodies("ChangeQueue")
    assert (body["audienceId"], body["connectionId"], body["firstAt"]) == (AUDIENCE.audience_id, None, NOW * 1000)
    assert "replay" not in body
    imports.run(written=NOW + 299)
    assert {change["at"] for change in imports.changes} == {WRITTEN * 1000, NOW * 1000}, "of a fast clock: now"


def test_the_progress_bar_counts_rows(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "6/6" in re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", imports.run().err)


def test_a_row_and_an_event_with_the_same_traits_give_the_same_record(imports: Imports) -> None:
    traits = {"email": " Ada@Example.com", "phone": "(206) 555-0100", "first_name": "Jürgen", "postal": "98109-4417"}
    header, values = ",".join(["userId", *traits]), ",".join(["u1", *traits.values()])
    imports.run(f"{header}\n{values}\n")
    event = sample("track", AUDIENCE, enters=True, at=WRITTEN, message_id="m", member="u1")
    context = {"context": {"personas": event["context"]["personas"]}}
    body = json.dumps(event | context | {"properties": {"audience_key": KEY, KEY: True} | traits}).encode()
    listed = Listed(imports.deployment.session().audiences.all()[0])
    ingested = changes_from(body, mappings=compiled(None), audiences=listed, now=round(NOW * 1000))
    assert ingested.rejections == []
    assert imports.records == [*map(record_as_json, ingested.changes)]


def test_the_report_adds_up(imports: Imports) -> None:
    report = imports.json()
    assert report["rows"] == report["changes"] + sum(report["leftOut"].values()) == 6
    assert report["leftOut"] == {"no_identifier": 1, "member_id_invalid": 1, "row_unreadable": 1}
    assert +Counter(report["identifiers"]) == {"email": 3, "phone": 2, "firstname": 3}
    assert (report["changes"], report["messages"], report["dryRun"], report["action"]) == (3, 1, False, "enter")
    named = {"external_user_id": "userId", "email": "Email address", "phone": "Phone", "first_name": "first_name"}
    assert report["columns"] == named


def test_repeating_an_import_gives_the_same_message_ids_unless_it_is_read_differently(imports: Imports) -> None:
    imports.run()
    imports.run()
    ids = [change["id"] for change in imports.changes]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3
    imports.run(column=["phone=note"])
    imports.run(ROWS + "u7,frank@example.com,Frank,,\n")
    assert len({change["id"] for change in imports.changes}) == 3 + 3 + 4


def test_a_dry_run_sends_counts_and_stores_nothing_and_shows_masked_values_only(imports: Imports, state: Path) -> None:
    report = imports.json(dry_run=True)
    assert (report["changes"], report["dryRun"]) == (3, True)
    assert "messages" not in report, "nothing was packed"
    assert report["estimatedSeconds"] >= 0
    output = imports.run(dry_run=True, country="uk").out
    assert "GB if a row names none" in output
    assert "email A***" in output
    assert "left out: no_identifier" in output
    assert re.findall(r"^\d +(\S+)", output, re.MULTILINE) == ["u1", "u2", "u3", "n***", "-"]
    clear = ("ada@", "Ada", "example", "555", "Bob", "not an id")
    assert [each for each in clear if each in output] == []
    assert "Delivery" not in imports.run("id,email\n,a@b.co\n", dry_run=True).out, "nothing to deliver"
    assert (imports.changes, imports.accepted, state.exists()) == ([], 0, False)


@pytest.mark.parametrize(
    ("content", "options", "country"),
    [
        pytest.param("userId,email\nu1,a@b.co\n", {}, "US", id="the audience's, where nothing else is given"),
        pytest.param("userId,email\nu1,a@b.co\n", {"country": "ca"}, "CA", id="the option's"),
        pytest.param("userId,email,country\nu1,a@b.co,MX\n", {"country": "CA"}, "MX", id="the row's"),
        pytest.param("userId,email,country\nu1,a@b.co,\n", {"country": "CA"}, "CA", id="the option's, row is empty"),
    ],
)
def test_the_country_comes_from_the_row_then_the_option_then_the_audience(
    imports: Imports, content: str, options: Mapping[str, Any], country: str
) -> None:
    imports.run(content, **options)
    assert [record["countryCode"] for record in imports.records] == [country]


def test_the_delivery_time_is_estimated_for_the_workers_of_the_stack(imports: Imports) -> None:
    content, seconds = many(7_000), []
    for workers in ("1", "10"):
        imports.deployment.stack.parameters = {"Region": "NA", "MaximumConcurrency": workers}
        seconds.append(imports.json(content, dry_run=True)["estimatedSeconds"])
    assert seconds == [estimate(7_000, 1)[0], estimate(7_000, 10)[0]]
    assert seconds[0] >= 5 * seconds[1] > 0


GERMAN = """userId,email,country,tcf,amzn_user_data
u1,a@b.co,Germany,,
u2,c@d.co,DEU,CPc7,
u3,e@f.co,DE,,DENIED
u4,g@h.co,DE,,perhaps
"""


def test_a_consent_for_the_file_holds_for_rows_without_one_and_is_stated_and_logged(imports: Imports) -> None:
    assert imports.json(GERMAN)["leftOut"] == {"consent_missing": 1, "consent_invalid": 1}
    assert "can only be GRANTED" in str(imports.refused(GERMAN, consent="DENIED"))
    question = imports.question(GERMAN, consent="GRANTED")
    assert "You state that members whose row has no consent signal have given consent" in question
    before = len(imports.changes)
    report = imports.json(GERMAN, consent="granted")
    assert (report["consent"], report["leftOut"], report["consentDenied"]) == ("GRANTED", {"consent_invalid": 1}, 1)
    consents = {each["externalUserId"]: each["userConsent"]["consent"] for each in imports.records[before:]}
    granted, denied = ({"amzn": {"amznUserData": answer}} for answer in ("GRANTED", "DENIED"))
    assert consents == {"u1": granted, "u2": {"tcf": "CPc7"}, "u3": denied}
    assert [each.get("consent") for each in imports.deployment.operator_log()] == [None, "GRANTED"]


UNUSABLE = """userId,email,phone,zip
u1,ada@example.com,206-555-010,98101
u2,bob@example.com,1.20656E+10,9810
u3,carol@example.com; c@example.com,(206) 555-0100,98101
u4,,555,
u5,eve@example.com, ,
"""


def test_unusable_values_are_counted_and_listed_by_reason_without_them(imports: Imports, tmp_path: Path) -> None:
    report = imports.json(UNUSABLE)
    assert (report["changes"], report["leftOut"]) == (4, {"no_identifier": 1})
    others = {"postal": {"digit_missing": 1}, "email": {"several_addresses": 1}}
    assert report["unusable"] == {"phone": {"too_short": 2, "scientific_notation": 1}} | others
    output = " ".join(imports.run(UNUSABLE, dry_run=True).out.split())
    assert "not usable 3 phone (2 too short, 1 in scientific notation), 1 " in output
    assert "an enter with 2 identifiers; phone too short" in output
    assert "--rejects FILE lists them" in output
    assert "--rejects FILE" not in imports.run(UNUSABLE, rejects=tmp_path / "rejects.csv").out
    listed = (tmp_path / "rejects.csv").read_text()
    rows = list(csv.DictReader(listed.splitlines()))
    assert [(row["row"], row["field"], row["reason"]) for row in rows] == [
        *(("1", "phone", "too_short"), ("2", "phone", "scientific_notation"), ("2", "postal", "digit_missing")),
        *(("3", "email", "several_addresses"), ("4", "", "no_identifier"), ("4", "phone", "too_short")),
    ]
    assert all(row["remedy"] for row in rows)
    assert ("example" in listed, "555" in listed) == (False, False)


def test_a_cell_or_a_list_with_several_values_gives_several_identities(imports: Imports) -> None:
    cells = "userId,email\nu1,a@example.com; b@example.com;B@example.com\nu2,c@example.com;none\n"
    assert imports.json(cells, separator=["email=;"])["unusable"] == {"email": {"not_an_address": 1}}
    listed = {"userId": "u3", "email": [f"{number}@example.com" for number in range(103)]}
    assert imports.json(json.dumps(listed))["unusable"] == {"email": {"over_limit": 3}}
    assert [len(record["hashedPII"]) for record in imports.records] == [2, 1, 100]
    for wrong in ("email=a", "email", "city=;"):
        imports.refused(cells, separator=[wrong])


DENYING = "userId,email,country,amznUserData\nu1,a@b.co,DE,GRANTED\nu2,,ZZ,DENIED\nu1,,,no\nnot an id,,,DENIED\n"


@pytest.mark.parametrize("exits", [False, True])
def test_a_row_that_denies_consent_removes_the_member_from_every_audience(imports: Imports, exits: bool) -> None:
    found = imports.json(f"{DENYING}undefined,,,DENIED\n", exits=exits)
    denied = {"consent": {"amzn": {"amznUserData": "DENIED"}}}
    left = [change for change in imports.changes if change["record"].get("userConsent") == denied]
    assert [(each["record"]["externalUserId"], each.get("erase")) for each in left] == [("u2", True), ("u1", True)]
    nobody = {} if exits else {"member_id_placeholder": 1}  # who was added under the id still leaves, without erasure
    left_out = {"member_id_invalid": 1} | nobody
    assert (found["changes"], found["consentDenied"], found["leftOut"]) == (1 + exits, 2, left_out)


def test_denied_consent_is_in_question_report_and_rejects(imports: Imports, tmp_path: Path) -> None:
    question = imports.question(DENYING)
    assert question.startswith("Add 1 of 4 rows of members.csv to ")
    assert "Consent is denied in 2 rows: these members leave every audience." in question
    listed = tmp_path / "rejects.csv"
    output = imports.run(DENYING, rejects=listed).out
    assert "consent column 2 denied → DENIED, 1 granted → GRANTED, 1 no → DENIED" in " ".join(output.split())
    assert "consent denied 2 exits from every audience, among" in " ".join(output.split())
    assert "3 changes sent to the change queue." in output
    reasons = [row["reason"] for row in csv.DictReader(listed.read_text().splitlines())]
    assert reasons == ["consent_denied", "consent_denied", "member_id_invalid"]


def test_members_can_be_removed_by_their_ids_alone(imports: Imports) -> None:
    imports.run('{"userId": 17}\n{"userId": "u2"}\n', exits=True)
    assert imports.members == ["17", "u2"]
    assert [(each["action"], each["hashedPII"]) for each in imports.records] == [("DELETE", [])] * 2


def test_ids_can_be_hashed_as_a_mapping_does(imports: Imports) -> None:
    imports.run("id,email\nada@example.com,ada@example.com\n", hash_ids=True)
    assert imports.members == [hashlib.sha256(b"ada@example.com").hexdigest()]


@pytest.mark.parametrize("hash_ids", [False, True])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *[(each, "member_id_scientific") for each in ('"4.93017E+11"', '" 4,93017e+11"', '"4E+11"')],
        *[(each, "member_id_placeholder") for each in ('"NULL"', '" nan "', '"N/A"', '"0"', "0", '"#N/A"', '"#nv"')],
        pytest.param('""', "member_id_missing", id="nothing"),
        pytest.param('"ada@example.com"', "member_id_address", id="an address"),
        pytest.param('"4e11"', None, id="hexadecimal digits"),
    ],
)
def test_an_id_like_null_or_nan_is_refused_before_ids_are_hashed(
    imports: Imports, value: str, reason: str | None, *, hash_ids: bool
) -> None:
    """Unrelated customers would be one member, whom no exit finds."""
    report = imports.run(f'{{"id": {value}, "email": "ada@example.com"}}\n', hash_ids=hash_ids, as_json=True)
    is_usable = reason is None or (hash_ids and reason == "member_id_address")
    assert report.json["leftOut"] == ({} if is_usable else {reason: 1})


WORDS = ["ja", "JA ", "Nein", None, "maya@example.com", True, 1, "sí", "WAHR", "vrai", False, 0, "FALSO", 1.0]


def test_the_words_of_a_consent_column_are_counted_and_outweigh_a_consent_for_the_file(imports: Imports) -> None:
    rows = [{"id": f"u{n}", "email": "a@b.co", "land": "DE", "Einwilligung": word} for n, word in enumerate(WORDS)]
    content = "\n".join(map(json.dumps, rows))
    shown = imports.run(content, consent="GRANTED", dry_run=True).out
    assert "consent column 2 1 → GRANTED, 2 ja → GRANTED, 1 0 → DENIED, 1 empty, " in " ".join(shown.split())
    found = imports.json(content, consent="GRANTED")
    assert (found["leftOut"], found["consentDenied"]) == ({"consent_invalid": 1}, 4)
    assert sum(found["consentWords"].values()) == len(WORDS)
    granted = {"amzn": {"amznUserData": "GRANTED"}}
    given = [each["externalUserId"] for each in imports.records if each["userConsent"]["consent"] == granted]
    assert given == [f"u{n}" for n in (0, 1, 3, 5, 6, 7, 8, 9, 13)]


READ = "To read it: --column 'amzn_user_data=Newsletter Opt-In'. If it is about something else: --column amzn_user_data"
NOT_READ = "Its yes would be read as consent"


@pytest.mark.parametrize(
    ("columns", "used", "remedy"),
    [
        pytest.param("id,email,Newsletter Opt-In", [], READ, id="an opt-in"),
        pytest.param("id,email,Email Opt Out", [], NOT_READ, id="an opt-out"),
        pytest.param("id,email,Email Opt Out", ["amzn_user_data=Email Opt Out"], NOT_READ, id="an opt-out, read"),
        pytest.param("id,email,Newsletter Opt-In", ["amzn_user_data="], None, id="of something else"),
        pytest.param("id,email,gpp_consent", [], None, id="a signal"),
        pytest.param("id,email,note", [], None, id="something else"),
    ],
)
def test_a_column_that_seems_to_state_consent_is_noted_and_stops_a_consent_for_the_file(
    imports: Imports, columns: str, used: list[str], remedy: str | None
) -> None:
    content = f"{columns}\nu1,ada@example.com,\n"
    with pytest.raises(WrongUsage) if remedy else nullcontext() as refused:
        imports.run(content, consent="GRANTED", column=used)
    assert refused is None or str(remedy) in refused.value.remedy
    is_refused = bool(used and remedy)  # whatever the options are
    shown = imports.run(content, dry_run=True, column=used, raises=WrongUsage if is_refused else None).err
    assert ("seems to state consent" in shown) is (bool(remedy) and not is_refused)


ADS = "Werbung erlaubt"


def with_answers(*answers: str) -> str:
    return f"id,email,land,{ADS}\n" + "".join(f"u{n},a{n}@b.co,DE,{each}\n" for n, each in enumerate(answers))


@pytest.mark.parametrize("consent", ["", "GRANTED"])
def test_a_column_that_says_no_and_is_not_used_needs_an_answer(imports: Imports, consent: str) -> None:
    """The people who have said no would enter."""
    content, said = with_answers("ja", "ja", "nein", ""), f"{ADS} says yes and no (2 ja, 1 nein, 1 empty)"
    error = imports.refused(content, consent=consent)
    assert (str(error), error.exit_code) == (f"{said}, but is not used.", 2)
    assert "--column amzn_user_data=COLUMN" in error.remedy
    assert f"{said}, but is not used." in imports.question(content, consent=consent)
    assert f"{said}, but is not used. To read it: --column" in imports.run(content, dry_run=True, consent=consent).err
    assert imports.members == []


@pytest.mark.parametrize(
    ("column", "entered"), [("amzn_user_data=", ["u0", "u1"]), (f"amzn_user_data={ADS}", ["u0"])], ids=["other", "read"]
)
def test_the_answer_about_a_column_is_its_reading(imports: Imports, column: str, entered: list[str]) -> None:
    imports.run(with_answers("ja", "nein"), consent="GRANTED", column=[column])
    assert [each["externalUserId"] for each in imports.records if each["action"] == "CREATE"] == entered


@pytest.mark.parametrize(
    ("answers", "is_answer"),
    [
        pytest.param(["ja"] * 5_000 + ["nein"], True, id="a rare no, behind the sample"),
        pytest.param([""] * 5_000 + ["FALSE"], True, id="empty at first"),
        pytest.param(["1", "0"], True, id="as numbers"),
        pytest.param(["1.0", "0.0"], True, id="as numbers with a point"),
        pytest.param(["Y", "N"], True, id="as letters"),
        pytest.param(['"=""ja"""', "nein."], True, id="as a formula, or with a period"),
        pytest.param(["ja\u200b", "\uff4eein"], True, id="in characters that look the same"),
        pytest.param(["ja", ""], True, id="nothing in place of a no"),
        pytest.param(["ja"] * 10 + ["nein", "vielleicht"], True, id="few other words"),
        pytest.param(["ja", "oui"], False, id="nobody says no"),
        pytest.param(["0", "1", "2", "3"], False, id="a number of orders"),
        pytest.param(["", ""], False, id="empty"),
    ],
)
def test_a_column_of_yes_and_no_is_known_by_its_words(imports: Imports, answers: list[str], *, is_answer: bool) -> None:
    shown = imports.run(with_answers(*answers), dry_run=True).err
    assert (f"{ADS} says yes and no" in shown) is is_answer


def test_beside_a_consent_column_another_answer_is_noted_only(imports: Imports) -> None:
    content = "id,email,Einwilligung,VIP\nu1,a@b.co,ja,nein\nu2,b@b.co,ja,ja\n"
    assert "VIP says yes and no (1 nein, 1 ja)" in imports.run(content).err
    assert imports.members == ["u1", "u2"]
    assert "VIP" not in imports.run("id,VIP\nu1,nein\n", exits=True).err


@pytest.mark.parametrize(
    ("cells", "noted"),
    [
        pytest.param(["ada@example.com", "", "bob@example.com"], "email", id="addresses"),
        pytest.param(["0151 23456789", "+1 (206) 555-0100", "206-555-0100"], "phone", id="numbers"),
        pytest.param(["ask ada@example.com", "2026-03-04", "04.03.2026"], None, id="a sentence, dates"),
        pytest.param(["98109", "10000017", "1 234"], None, id="a postal code, ids"),
        pytest.param(["0000123456", "2026-000123", "52.520008"], None, id="ids with zeros, an order, a place"),
    ],
)
def test_an_unused_column_that_holds_addresses_or_numbers_is_noted_without_a_value(
    imports: Imports, cells: list[str], noted: str | None
) -> None:
    content = "id,last_name,Kanal A\n" + "".join(f"u{each},Doe,{each}\n" for each in cells)
    shown = " ".join(imports.run(content, dry_run=True).err.split())
    assert ("Kanal A: seems to hold" in shown) is bool(noted)
    assert not noted or f"To read it: --column '{noted}=Kanal A'" in shown
    assert not any(each in shown for each in cells if each)
    for other in ({"column": ["email=", "phone="]}, {"exits": True}):
        assert "seems to hold" not in imports.run(content, dry_run=True, **other).err


def test_standard_input_needs_a_time_except_in_a_dry_run(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(**options: Any) -> str:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BufferedReader(BytesIO(ROWS.encode()))))
        return imports.of("-", **options).out

    with pytest.raises(WrongUsage, match="Standard input has no date"):
        typed()
    assert "now; the import needs --at" in typed(dry_run=True)
    for _ in range(2):
        typed(at="2027-01-15T06:00Z")
    assert imports.members == KEPT * 2
    assert {change["at"] for change in imports.changes} == {1_799_992_800_000}
    assert len({change["id"] for change in imports.changes}) == 3


@pytest.mark.parametrize("written", [NOW + 301, NOW - 397 * DAY], ids=["in the future", "as old as the oldest row"])
def test_a_file_from_the_future_or_of_397_days_is_refused(imports: Imports, written: float) -> None:
    imports.refused(written=written)
    assert imports.changes == []


def test_additions_from_a_file_over_33_days_old_are_refused(imports: Imports) -> None:
    old = NOW - MAX_ENTER_AGE / 1000 - 1
    refused = imports.refused(written=old)
    assert ("more than 33 days ago" in str(refused), "AcceptOldEvents" in refused.remedy) == (True, True)
    assert imports.changes == []
    imports.run(written=old, exits=True)
    imports.run(written=old, at="33d")
    assert len(imports.changes) == 2 * 3 + 1


def test_with_accept_old_events_a_file_older_than_the_stored_exits_is_imported_with_a_warning(imports: Imports) -> None:
    imports.deployment.stack.parameters = {"AcceptOldEvents": "yes"}
    assert "are added again" not in imports.run(written=NOW - 39 * DAY).err
    noted = imports.run(written=NOW - 41 * DAY).err
    assert "who left or were erased before 2026-12-06 08:00:00Z are added again" in noted
    assert len(imports.changes) == 6


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param("email\na@b.co\n", {}, id="no column of ids"),
        pytest.param("userId,note\nu1,x\n", {}, id="no identifier"),
        pytest.param("userId,email\nu1,a@b.co\n", {"country": "Atlantis"}, id="no country"),
        pytest.param("userId,email\nu1,a@b.co\n", {"country": "ZZ"}, id="a code that names no country"),
        pytest.param("userId,email\nu1,a@b.co\n", {"at": "yesterday"}, id="no time"),
        pytest.param("userId,email\nu1,a@b.co\n", {"column": ["email=mail"]}, id="no such column"),
        pytest.param("userId,email\nu1,a@b.co\n", {"resume": True}, id="nothing to go on with"),
        pytest.param("userId\nu1\n", {"include_erased": True, "exits": True}, id="a removal that adds"),
    ],
)
def test_contradictory_options_are_refused_before_anything_is_sent(
    imports: Imports, content: str, options: Mapping[str, Any]
) -> None:
    assert imports.refused(content, **options).remedy
    assert imports.changes == []


def test_erased_people_are_left_out_though_the_file_is_newer_and_added_only_on_request(
    imports: Imports, tmp_path: Path
) -> None:
    """Any edit makes a file newer than the notice. Of the three, u2 is about to leave, and u6 has entered again."""
    at = (WRITTEN - 60) * 1_000
    imports.deployment.record(change("u2", at=at - 1), change("u6", at=at + 1))
    imports.deployment.record(*(erasing_exit(each, at, "notice", denies_consent=each == "u1") for each in KEPT))
    assert imports.run(dry_run=True, rejects=tmp_path / "rejects.csv").out.count("left out: erased") == 2
    listed = csv.reader((tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines())
    assert [row[0] for row in listed if row[1] == "erased"] == ["1", "2"]
    assert "Left out: 2 erased, " in imports.question()
    assert imports.json()["leftOut"]["erased"] == 2
    assert imports.members == ["u6"]
    asked = imports.question(options=ImportOptions(include_erased=True))
    assert "People who were erased are added again; the operator log records it." in asked
    imports.run(include_erased=True)
    imports.run(exits=True)
    assert imports.members[1:] == [*KEPT, "u1", "u2", "u3", "u6"]
    assert [each.get("erased") for each in imports.deployment.operator_log()] == [None, "included", None]


LATER = "Members who left after that time stay out. [y/N] "


@pytest.mark.parametrize(
    ("content", "rows", "left_out"),
    [
        pytest.param(ROWS, "3 of 6 rows", "1 member_id_invalid, 1 no_identifier, 1 row_unreadable", id="some left out"),
        pytest.param("userId,email\nu1,a@b.co\n", "1 row", "", id="all sent"),
        pytest.param("userId,email\nu1,\nu2,\n", "0 of 2 rows", "2 no_identifier", id="none sent"),
    ],
)
def test_the_question_counts_the_rows_to_send_and_left_out(
    imports: Imports, content: str, rows: str, left_out: str
) -> None:
    left = f"Left out: {left_out}. " if left_out else ""
    assert imports.question(content) == (
        f"Add {rows} of members.csv to Lapsed premium buyers, dated 2027-01-15 07:00:00Z? {left}{LATER}"
    )
    assert imports.changes == []


def test_the_documentation_quotes_the_question(imports: Imports) -> None:
    docs = (EVENTS.parent / "docs/import.md").read_text(encoding="utf-8")
    written = datetime.fromisoformat("2027-01-04T09:15:22Z").timestamp()
    asked = imports.question((EVENTS / "members.csv").read_text(encoding="utf-8"), at=written)
    assert asked.strip().replace("2027-01-04", "2026-03-04") in " ".join(docs.split())


def test_rejects_may_go_to_dev_null_and_do_not_overwrite_another_file(imports: Imports, tmp_path: Path) -> None:
    mode, rejects = Path(os.devnull).stat().st_mode, tmp_path / "rejects.csv"
    imports.run(dry_run=True, rejects=Path(os.devnull))
    assert Path(os.devnull).stat().st_mode == mode
    for _ in range(2):
        imports.run(rejects=rejects)
    assert len(rejects.read_text(encoding="utf-8").splitlines()) == 4
    other = Path(imports.write(ROWS, "other.csv"))
    imports.refused(rejects=other)
    assert other.read_text(encoding="utf-8") == ROWS
    extended = "row,reason,remedy,userId,email\n1,,,u1,a@b.co\n"
    assert "names the file to import" in str(imports.refused(extended, rejects=tmp_path / "members.csv"))


FORMULAS = ["=HYPERLINK(1)", "+1 206 555 0100", "-1+1", "@SUM(1)|cmd", "\t=1", "\r=1", "\n=1", "'=1", "''+1"]
FORMULAS += ["plain", "'s", "abc;=cmd|' /C calc'!A0", "abc\t'@1", 'abc;""+1', 'abc,"\n-1']
FORMULAS += ["\uff1d1;\uff0b1;\uff0d1;\uff201"]


def cells_run_as_formulas(text: str, delimiter: str) -> list[str]:
    """Return the cells that a spreadsheet runs if it separates cells there: in most of Europe, Excel does at `;`."""
    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    return [cell for cell in cells if cell.lstrip("\t\r\n").startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))]


@example(FORMULAS)
@given(st.lists(st.text("=+-@'\",;\t\r\n|\uff1d a", max_size=8), max_size=3))
def test_no_cell_of_a_list_is_a_formula_wherever_cells_are_separated(values: list[str]) -> None:
    row = io.StringIO(newline="")
    csv.writer(row).writerow(written(["1", *values]))
    assert [cell for delimiter in DELIMITERS for cell in cells_run_as_formulas(row.getvalue(), delimiter)] == []
    assert read_back(written(values)) == tuple(values)


def test_an_apostrophe_in_any_other_file_is_kept(write: Write) -> None:
    with MemberFile.named(write("userId,last_name\nu1,'=x\n")).rows() as rows:
        assert [*rows.read(["last_name"])] == [("'=x",)]


@pytest.mark.parametrize("is_there", [pytest.param(True, id="to a list"), pytest.param(False, id="to nothing")])
def test_rejects_follow_no_symbolic_link(imports: Imports, tmp_path: Path, *, is_there: bool) -> None:
    rejects, target = tmp_path / "rejects.csv", tmp_path / "target.csv"
    if is_there:
        target.touch()
    rejects.symlink_to(target)
    assert "symbolic link" in str(imports.refused(rejects=rejects))
    assert not target.exists() or target.read_text(encoding="utf-8") == ""
    assert imports.changes == []


@pytest.mark.parametrize("after", [0, 1])
def test_rejects_are_not_written_to_the_file_of_another_user_to_a_pipe_or_to_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    rejects, pipe, another = tmp_path / "rejects.csv", tmp_path / "pipe", os.geteuid() + 1
    rejects.touch(mode=0o666)
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(WrongUsage), listed_rejects(path, after=after):
            pass
    monkeypatch.setattr(os, "geteuid", lambda: another)
    with pytest.raises(WrongUsage, match="another user"), listed_rejects(rejects, after=after):
        pass
    assert rejects.read_text(encoding="utf-8") == ""


def test_a_program_that_has_the_former_rejects_open_reads_no_new_rows(imports: Imports, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    rejects.touch(mode=0o666)
    with rejects.open(encoding="utf-8") as opened_before:
        imports.run(dry_run=True, rejects=rejects)
        assert opened_before.read() == ""
    assert "member_id_invalid" in rejects.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir() if "rejects" in each.name] == ["rejects.csv"]


def listed_rows(rejects: Path) -> list[str]:
    with rejects.open(encoding="utf-8", newline="") as stream:
        return [row[0] for row in csv.reader(stream)]


def test_a_resumed_run_keeps_the_rejects_up_to_its_first_row_that_are_written_whole(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    for after, rows in ((0, (1, 4, 9, 11)), (9, (11, 12))):
        if after:
            rejects.write_text(rejects.read_text(encoding="utf-8") + "1", encoding="utf-8")  # of 12
        with listed_rejects(rejects, after=after) as add:
            for row in rows:
                add(LeftOut(row, "no_identifier"))
            assert listed_rows(rejects)[-1] == str(rows[-1])  # it is written at once, for a run that is killed
        assert rejects.stat().st_mode & 0o077 == 0
        rejects.chmod(0o644)
    assert listed_rows(rejects) == ["row", "1", "4", "9", "11", "12"]


def test_a_full_queue_delays_an_import(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_room, "ROOM_EVERY", 0.0)
    monkeypatch.setattr(queue_room, "MAX_WAITING", 0)
    imports.deployment.send("ChangeQueue", "{}")
    sqs, url = imports.deployment.stack.service("sqs"), imports.deployment.stack["ChangeQueue"]
    sqs.meta.events.register("after-call.sqs.GetQueueAttributes", lambda **_: sqs.purge_queue(QueueUrl=url))
    assert "1 message in the change queue: waiting until there are 0." in imports.run().err
    assert imports.members == KEPT


def many(count: int) -> str:
    return "userId,email\n" + "".join(f"u{number},p{number}@example.com\n" for number in range(1, count + 1))


def test_resume_continues_after_the_last_confirmed_row(
    imports: Imports, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, rejects = ImportState.save, tmp_path / "rejects.csv"
    content = many(30_000).replace("00,p", "00 is no id,p")

    def interrupted(stored: ImportState, progress: Progress) -> None:
        save(stored, progress)
        if progress.row == 1_010:  # Ctrl-C, while others are on their way
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ImportState, "save", interrupted)
        noted = imports.run(content, rejects=rejects, raises=KeyboardInterrupt).err
    (stored,) = state.iterdir()
    stopped = json.loads(stored.read_text())
    assert f"All rows up to {stopped['row']:,} are sent." in noted
    assert (len(imports.changes), stopped["at"]) == (stopped["row"] - stopped["row"] // 100, WRITTEN * 1000)
    assert 1_000 < stopped["row"] < 30_000
    assert len(listed_rows(rejects)) > 2
    report = imports.json(content, resume=True, rejects=rejects)
    assert listed_rows(rejects) == ["row", *map(str, range(100, 30_001, 100))]
    assert (report["resumedAfter"], report["rows"]) == (stopped["row"], 30_000 - stopped["row"])
    assert sorted(imports.members) == sorted(f"u{number}" for number in range(1, 30_001) if number % 100)
    assert imports.accepted == 29_700
    assert list(state.iterdir()) == []


# What a call of botocore returns instead of asking AWS.
def _answer(status: int, **error: str) -> Any:
    return SimpleNamespace(status_code=status), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}


DENIED, NINE = _answer(403, Code="AccessDenied"), many(9_000)


def _stop_after(imports: Imports, state: Path, answer: Any = DENIED) -> str:
    """Have a run end after its first request, as the others get this answer. Returns its notes."""
    events, answers = imports.deployment.stack.service("sqs").meta.events, chain([None], repeat(answer))

    def refuse(**_: Any) -> Any:
        return next(answers)

    events.register("before-call.sqs.SendMessageBatch", refuse)
    noted = imports.run(NINE, raises=Unavailable).err
    events.unregister("before-call.sqs.SendMessageBatch", refuse)
    assert len(list(state.iterdir())) == 1
    return noted


def test_a_lost_answer_of_sqs_reports_how_many_changes_may_be_uncounted(
    imports: Imports, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_sender, "WAITS", ())
    noted = _stop_after(imports, state, _answer(503))
    assert imports.accepted == 1_000
    uncounted = re.search(r"Up to ([\d,]+) changes may be delivered without being counted", noted)
    assert uncounted
    assert 0 < int(uncounted[1].replace(",", "")) <= 8_000
    resumed = imports.run(NINE, resume=True).out
    assert "after row 1,000, the last one that the queue confirmed" in resumed
    assert "8,000 changes sent" in resumed
    assert imports.accepted == 9_000


def test_resume_keeps_the_time_of_the_interrupted_run_which_a_new_run_mentions(imports: Imports, state: Path) -> None:
    _stop_after(imports, state)
    imports.refused(NINE, resume=True, at="1d")
    imports.refused(NINE, resume=True, country="CA")  # read in another way
    begin = "Add 8,000 rows of members.csv from row 1,001 on to "
    assert imports.question(NINE, ImportOptions(resume=True), NOW - 60).startswith(begin)
    imports.run(NINE, resume=True, written=NOW - 60)
    assert {change["at"] for change in imports.changes} == {WRITTEN * 1000}
    _stop_after(imports, state)
    imports.deployment.answers.append("y")
    noted = imports.deployment.printed(import_members, imports.write(NINE), KEY, now=NOW).err
    assert imports.deployment.questions[-1].startswith("Add 9,000 rows of members.csv to ")
    assert "An earlier run of this file stopped after row 1,000; --resume continues from there." in noted
    assert list(state.iterdir()) == []


def test_nothing_is_imported_if_metrics_cannot_be_written(imports: Imports) -> None:
    events = imports.deployment.stack.service("cloudwatch").meta.events
    events.register("before-call.cloudwatch.PutMetricData", lambda **_: DENIED)
    assert "No row is confirmed. To continue, repeat the command." in imports.run(raises=Unavailable).err
    assert imports.changes == []
