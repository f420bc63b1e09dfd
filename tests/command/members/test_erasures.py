"""The proof of one person's erasure, and the list of all that are open."""

import hashlib
import html
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.member_state import LateJob, MemberState
from audience_sync.members.membership import Audience, Destination, FilledBy, Identity, MembershipChange
from audience_sync_cli.frame.errors import NotThere, ReportedAsNotThere, WrongUsage
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.members import erasures
from audience_sync_cli.members.erasing import erase
from audience_sync_cli.members.member import show
from audience_sync_cli.members.proof import erasure
from local.template import ROOT
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE
from tests.support.builders import notice

AT = round(NOW) - 3_600  # epoch seconds, at which the notice was recorded
DATASET = Audience(
    "adm-ds-1", "Big spenders, größer", destination=ads_data_manager(), unlinked_at=5_000, filled_by=FilledBy.STACK
)
CONSENT = {"consent": {"tcf": "CPXxRfAPXxRfAAfKABENB"}}
PRIVACY = ROOT / "docs/privacy.md"


def step(kind: StepKind, name: str, sent: int, ended: int) -> ErasureStep:
    """A step that was sent and has ended so many seconds after the notice was recorded."""
    return ErasureStep(kind, name, (AT + sent) * 1000, (AT + ended) * 1000)


REMOVED = step(StepKind.REMOVAL, "0138b94e-2f2f-4e35-b1a7-9c76cfd55235", 2, 900)
DELETED = step(StepKind.DELETION, "-", 3, 7_300)


def recorded(deployment: Deployment, person: str, *steps: ErasureStep, at: int = AT, **options: Any) -> None:
    """Record a deletion notice, or a denial, at an epoch second."""
    first = ErasureStep(StepKind(options.pop("kind", "notice")), f"notice-{person}", at * 1000 - 500, at * 1000)
    row = reflecting(notice(person, first.at), removal_sent=at, erasure=(first, *steps), **options)
    deployment.session().members.write([row])


def in_audience(deployment: Deployment, audience: Audience, *steps: ErasureStep, **fields: Any) -> None:
    """Write the row of m1 in an audience, which reflects the notice."""
    about: dict[str, Any] = {"at": AT * 1000 - 500, "audience_id": audience.audience_id, "message_id": "notice-m1"}
    newest = change("m1", exits=True, country="DE", consent=CONSENT, **about)
    row = replace(reflecting(newest, removal_sent=AT + 2, erasure=steps), **fields)
    (stored,) = deployment.session().members.write([row])
    assert isinstance(stored, MemberState)


def reflecting(left: MembershipChange, **fields: Any) -> MemberState:
    """Return a row that an exit has led to."""
    return MemberState(left, last_exit=left.version, erase_until=left.at, **fields)


@pytest.fixture(autouse=True)
def listed(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.list_audience(DATASET)


@pytest.fixture
def erased(deployment: Deployment) -> None:
    """A person was erased from an audience of each API."""
    recorded(deployment, "m1")
    in_audience(deployment, AUDIENCE, REMOVED)
    in_audience(deployment, DATASET, DELETED)


def shown_of(deployment: Deployment, *about: Any, **options: Any) -> str:
    """Return what the report prints, on one line."""
    return " ".join(deployment.printed(erasure, *about, **options).out.split())


def remaining(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [tuple(each.values()) for each in report["remains"]]


ID_ONLY, WITH_HASHES = "external user id; no identifiers", "external user id and hashed identifiers"
BACKUPS = "automatic backups of the membership table"
KEPT: dict[str, Any] = {"identities": (Identity(AT * 1000 - 600, {"email": "0" * 64}),)}


@pytest.mark.usefixtures("erased")
def test_a_finished_erasure_is_proven_for_both_apis(deployment: Deployment) -> None:
    deployment.park(change("m1", at=5), at=NOW)
    found = deployment.json(erasure, "m1", now=NOW + DAY)
    assert (found["state"], found["amazonUntil"][:10]) == ("amazon_deletes", "2027-02-14")
    (came,) = found["notices"]
    assert (came["kind"], came["messageId"], came["recordedAt"]) == ("notice", "notice-m1", "2027-01-15T07:00:00.000Z")
    audience, dataset = sorted(found["audiences"], key=lambda each: str(each["api"]))
    assert (audience["outcome"], audience["uploads"][0]["id"]) == ("removed", REMOVED.id)
    assert (dataset["outcome"], dataset["unlinkedAt"]) == ("amazon_deletes", "1970-01-01T00:00:05.000Z")
    assert [(each["kind"], each["id"]) for each in dataset["uploads"]] == [("deletion", None)]
    remains = {each["where"]: (each["holds"], (each["until"] or "")[:10]) for each in found["remains"]}
    assert remains["record of Lapsed premium buyers"] == (ID_ONLY, "2027-02-24")
    assert remains["dead letters: 1"] == (WITH_HASHES, "2027-01-29")
    assert remains["job queue"] == (ID_ONLY, "2027-01-22")
    assert remains[BACKUPS] == (ID_ONLY, "2027-03-31")
    assert remains["Amazon"] == ("what it received, for a time its API does not state", "")
    assert [each.split()[0] for each in found["notProven"]] == ["Ads", "The", "Amazon", "The", "Amazon's"]
    after = deployment.json(erasure, "m1", now=NOW + 31 * DAY)
    assert (after["state"], after["since"]) == ("closed", found["amazonUntil"])
    assert found["conclusion"].endswith("for which it has until 2027-02-14. Make the report again then.")
    assert after["conclusion"].startswith("Proven: in each audience above, the person was removed")
    assert "a change from before the request still waits" not in str(after["remains"])


@pytest.mark.parametrize(("filled_by", "caveat"), [("others", "Another system has sent"), ("unknown", "may have sent")])
def test_nothing_is_proven_if_another_system_may_have_filled_an_audience(
    deployment: Deployment, filled_by: str, caveat: str
) -> None:
    deployment.list_audience(replace(AUDIENCE, filled_by=FilledBy(filled_by)))
    in_audience(deployment, AUDIENCE, REMOVED)
    for person, state, plan in (("m1", "closed", None), ("nobody", "unknown_id", ErasurePlan())):
        recorded(deployment, person, plan=plan)
        report = deployment.json(erasure, person, now=NOW)
        assert (report["state"], "Proven" in report["conclusion"]) == (state, False)
        assert caveat in " ".join(report["notProven"])
    assert "Another system may have sent more" in shown_of(deployment, "m1")
    assert caveat in deployment.printed(erasure).out, "which lists an unknown id"
    assert caveat in deployment.printed(erase, ["nobody"], raises=ReportedAsNotThere).err
    assert caveat in deployment.printed(show, "m1").err
    assert caveat in deployment.refusal(NotThere, show, "stranger").remedy


def test_the_report_fits_80_columns_and_holds_no_personal_data_but_the_id(deployment: Deployment) -> None:
    recorded(deployment, "m1")
    in_audience(deployment, AUDIENCE, REMOVED)
    in_audience(deployment, DATASET, REMOVED, **KEPT)
    shown = deployment.printed(erasure, "m1", now=NOW + DAY).out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "Open: the end of the removal is not recorded." in shown
    for text in (shown, json.dumps(deployment.json(erasure, "m1", now=NOW + DAY))):
        assert not re.search(r"0{64}|CPX|\bDE\b", text)


@pytest.mark.usefixtures("erased")
def test_a_report_begins_with_person_stack_date_and_digest_and_ends_with_a_conclusion(deployment: Deployment) -> None:
    deployment.stack.version = "0.0.1"
    report = deployment.json(erasure, "m1", now=NOW + DAY)
    own, shown = version("audience-sync"), shown_of(deployment, "m1", now=NOW + DAY)
    assert shown.startswith(
        "Report on the erasure of personal data Person m1 (external user id) Stack tests, version 0.0.1 "
        f"Date 2027-01-16 08:00:00 UTC, by audience-sync {own} State waiting for Amazon since 2027-01-15 09:01:40 UTC; "
        f"Amazon has until 2027-02-14 07:00:03 UTC SHA-256 {report['digest']} of the JSON document"
    )
    assert shown.endswith(f"Conclusion {report['conclusion']}")
    assert (report["version"], report["commandVersion"]) == ("0.0.1", own)


def test_head_and_conclusion_say_that_the_person_entered_again(deployment: Deployment) -> None:
    recorded(deployment, "m1")
    in_audience(deployment, AUDIENCE, REMOVED, newest=change("m1", at=(AT + 1_800) * 1000))
    shown = shown_of(deployment, "m1", now=NOW)
    assert "UTC; may come back by an event, or by a file after 2027-02-24 07:00:00 UTC The person entered" in shown
    assert shown.endswith("The person entered again on 2027-01-15: data from then on is not part of this erasure.")


@pytest.mark.usefixtures("erased")
def test_the_html_report_escapes_names_and_never_overwrites_a_file(deployment: Deployment, tmp_path: Path) -> None:
    deployment.list_audience(replace(AUDIENCE, name="<script>alert(1)</script> & \x1b[2J"))
    page = tmp_path / "m1.html"
    report = deployment.json(erasure, "m1", page=page, now=NOW)
    written = page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    assert not re.search(r"<script|<link|<img|<a |src=|href=|url\(|@import|https?:|\x1b", written)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; \\x1b[2J (" in written
    assert "@page { size: A4" in written
    for sentence in (*report["notProven"], report["conclusion"], report["digest"]):
        assert html.escape(sentence) in written
    deployment.printed(erasure, "m1", page=page, now=NOW, raises=WrongUsage)
    assert page.read_text(encoding="utf-8") == written


@pytest.mark.usefixtures("erased")
def test_the_documented_command_computes_the_digest(deployment: Deployment, tmp_path: Path) -> None:
    printed = deployment.printed(erasure, "m1", now=NOW, as_json=True).out
    (tmp_path / "cust_1001.json").write_text(printed, encoding="utf-8")
    (line,) = re.findall(r"^jq .+$", PRIVACY.read_text(encoding="utf-8"), re.MULTILINE)
    assert line == "jq -cjS 'del(.digest)' cust_1001.json | sha256sum"
    report = json.loads(printed)
    rest = {name: value for name, value in report.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "größer" in text
    computed = {hashlib.sha256(text.encode()).hexdigest()}
    if shutil.which("jq"):
        ran = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
        computed.add(ran.stdout.split()[0])
    assert computed == {report["digest"]}


def test_the_report_of_an_open_erasure_says_what_is_missing(deployment: Deployment) -> None:
    recorded(deployment, "m1", kind="denial")
    late = (LateJob("job-9", AT - 60, AT),)
    in_audience(deployment, AUDIENCE, REMOVED, **KEPT, enters_effective_by=AT + 1, late_jobs=late)
    lines = deployment.printed(erasure, "m1", now=NOW).out.splitlines()
    state, due = (
        "open since 2027-01-15 07:00:00 UTC: not finished",
        "the last removal is due on 2027-01-18 06:59:00 UTC.",
    )
    assert {f"  State    {state}", f"  Open: {due}", "  Late job: job-9"} <= {*lines}
    shown = " ".join(" ".join(lines).split())
    assert "Consent denied on 2027-01-15 06:59:59 UTC, recorded on 2027-01-15 07:00:00 UTC." in shown
    assert f"record of Lapsed premium buyers: {WITH_HASHES}" in shown
    assert "The erasure is not finished. This report proves only the steps that it lists" in shown


def test_the_report_shows_the_deletion_before_and_after_amazon_accepts_it(deployment: Deployment) -> None:
    plan = ErasurePlan(("adm-ds-1",), (), AT, AT + 7_320)
    recorded(deployment, "m1", kind="denial", plan=plan)
    in_audience(deployment, DATASET, enter_sent=AT - 5)
    due = "Deletion from all datasets: due on 2027-01-15 09:02:00 UTC, not accepted by Amazon."
    assert due in shown_of(deployment, "m1", now=NOW + DAY)
    assert deployment.json(erasure, now=NOW)[0]["missing"] == {"deletion_not_accepted": 1}
    recorded(deployment, "m2", DELETED, kind="denial", plan=plan)
    accepted = "Amazon accepted the deletion from all datasets on 2027-01-15 07:00:03 UTC."
    shown = shown_of(deployment, "m2", now=NOW + DAY)
    caveats = ("does not report the end", "a share that had already been revoked", "this external user id only")
    assert [each for each in (accepted, *caveats) if each not in shown] == []


def test_the_erasure_of_an_unknown_id_is_neither_closed_nor_listed(deployment: Deployment) -> None:
    recorded(deployment, "nobody-here", plan=ErasurePlan())
    found = deployment.json(erasure, "nobody-here", now=NOW + DAY)
    assert found["state"] == "unknown_id"
    assert found["notProven"][0].startswith("No audience knew this id when the notice was recorded,")
    assert [each["closed"] for each in deployment.json(erasure, now=NOW + DAY)] == [True]
    state = "State unknown id: no audience knew it when the request was recorded"
    assert state in shown_of(deployment, "nobody-here", now=NOW)
    assert found["conclusion"].startswith("This report proves no deletion: no audience knew this id.")


def test_the_report_names_an_audience_without_its_row_and_needs_a_recorded_notice(deployment: Deployment) -> None:
    recorded(deployment, "m1", plan=ErasurePlan((AUDIENCE.audience_id,)))
    (found,) = deployment.json(erasure, "m1", now=NOW + DAY)["audiences"]
    assert (found["audienceId"], found["missing"], found["uploads"]) == (AUDIENCE.audience_id, "row_missing", [])
    deployment.record(change("m2"))
    for person in ("m2", "m3"):
        assert "No deletion notice" in str(deployment.refusal(NotThere, erasure, person))


def test_uploads_under_way_and_queued_changes_are_listed_as_remaining(deployment: Deployment) -> None:
    """No step tells of them yet."""
    recorded(deployment, "m1")
    in_audience(deployment, AUDIENCE, **KEPT)
    waiting = f"{WITH_HASHES}, if a change from before the request still waits"
    undelivered = f"{WITH_HASHES}, if such a change cannot be delivered"
    expected = {
        ("job queue", ID_ONLY, iso_time((AT + 2 + 7 * DAY) * 1000)),
        ("change queue", waiting, iso_time((AT + 7 * DAY) * 1000)),
        ("dead letters", undelivered, iso_time((AT + 21 * DAY) * 1000)),
    }
    assert expected <= {*remaining(deployment.json(erasure, "m1", now=NOW))}
    for days, left in ((8, {"dead letters"}), (22, set())):
        found = {where for where, *_ in remaining(deployment.json(erasure, "m1", now=NOW + days * DAY))}
        assert found & {"job queue", "change queue", "dead letters"} == left


@pytest.mark.usefixtures("erased", "event_queue")
def test_events_in_plain_text_that_may_be_left_in_the_event_queue_are_listed(deployment: Deployment) -> None:
    holds = "events in plain text, if one from before the request"
    waiting = ("event queue", f"{holds} still waits", iso_time((AT + 7 * DAY) * 1000))
    parked = ("event dead letters", f"{holds} could not be used", iso_time((AT + 21 * DAY) * 1000))
    for days, expected in ((0, {waiting, parked}), (8, {parked}), (22, set())):
        found = deployment.json(erasure, "m1", now=NOW + days * DAY)
        assert {each for each in remaining(found) if each[0].startswith("event")} == expected
    assert f"{parked[0]}: {holds} could" in shown_of(deployment, "m1", now=NOW)


def test_an_audience_of_an_unknown_api_hides_no_other(deployment: Deployment) -> None:
    unknown = replace(AUDIENCE, audience_id="9", destination=Destination.of({"api": "newer"}))
    deployment.list_audience(unknown)
    recorded(deployment, "m1")
    for each in (AUDIENCE, unknown):
        in_audience(deployment, each, REMOVED)
    assert [each["api"] for each in deployment.json(erasure, "m1")["audiences"]] == ["audiences", "newer"]
    assert "(9), newer" in deployment.printed(erasure, "m1").out


def test_a_second_notice_does_not_hide_the_uploads_of_the_first(deployment: Deployment) -> None:
    recorded(deployment, "m1", step(StepKind.CLOSED, "", 900, 7_200), step(StepKind.NOTICE, "second", 0, DAY))
    in_audience(deployment, AUDIENCE, REMOVED)
    found = deployment.json(erasure, "m1", now=NOW + 2 * DAY)
    (audience,) = found["audiences"]
    assert [each["messageId"] for each in found["notices"]] == ["notice-m1", "second"]
    assert (audience["outcome"], [each["id"] for each in audience["uploads"]]) == ("nothing_held", [REMOVED.id])


def test_a_notice_of_an_older_version_is_shown_without_its_uploads(deployment: Deployment) -> None:
    exit_ = change("m1", at=2_000, exits=True, message_id="notice-m1", erase=True)
    deployment.record(change("m1"), notice("m1", 2_000), exit_)
    (state,) = deployment.session().members.read([change("m1").member]).values()
    deployment.session().members.write([replace(state, identities=())])
    now = round(time.time())
    deployment.stack.parameters = {"RecoveryPeriodInDays": "7"}
    found = deployment.json(erasure, "m1", now=now)
    assert [each["messageId"] for each in found["notices"]] == ["notice-m1"]
    assert any("older version" in each for each in found["notProven"])
    # When the identifiers were erased is not known, so earlier points in time may have them until then.
    assert (BACKUPS, WITH_HASHES, iso_time((now + 7 * DAY) * 1000)) in remaining(found)


def test_all_erasures_are_listed_done_ones_first_and_of_these_the_newest(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(deployment, "m1", at=AT - 6 * DAY)
    in_audience(deployment, AUDIENCE, removal_owed=True, **KEPT)
    recorded(deployment, "nobody")
    recorded(deployment, "done", step(StepKind.CLOSED, "", 0, 3_600), at=AT - 7 * DAY, kind="denial")
    everyone = deployment.json(erasure, now=NOW)
    assert [(each["member"], each["closed"]) for each in everyone] == [("done", True), ("nobody", True), ("m1", False)]
    times = dict.fromkeys(("recordedAt", "since"), "2027-01-09T07:00:00.000Z") | {"amazonUntil": None}
    state = {"state": "open", "closed": False, "overdue": True, "missing": {"removal_rejected": 1}}
    assert everyone[-1] == {"member": "m1", "kinds": ["notice"], **times, **state}
    monkeypatch.setattr(erasures, "SHOWN", 1)
    shown = deployment.printed(erasure, now=NOW).out
    assert ("nobody" in shown, "done   " in shown) == (True, False)
    assert re.search(r"m1 +notice +2027-01-09 07:00 +6 days, overdue +open +removal rejected", shown)
    assert "1 erasure open; 0 done here and waiting for Amazon to delete; 2 done, of which --json lists all." in shown
    assert deployment.printed(erasure, now=NOW + 40 * DAY).out.startswith("0 erasures open")


def test_an_open_erasure_alone_is_closed_by_hand_and_the_report_keeps_the_note(deployment: Deployment) -> None:
    recorded(deployment, "m1")
    in_audience(deployment, DATASET, REMOVED, **KEPT)
    note = "removed in the console"
    closed = deployment.json(erasure, "m1", close=f"  {note} ", now=NOW + 9 * DAY, yes=True)
    assert (closed["note"], closed["closedAt"]) == (note, iso_time(round(NOW + 9 * DAY) * 1000))
    assert [each["overdue"] for each in deployment.json(erasure, now=NOW + 9 * DAY)] == [False]
    assert "closed by hand" in deployment.printed(erasure, now=NOW + 9 * DAY).out
    report = deployment.json(erasure, "m1", now=NOW + 10 * DAY)
    assert (report["state"], report["closedByHand"]["note"]) == ("open", note)
    closed_on = f"Closed by hand on 2027-01-24 08:00:00 UTC, with the note: {note}"
    assert closed_on in shown_of(deployment, "m1", now=NOW + 10 * DAY)
    recorded(deployment, "m2")
    for *about, text in ("m1", note), ("m1", "-", note), ("m2", "it is not open"), ("m2", " "), ("m2", "a" * 201):
        deployment.refusal(WrongUsage, erasure, *about, close=text, now=NOW + 10 * DAY)
