"""`member find`: the people behind an address or a number, and an answer that denies nothing that was not read."""

import io
import sys
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
from audience_sync_cli.errors import AlreadyReported, NotConfirmed, ReportedAsNotThere, ReportedAsUsage, WrongUsage
from audience_sync_cli.members import find as module
from audience_sync_cli.members.find import estimate, find
from scripts.cost_model import OVERHEAD, ROW, others
from tests import builders
from tests.aws_fixtures import AUDIENCE
from tests.command.conftest import NOW, Deployment, Printed

PRIVACY = Path(__file__).parents[3] / "docs/privacy.md"
ADDRESS, NUMBER = "ines.alvarez@gmail.com", "(206) 555-0142"
UNLINKED = replace(AUDIENCE, audience_id="5", name="Winter", computation_key="winter")


def change(member: str, text: str = ADDRESS, **options: Any) -> MembershipChange:
    digest = text if len(text) == 64 else str(identifier("phone" if text[0] in "(+" else "email", text, "US"))
    return builders.change(member, digest, **{"audience_id": AUDIENCE.audience_id, "message_id": "m", **options})


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def stored(deployment: Deployment) -> None:
    """Seven people, by an address and a number in eight kinds of rows."""
    deployment.list_audience()
    deployment.list_audience(UNLINKED)
    assert deployment.session().audiences.unlink("5", at=5_000)
    deployment.record(
        *(change("cust_2001"), change("web_77", message_id="import-1-1")),  # two ids of a person, or of a family
        change("plus", "ines.alvarez+news@gmail.com"),
        change("hashed", hashed("ines.alvarez+news@gmail.com")),
        change("google", hashed("inesalvarez@gmail.com")),
        change("cust_2001", audience_id="5"),
        *(change("left"), change("left", at=2_000, exits=True)),
        change("phone", NUMBER),
        change("other", "other@example.com"),
    )


@pytest.fixture
def search(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Printed]:
    """Return a function that searches for values given on standard input."""

    def run(*values: str, **options: Any) -> Printed:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(values).encode())))
        return deployment.printed(find, file="-", **options)

    return run


Search = Callable[..., Printed]
LAPSED = "Lapsed premium buyers"


def test_every_kind_of_row_is_found_and_what_follows_is_ready_to_type(search: Search, tmp_path: Path) -> None:
    page, values = tmp_path / "answer.html", (ADDRESS, NUMBER, "ines.alvarez+news@gmail.com", "nobody@example.com")
    document = search(*values, country="US", as_json=True, page=page, request="DSR-17", now=NOW).json
    found = {
        (person["member"], audience["name"]): {
            (each["line"], each["field"], each["form"]) for each in audience["matches"]
        }
        for person in document["people"]
        for audience in person["audiences"]
    }
    address = {(1, "email", "")}
    assert found == {
        ("cust_2001", LAPSED): address,
        ("cust_2001", "Winter"): address,
        ("web_77", LAPSED): address,
        ("left", LAPSED): address,
        ("phone", LAPSED): {(2, "email", "")},
        ("plus", LAPSED): {(3, "email", "")},
        ("google", LAPSED): {(1, "email", "Google's form"), (3, "email", "Google's form")},
        ("hashed", LAPSED): {(3, "email", "lower case")},
    }
    printed = search(*values, country="US", now=NOW)
    shown = " ".join(printed.out.split())
    for said in (
        f"{LAPSED} in since 1970-01-01 00:00; matches 1 email; has 1 email; from event m; kept until",
        "Winter (unlinked) in since",
        "left 1970-01-01 00:00; matches 1 email;",
        "from file import-1-1",
        "4 ids share the e-mail address of line 1: they may be two people.",
        "No person was found by line 4.",
        "Sent to Amazon Ads (127.0.0.1)",
        "35 days more in backups",
        "7 external user ids",
    ):
        assert said in shown
        assert said in page.read_text(encoding="utf-8").replace("<td>", " ")
    assert "DSR-17" in page.read_text(encoding="utf-8")
    ids = shown.split("member erase ")[1].split(" audience-sync")[0].split()
    assert sorted(ids) == ["cust_2001", "google", "hashed", "left", "phone", "plus", "web_77"]
    assert "\n  audience-sync member erasure web_77 --html web_77.html --json > web_77.json\n" in printed.out
    assert [ADDRESS in each or hashed(ADDRESS) in each for each in (*printed, page.read_text())] == [False] * 3


def test_nothing_found_is_a_sentence_to_send_with_what_it_does_not_cover(deployment: Deployment) -> None:
    deployment.answers = ["nobody@example.com", "+442079460958", ""]
    printed = deployment.printed(find, now=NOW, raises=ReportedAsNotThere)
    assert deployment.questions == ["value: "] * 3
    assert " ".join(printed.out.split("Answer\n")[1].split()) == (
        "On 2027-01-15 at 08:00 UTC we searched the system that sends audiences to Amazon Ads (stack tests, region "
        "us-east-1) for the given e-mail address and phone number, and found no data. Not searched: changes that still "
        "wait, which another search after 2027-01-22 covers, automatic backups, which expire by 2027-02-19, Segment, "
        "and Amazon Ads."
    )
    assert deployment.logs.filter("OperatorLogGroup", 0, None)["events"] == []


def test_a_value_that_cannot_be_searched_is_named_by_its_line_and_the_others_are_answered(search: Search) -> None:
    printed = search("E-Mail", NUMBER, ADDRESS, "", "Ines Alvarez", raises=ReportedAsUsage)
    assert "cust_2001" in printed.out
    assert [line[:22] for line in printed.err.splitlines()] == ["Line 2 is not searched", "Line 5 is not searched"]
    assert NUMBER not in printed.err
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
    document = search("late@example.com", "erased", "unknown", as_json=True).json
    assert [each["members"] for each in document["values"]] == [["parked"], ["erased"], []]
    (event,) = document["events"]
    assert event["lines"] == [1]
    shown = search("late@example.com", "erased", "unknown").out
    for said in (
        "Dead letters  2, found by line 1",
        "Deletion notice  1970-01-01 00:00",
        f"parked show {event['messageId']}",
    ):
        assert said in shown


def test_a_search_of_over_a_million_rows_says_what_it_takes_and_asks(
    deployment: Deployment, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASKS_ABOVE", 8)
    deployment.answers = ["n"]
    search(ADDRESS, raises=NotConfirmed)
    assert deployment.questions == ["Reading 9 rows takes about 0 minutes and about $0.00. Search? [y/N] "]


@pytest.mark.parametrize(
    ("rows", "units", "minutes", "dollars"),
    [
        pytest.param(1_000_000, 0, 2, "0.01", id="a million rows"),
        pytest.param(100_000_000, 0, 167, "0.92", id="a hundred million"),
        pytest.param(1_000_000, 50, 24, "0.00", id="provisioned, at 50 units a second"),
    ],
)
def test_the_time_and_cost_of_a_search_are_those_of_the_documents(
    rows: int, units: int, minutes: int, dollars: str
) -> None:
    seconds, cost = estimate(TableSize(rows, rows * (ROW + OVERHEAD), units))
    assert (round(seconds / 60), f"{cost:.2f}") == (minutes, dollars)
    assert units or f"{minutes} minutes and ${dollars}" in PRIVACY.read_text(encoding="utf-8")
    assert rows < 1e8 or cost == pytest.approx(others()["a search for a person (`member find`) in 100 million rows"])
