"""`member find`: the people behind an address or a number, and an answer that denies nothing that was not read."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.normalize import identifier
from audience_sync.aws.membership_scan import TableSize
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import MembershipChange
from audience_sync_cli.frame.errors import AlreadyReported, NotConfirmed, ReportedAsNotThere, WrongUsage
from audience_sync_cli.members import find as module
from audience_sync_cli.members.find import estimate, find
from audience_sync_cli.members.member import show
from audience_sync_cli.parked.parked_commands import Filter, drop
from local.template import ROOT
from scripts.cost_model import OVERHEAD, READ, ROW
from tests.command.conftest import NOW, Deployment, Printed
from tests.command.members.test_asked_values import digest
from tests.support import builders
from tests.support.aws_fixtures import AUDIENCE

PRIVACY = ROOT / "docs/privacy.md"
ADDRESS, NUMBER = "ines.alvarez@gmail.com", "(206) 555-0142"
WINTER = replace(AUDIENCE, audience_id="5", name="Winter", computation_key="winter")
Search = Callable[..., Printed]


def change(member: str, text: str = ADDRESS, **options: Any) -> MembershipChange:
    hashed = text if len(text) == 64 else str(identifier("phone" if text == NUMBER else "email", text, "US"))
    return builders.change(member, hashed, **{"audience_id": AUDIENCE.audience_id, "message_id": "m", **options})


@pytest.fixture(autouse=True)
def stored(deployment: Deployment) -> None:
    """Write an address and a number in eight kinds of rows."""
    deployment.list_audience()
    deployment.list_audience(WINTER)
    assert deployment.session().audiences.unlink(WINTER.audience_id, at=5_000)
    deployment.record(
        *(change("cust_2001"), change("web_77", message_id="import-1-1")),  # two ids of a person, or of a family
        *(change("plus", "ines.alvarez+news@gmail.com"), change("hashed", digest("ines.alvarez+news@gmail.com"))),
        *(change("google", digest("inesalvarez@gmail.com")), change("cust_2001", audience_id=WINTER.audience_id)),
        *(change("left"), change("left", at=2_000, exits=True), change("phone", NUMBER), change("other", "o@x.com")),
    )


@pytest.fixture
def search(deployment: Deployment) -> Search:
    """Return a function that types values."""

    def run(*values: str, then: str = "", **options: Any) -> Printed:
        deployment.answers = [*values, "", *then]
        return deployment.printed(find, **options)

    return run


def test_find_matches_every_kind_of_row_and_prints_the_next_commands(search: Search, tmp_path: Path) -> None:
    values = (ADDRESS, NUMBER, "ines.alvarez+news@gmail.com", "nobody@example.com")
    document = search(*values, country="US", as_json=True).json
    matches = {each["member"]: each["matches"] for each in document["people"]}
    found = {member: [(each["line"], each["form"]) for each in some] for member, some in matches.items()}
    of_google = {"google": [(1, "Google's form"), (3, "Google's form")], "hashed": [(3, "lower case")]}
    others = {"cust_2001": 1, "web_77": 1, "left": 1, "phone": 2, "plus": 3}
    assert found == of_google | {member: [(line, "")] for member, line in others.items()}
    page = tmp_path / "answer.html"
    printed = search(*values, country="US", page=page, request="DSR-17", now=NOW)
    shown, written = (" ".join(each.split()) for each in (printed.out, re.sub("<[^>]+>", " ", page.read_text())))
    expected = """Request DSR-17|Winter (unlinked) newest change entered;|Lapsed premium buyers newest change left;|
Matches 1 email Lapsed premium buyers newest change entered; event time 1970-01-01 00:00:00Z; last tried|id import-1-1|
active 1 email; kept until 20|Matches 3 email (lower case)|No person was found by line 4.|35 days more in backups|
4 ids share the e-mail address of line 1: they may be two people.|Sent to Amazon Ads (127.0.0.1)|7 external user ids"""
    for said in expected.replace("\n", "").split("|"):
        assert (said in shown, said in written) == (True, True)
    assert sorted(shown.split("member erase ")[1].split(" audience-sync")[0].split()) == sorted(found)
    assert (
        "\n  audience-sync member erasure web_77 --html erasure-web_77.html --json > erasure-web_77.json\n"
        in printed.out
    )
    assert [ADDRESS in each or digest(ADDRESS) in each for each in (*printed, written)] == [False] * 3


def test_if_nothing_is_found_the_answer_names_what_was_not_searched(deployment: Deployment, search: Search) -> None:
    printed = search("nobody@example.com", "+442079460958", now=NOW, raises=ReportedAsNotThere)
    assert " ".join(printed.out.split("Answer\n")[1].split()) == (
        "On 2027-01-15 at 08:00 UTC we searched the system that sends audiences to Amazon Ads (stack tests, region "
        "us-east-1) for the given e-mail address and phone number, and found no data. Not searched: changes that still "
        "wait, which another search after 2027-01-22 covers, automatic backups, which expire by 2027-02-19, Segment, "
        "and Amazon Ads."
    )
    (line,) = deployment.operator_log()
    logged = {"command": "member find", "outcome": "done", "values": 2, "people": 0, "events": 0}
    assert {name: value for name, value in line.items() if name != "who"} == logged


def test_an_unsearchable_value_is_reported_by_line_and_the_rest_are_answered(search: Search, tmp_path: Path) -> None:
    printed = search(NUMBER, ADDRESS, "Ines Alvarez", raises=AlreadyReported)
    assert "cust_2001" in printed.out
    assert [line[:22] for line in printed.err.splitlines()[1:]] == ["Line 1 is not searched", "Line 3 is not searched"]
    assert "Line 3 was not searched: not an e-mail" in " ".join(printed.out.split())
    page = tmp_path / "answer.html"
    report = search("nobody@x.com", "Ines Alvarez", page=page, as_json=True, raises=AlreadyReported).json
    assert report["answer"] == "Nothing was found, but not all lines were searched: correct them, and search again."
    assert "Line 2 was not searched: not an e-mail" in page.read_text(encoding="utf-8")
    for options in {"country": "Atlantis"}, {}:
        search("Ines Alvarez", raises=WrongUsage, **options)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda deployment: deployment.damage(AUDIENCE.audience_id, "other"), "The row of other in audience 4"),
        (lambda deployment: deployment.send("DeadLetterQueue", "{"), "A dead letter cannot be read: `audience-sync"),
    ],
)
def test_with_something_that_cannot_be_read_nothing_is_denied(
    deployment: Deployment, search: Search, spoil: Callable[[Deployment], None], named: str
) -> None:
    spoil(deployment)
    for value, people in ("nobody@example.com", 0), (ADDRESS, 4):
        document = search(value, raises=AlreadyReported, as_json=True).json
        assert (document["unread"][0][: len(named)], len(document["people"])) == (named, people)
        assert document["answer"].startswith("Not all of the stored data could be read")
    shown = search("nobody@example.com", raises=AlreadyReported).out
    assert (named in shown, "found no data" in shown) == (True, False)


@pytest.mark.usefixtures("event_queue")
def test_both_dead_letter_queues_are_searched_and_notices_of_ids(deployment: Deployment, search: Search) -> None:
    deployment.park(change("parked", "late@example.com"), change("parked", "else@example.com"))
    deployment.send("EventsDeadLetterQueue", '{"userId":"x","traits":{"email":"Late@Example.com"', reason="too_large")
    deployment.send("EventsDeadLetterQueue", '{"userId":"y"}')
    deployment.record(erasing_exit("erased", 5_000, "notice"))
    values = ("late@example.com", "erased", "unknown")
    document, shown = search(*values, as_json=True).json, search(*values).out
    assert [each["members"] for each in document["values"]] == [["parked"], ["erased"], []]
    (event,) = document["events"]
    assert event["lines"] == [1]
    drops = f"parked drop --id {event['messageId']}"
    said = ("1 email\n  Dead letters  2", "Notice or denial  1970-01-01 00:00", drops)
    assert [each for each in said if each not in shown] == []
    assert document["answer"] == (
        "Stored: the data of 2 external user ids and 1 event in the dead letters, as stated above."
    )


@pytest.mark.usefixtures("event_queue")
def test_a_value_that_dead_events_alone_hold_is_stored_in_them_and_not_in_no_person(
    deployment: Deployment, search: Search
) -> None:
    deployment.send("EventsDeadLetterQueue", '{"userId":"x","traits":{"email":"late@example.com"}}')
    answer = search("late@example.com", as_json=True).json["answer"]
    assert answer == "Stored: 1 event in the dead letters, as stated above."


@pytest.mark.usefixtures("event_queue")
def test_a_dead_event_that_cannot_be_read_is_named_and_denies_nothing(deployment: Deployment, search: Search) -> None:
    encrypted = b64encode(b"".join(sha256(bytes([each])).digest() for each in range(4))).decode()
    deployment.send("EventsDeadLetterQueue", encrypted, reason="invalid_request")
    shown = search("nobody@example.com", raises=AlreadyReported).out
    assert "1 dead event is not in a form that can be searched: `audience-sync parked show" in shown
    assert "no data" not in shown
    said = "not in a form that can be searched"
    assert said in deployment.printed(drop, Filter(), erased=True, raises=AlreadyReported).err
    assert said in deployment.printed(show, "cust_2001", raises=AlreadyReported).err


def test_of_a_pasted_line_the_answer_says_which_part_was_searched(search: Search) -> None:
    printed = search(f"Ines Alvarez <{ADDRESS}>", "+442079460958")
    assert "Of line 1, only the e-mail address in it is searched (characters 15 to 36)." in printed.err
    assert "1: e-mail address (characters 15 to 36), 2: phone number" in " ".join(printed.out.split())
    assert "cust_2001" in printed.out
    assert ADDRESS not in printed.out + printed.err


@pytest.mark.usefixtures("event_queue")
def test_if_nothing_is_found_the_answer_says_how_dead_events_were_searched(
    deployment: Deployment, search: Search
) -> None:
    deployment.send("EventsDeadLetterQueue", '{"userId":"x"}')
    report = search("nobody@example.com", as_json=True, raises=ReportedAsNotThere).json
    assert ("1 dead event compared word by word. " in report["answer"], report["eventsRead"]) == (True, 1)


def test_a_file_with_the_answer_is_for_its_owner_only(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `member find --json > FILE`."""
    (values := tmp_path / "values.txt").write_text(ADDRESS, encoding="utf-8")
    with (tmp_path / "answer.json").open("w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        find(deployment.session(as_json=True), file=str(values))
    assert (tmp_path / "answer.json").stat().st_mode & 0o777 == 0o600


def test_a_search_of_over_a_million_rows_shows_time_and_cost_and_asks_first(
    deployment: Deployment, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASKS_ABOVE", 8)
    search(ADDRESS, then="n", raises=NotConfirmed)
    assert deployment.questions[2:] == ["Reading 9 rows takes about 0 minutes and about $0.00. Search? [y/N] "]


@pytest.mark.parametrize(
    ("rows", "units", "minutes", "dollars"),
    [(1_000_000, 0, 2, "0.01"), (100_000_000, 0, 167, "0.92"), (1_000_000, 50, 24, "0.00")],
    ids=["a million rows", "a hundred million", "provisioned, at 50 units a second"],
)
def test_the_time_and_cost_of_a_search_match_the_documents(rows: int, units: int, minutes: int, dollars: str) -> None:
    seconds, cost = estimate(TableSize(rows, rows * (ROW + OVERHEAD), units))
    assert (round(seconds / 60), f"{cost:.2f}") == (minutes, dollars)
    assert units or f"{minutes} minutes and ${dollars}" in PRIVACY.read_text(encoding="utf-8")
    assert module.READ_REQUEST == READ
