"""One member: what is known about them, and erasing them everywhere."""

import json
import re
import time
from dataclasses import replace
from datetime import datetime

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import member_of
from audience_sync.errors import RowUnreadable
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.member_state import LONGEST_JOB, LateJob
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Destination
from audience_sync_cli.frame.errors import FAILED, AlreadyReported, NotThere, WrongUsage
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.members.erasing import erase
from audience_sync_cli.members.member import show
from audience_sync_cli.members.proof import erasure
from local.template import ROOT
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE

EFFECTIVE = Timings().audiences.effective_after  # seconds
DAMAGED = "The row of m1 in audience 5 (partition 5#07) cannot be read."
OTHER = replace(AUDIENCE, audience_id="5", name="Another", computation_key="another")


@pytest.fixture(autouse=True)
def listed(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.list_audience(OTHER)


def test_show_prints_what_was_sent_for_a_current_member(deployment: Deployment) -> None:
    consent = {"geo": {"ipAddress": "192.0.2.7"}, "consent": {"tcf": "CPXx"}}
    entered = change("m1", at=1_000, country="DE", consent=consent)
    deployment.record(entered)
    table = deployment.session().members
    (state,) = table.read([entered.member]).values()
    table.write([replace(state, late_jobs=(LateJob("job-1", 20, 1_000),))])
    document = deployment.json(show, "m1")
    shown = document["audiences"][0]["row"]
    assert (shown["countryCode"], shown["userConsent"], shown["lateJobs"]) == ("DE", consent, ["job-1"])
    assert (shown["action"], shown["at"], shown["messageId"]) == ("CREATE", "1970-01-01T00:00:01.000Z", "message-m1")
    assert (shown["active"], shown["toRemove"]) == ([{"email": "0" * 64}], [])
    assert abs(datetime.fromisoformat(shown["lastSentAt"]).timestamp() - time.time()) < 600
    assert (shown["erase"], document["parked"]) == (False, [])


def test_show_says_from_when_what_a_failed_job_carried_is_sent_again(deployment: Deployment) -> None:
    entered, left = change("m1", at=1_000), change("m2", at=1_000)
    deployment.record(entered, left, replace(left, at=2_000, exits=True))
    table = deployment.session().members
    rows = table.read([entered.member, left.member])
    table.write(
        [
            replace(rows[entered.member], enter_owed=True, enter_retry_at=1_800_000_300, failed_jobs=2),
            replace(rows[left.member], removal_owed=True, removal_retry_at=1_800_000_300, failed_jobs=2),
        ]
    )
    shown = {each: deployment.json(show, each)["audiences"][0]["row"] for each in ("m1", "m2")}
    times = {each: (row["enterAgainAt"], row["removalAgainAt"], row["failedJobs"]) for each, row in shown.items()}
    at = "2027-01-15T08:05:00.000Z"
    assert times == {"m1": (at, None, 2), "m2": (None, at, 2)}
    printed = [" ".join(deployment.printed(show, each).out.split()) for each in ("m1", "m2")]
    after = "from 2027-01-15 08:05:00Z, after 2 failed jobs"
    assert (f"sent again an enter {after}" in printed[0], f"sent again a removal {after}" in printed[1]) == (True, True)


def test_show_prints_what_may_remain_at_amazon_of_a_former_member(deployment: Deployment) -> None:
    deployment.record(change("m1", at=1_000), replace(change("m1", at=2_000, exits=True), erase=True))
    deployment.park(change("m1", exits=True, at=2_000), reason="not_found")
    document = deployment.json(show, "m1")
    shown = document["audiences"][0]["row"]
    assert (shown["action"], shown["at"], shown["erase"]) == ("DELETE", "1970-01-01T00:00:02.000Z", True)
    assert (shown["active"], shown["toRemove"]) == ([], [{"email": "0" * 64}])
    assert [each["reason"] for each in document["parked"]] == ["not_found"]


@pytest.mark.usefixtures("event_queue")
def test_show_finds_a_member_known_only_from_dead_letters_and_no_unknown_one(deployment: Deployment) -> None:
    deployment.park(change("m1"))
    deployment.send("EventsDeadLetterQueue", '{"userId":"m1"', reason="invalid_request")
    assert [each["reason"] for each in deployment.json(show, "m1")["parked"]] == ["request_rejected", "invalid_request"]
    unknown = deployment.refusal(NotThere, show, "unknown")
    assert ("external user id" in str(unknown), "member find" in unknown.remedy) == (True, True)


def test_show_prints_every_audience_and_says_so_if_a_row_cannot_be_read(deployment: Deployment) -> None:
    deployment.record(change("m1"), change("m1", audience_id=OTHER.audience_id))
    assert [each["audienceId"] for each in deployment.json(show, "m1")["audiences"]] == [AUDIENCE.audience_id, "5"]
    deployment.damage("5", "m1")
    printed = deployment.printed(show, "m1", raises=AlreadyReported)
    shown = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert {f"audience {AUDIENCE.name} ({AUDIENCE.audience_id})", "newest change entered", "active 1 email"} <= {*shown}
    assert [line for line in shown if line.endswith(" -")] == [], "only what there is"
    assert printed.err == f"{DAMAGED} See A damaged row in docs/runbook.md.\n"


@pytest.mark.parametrize("others", [(AUDIENCE,), ()], ids=["beside a sound row", "the only row"])
def test_erasing_a_person_with_a_damaged_row_queues_the_notice_and_names_the_row(
    deployment: Deployment, others: tuple[Audience, ...]
) -> None:
    deployment.record(*(change("m1", audience_id=each.audience_id) for each in others))
    deployment.damage("5", "m1")
    printed = deployment.printed(erase, ["m1"], yes=True, raises=AlreadyReported)
    assert [each["record"]["externalUserId"] for each in deployment.changes()] == ["m1"]
    assert ("The deletion is queued" in printed.out, DAMAGED in printed.err) == (True, True)
    again = deployment.printed(erase, ["m1"], yes=True, as_json=True, raises=AlreadyReported).json
    assert (again["sent"], [each.startswith(DAMAGED) for each in again["unread"]]) == (1, [True])


def test_the_report_of_an_erasure_with_a_damaged_row_names_it_and_stays_open(deployment: Deployment) -> None:
    deployment.record(change("m1"))
    deployment.damage("5", "m1")
    deployment.record(erasing_exit("m1", 2_000, "notice"))
    printed = deployment.printed(erasure, "m1", as_json=True, raises=AlreadyReported)
    assert (printed.json["state"], DAMAGED in printed.err) == ("open", True)
    deployment.damage(EVERY_AUDIENCE, "m1")
    assert "audience *" in str(deployment.refusal(RowUnreadable, erasure, "m1")), "nobody knows whether there is one"
    assert explained(deployment.refusal(RowUnreadable, erasure, "m1")).exit_code == FAILED


def test_the_lines_of_the_runbook_delete_a_damaged_row(deployment: Deployment) -> None:
    section = (
        (ROOT / "docs/runbook.md").read_text(encoding="utf-8").split("\n### A damaged row\n")[1].split("\n### ")[0]
    )
    (written,) = re.findall("KEY='(.+?)'", section)
    key = json.loads(written)
    audience_id, member = member_of(key)
    deployment.list_audience(replace(AUDIENCE, audience_id=audience_id, name="Damaged", computation_key="damaged"))
    deployment.damage(audience_id, member)
    printed = deployment.printed(erase, [member], yes=True, raises=AlreadyReported)
    assert f"(partition {key['audienceShard']['S']})" in printed.err, "from which the key is taken"
    calls = re.findall(r'aws dynamodb (\S+) --table-name "\$\(part (\w+)\)" --key "\$KEY"', section)
    assert calls == [("get-item", "MembershipTable"), ("delete-item", "MembershipTable")]
    for operation, table in calls:
        call = getattr(deployment.stack.service("dynamodb"), operation.replace("-", "_"))
        call(TableName=deployment.stack[table], Key=key)
    assert "Nothing is stored" in str(deployment.refusal(NotThere, show, member))


def test_erasing_sends_one_notice_for_every_audience_and_says_where_hashes_remain(deployment: Deployment) -> None:
    deployment.park(change("m1"))
    seen = deployment.printed(erase, ["m1"], yes=True, now=NOW).out  # who is known from dead letters only
    assert "Hashes remain in 1 dead letter" in seen
    assert "Dead letters from before are gone by 2027-02-05 08:00:00Z, also without dropping them." in seen
    deployment.record(change("m1"))
    found = deployment.json(erase, ["m1"], yes=True, now=5.0)
    assert (found["sent"], found["deadLetters"]) == (1, 1)
    _, body = deployment.bodies("ChangeQueue")
    assert (body["audienceId"], body["replay"]) == (EVERY_AUDIENCE, True)  # it comes from no accepted event
    (exit_,) = body["changes"]
    assert (exit_["at"], exit_["erase"], exit_["record"]["action"]) == (5_000, True, "DELETE")


@pytest.mark.parametrize(
    ("denies", "shown_as"),
    [(False, {"deletionNoticeAt", "deletion notice of"}), (True, {"consentDeniedAt", "consent denied at"})],
)
def test_show_prints_the_deletion_notice_of_a_person_without_a_row(
    deployment: Deployment, denies: bool, shown_as: set[str]
) -> None:
    deployment.record(erasing_exit("m1", 5_000, "notice", denies_consent=denies))
    document = deployment.json(show, "m1")
    times = {name: document[name] for name in ("deletionNoticeAt", "consentDeniedAt") if document[name]}
    assert list(times.values()) == ["1970-01-01T00:00:05.000Z"]
    assert document["audiences"] == []
    shown = deployment.printed(show, "m1").out
    (line,) = [line for line in shown.splitlines() if "1970-01-01" in line]
    assert {*times, line.split("  ")[0]} == shown_as


def test_all_ids_of_a_person_are_erased_from_unlinked_audiences_also_with_one_question(deployment: Deployment) -> None:
    deployment.record(change("m1"), change("m1", audience_id="5"), change("m2"))
    assert deployment.session().audiences.unlink(AUDIENCE.audience_id, at=5_000)
    _, shown = deployment.json(show, "m1")["audiences"]
    assert (shown["row"]["active"], shown["unlinkedAt"]) == ([{"email": "0" * 64}], "1970-01-01T00:00:05.000Z")
    deployment.answers = ["y"]
    printed = deployment.printed(erase, ["m1", "m2", "m1"]).out
    assert re.search(r"m1 +Another, Lapsed premium buyers \(unlinked\) +email, shared with m2 *\n", printed)
    assert re.search(r"m2 +Lapsed premium buyers \(unlinked\) +email, shared with m1 *\n", printed)
    assert deployment.questions == ["Erase 2 people from every audience? [y/N] "]
    assert [each["record"]["externalUserId"] for each in deployment.changes()] == ["m1", "m2"]


@pytest.mark.parametrize(
    ("sent", "destination", "longest", "last_removal"),
    [
        # The removal is also repeated before, when the enter should have taken effect.
        pytest.param(NOW - 60, Destination(), LONGEST_JOB, NOW - 60 + EFFECTIVE + LONGEST_JOB, id="a minute ago"),
        pytest.param(NOW - 60, Destination(), 7, NOW - 60 + EFFECTIVE + 7, id="a minute ago, in a local stack"),
        pytest.param(NOW - 60, ads_data_manager(), LONGEST_JOB, NOW - 60 + 7_320 + LONGEST_JOB, id="a dataset"),
        pytest.param(NOW - 3_600, Destination(), LONGEST_JOB, NOW - 3_600 + EFFECTIVE + LONGEST_JOB, id="an hour ago"),
        pytest.param(NOW - EFFECTIVE - LONGEST_JOB, Destination(), LONGEST_JOB, None, id="36 hours ago"),
    ],
)
def test_erase_prints_when_the_last_removal_is_due(
    deployment: Deployment, sent: float, destination: Destination, longest: int, last_removal: float | None
) -> None:
    deployment.stack.parameters = {"Region": "NA", "LongestJobSeconds": str(longest)}
    deployment.record(change("m1"))
    (state,) = deployment.session().members.read([change("m1").member]).values()
    newest = replace(state.newest, destination=destination)
    deployment.session().members.write([replace(state, newest=newest, enter_sent=round(sent))])
    found = deployment.json(erase, ["m1"], yes=True, now=NOW)
    assert found["lastRemovalAt"] == (last_removal and iso_time(last_removal * 1000))
    assert ("until a last removal" in deployment.printed(erase, ["m1"], yes=True, now=NOW).out) is bool(last_removal)


def test_erase_asks_for_confirmation_and_an_email_address_is_sent_to_find(deployment: Deployment) -> None:
    deployment.record(change("m1"))
    assert deployment.declined(erase, ["m1"]) == "Erase m1 from every audience? [y/N] "
    for command in (lambda session, member: erase(session, [member]), show, erasure):
        assert "member find" in deployment.refusal(WrongUsage, command, "maya@example.com", yes=True).remedy
    assert deployment.bodies("ChangeQueue") == []
