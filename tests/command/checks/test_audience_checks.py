"""Why an audience is empty or small: one rule for each check, and which reason comes first."""

import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.job import Sizes
from audience_sync.amazon_ads.login import Token
from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.errors import AccessDenied, AuthorizationRefused, NotConnected, NotFound, RequestRejected
from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import MIN_FOR_DSP, State, Trend
from audience_sync.reasons import Reason
from audience_sync_cli.checks import delivered
from audience_sync_cli.checks.audience_checks import CHECKS, diagnose, likely_reasons
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.checks.readings import Unread
from audience_sync_cli.frame.errors import NotThere, OperatorError
from audience_sync_cli.frame.finding import Finding
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.counts import Depth
from audience_sync_cli.stack.member_counts import MemberCount
from audience_sync_cli.stack.stack_metrics import Traffic
from local.template import ROOT
from tests.command.conftest import NOW
from tests.support.aws_fixtures import AUDIENCE, CREDENTIALS, EVENT_KEY
from tests.support.command_lines import check_command_line
from tests.support.markdown import section

FULL = Sizes(received=5_000, matched=4_000, dsp=5_000)
AMC = replace(AUDIENCE, destination=amc_connection("connection-1"))
CONNECTED: dict[str, Any] = {"audience": AMC, "connections": frozenset({"connection-1"})}
THROTTLED = Blocker("throttled", "Amazon has returned 429.")
REFUSED = Blocker("authorization_refused", "Refused.", "Run `audience-sync connect`.", needs_person=True)
PAUSED = Blocker("paused", "The event source is disabled.", "Enable it.", needs_person=True)
EXPIRED, TWO_WAIT = {"token": Token("Atza|old", NOW - 1)}, {"change_queue": Depth(2, 0, 0)}


def members(inside: int = 5_000, *, ago: float = 3 * DAY, outside: int = 0) -> MemberCount:
    """Members of whom the last one entered some seconds ago."""
    return MemberCount(AUDIENCE, inside, outside, round((NOW - ago) * 1000) if inside else None)


def report(sizes: Sizes = FULL, **more: Any) -> AudienceReport:
    return AudienceReport(AUDIENCE.audience_id, sizes=sizes, **more)


HEALTHY: dict[str, Any] = {
    "ingest_secret": {"eventKey": EVENT_KEY},
    "credentials": CREDENTIALS,
    "token": Token("Atza|made-up", NOW + HOUR),
    "mappings": None,
    "delivers": True,
    "events_url": "https://api.example/v1/events",
    "traffic": Traffic(accepted=100, ignored=10, uploads=3),
    "rejections": {},
    "blockers": (),
    "change_queue": Depth(0, 0, 0),
    "parked": {},
    "members": members(),
    "report": report(),
    "connections": frozenset(),
    "terms_accepted": True,
    "lowest_processed": 100.0,
    "trend": Trend(State.USUAL, "Its size is that of its last eight weeks."),
}


def no_stack() -> Stack:
    raise NotThere("A check of what is known reads nothing.")


def readings(*, audience: Audience = AUDIENCE, is_listed: bool = True, **known: Any) -> AudienceReadings:
    """Return what is known about a healthy audience, with some differences."""
    session = Session(Screen(), no_stack, lambda: NOW)
    return AudienceReadings(session, audience, 7, is_listed=is_listed, known=HEALTHY | known)


def unread(message: str) -> Unread:
    return Unread(OperatorError(message, "Ask for that permission."))


def finding(check: str, given: AudienceReadings) -> Finding:
    (found,) = (each for each in diagnose(given) if each.name == check)
    return found


def test_every_check_of_a_healthy_audience_is_ok() -> None:
    found = diagnose(readings())
    assert [each for each in found if each.state != "ok" or each.remedy] == []
    assert [each.name for each in found] == [each.name for each in CHECKS]
    assert likely_reasons(found) == []


A_MONTH: dict[str, Any] = {"report": report(ttl=30 * DAY)}
NO_ID: dict[str, Any] = {"traffic": Traffic(ignored=1, rejected=8), "rejections": {"member_id_missing": 8}}
LACKING, UNKNOWN = {"country_invalid": 30, "consent_missing": 90}, {"no_identifier": 1, "a_reason_to_come": 1}
MOSTLY = "member_id_missing. Mostly: external_user_id, or a part of it, is empty. Map fields"
UNLISTED = "3 events of all audiences rejected in the last 7 days for naming no listed audience: 3 audience_"
GIVE_ACCESS = "2 job_rejected, 1 access_denied. Give the user who consented access"
RECENT: dict[str, Any] = {"members": members(ago=35 * HOUR)}
FOUND = [
    ("event key", {"ingest_secret": {"eventKey": "short"}}, "problem", "Too weak, not accepted."),
    ("event key", {"ingest_secret": unread("The secret is unreadable.")}, "problem", "The secret is unreadable."),
    ("Amazon credentials", {"credentials": {}}, "problem", "Not set: clientId, clientSecret, refreshToken."),
    ("mappings", {"mappings": "[]"}, "note", "Version ?, none enabled"),
    ("access token", {"traffic": Traffic(accepted=1, refreshes_failed=2)}, "note", "2 attempts to renew it failed"),
    ("access token", EXPIRED | {"report": None}, "problem", "Expired."),
    ("access token", EXPIRED | {"report": unread("No answer.")}, "problem", "Expired."),
    ("access token", EXPIRED, "note", "Expired."),
    ("delivery", {"delivers": False}, "problem", "Delivery is paused"),
    ("delivery", {"blockers": [PAUSED]}, "problem", "The event source is disabled. Enable it."),
    ("delivery", {"blockers": [THROTTLED]}, "ok", "Nothing"),
    ("listing", {"is_listed": False}, "problem", "audience_unknown"),
    ("listing", {"audience": replace(AUDIENCE, computation_key=None)}, "note", "without a computation key"),
    ("Amazon's audience", {"report": NotConnected("no")}, "problem", "not connected"),
    ("Amazon's audience", {"report": AuthorizationRefused("no")}, "problem", "refuses the stored"),
    ("Amazon's audience", {"report": NotFound("no", status=404)}, "problem", "Region"),
    ("Amazon's audience", {"report": AccessDenied("no", status=403)}, "problem", "denies"),
    ("Amazon's audience", {"report": RequestRejected("no", status=400)}, "problem", "refuses"),
    ("target and terms", {"audience": AMC}, "problem", "connection does not exist"),
    ("target and terms", CONNECTED | {"terms_accepted": False}, "problem", "are not accepted"),
    ("target and terms", CONNECTED, "note", "to AMC but not to Amazon DSP"),
    ("target and terms", CONNECTED | {"audience": replace(AMC, settings={"dsp": True})}, "ok", "AMC and Amazon DSP"),
    ("time to live", {"report": report(ttl=0)}, "problem", "is 0"),
    ("time to live", A_MONTH, "note", "30 days after"),
    ("time to live", A_MONTH | {"audience": replace(AUDIENCE, settings={"renew": True})}, "ok", "are re-sent"),
    ("requests", {"traffic": Traffic(unauthorized=3)}, "problem", "3 requests"),
    ("requests", {"traffic": Traffic(accepted=9, unauthorized=1)}, "note", "1 request with"),
    ("events", {"traffic": Traffic()}, "problem", "No event arrived in the last 7 days"),
    ("events", NO_ID, "problem", "0 accepted, 1 ignored, 8 rejected"),
    ("other rejections", NO_ID | {"rejections": {"member_id_missing": 2}}, "problem", f"2 {MOSTLY}"),
    ("events", {"traffic": Traffic(ignored=4)}, "problem", "all were ignored"),
    ("audience of the events", {"rejections": {"audience_unknown": 3, "no_identifier": 9}}, "note", UNLISTED),
    ("consent and country", {"rejections": LACKING}, "problem", "90 consent_missing, 30 country_invalid"),
    ("other rejections", {"rejections": UNKNOWN, "members": members(0)}, "note", "1 a_reason_to_come, 1 no_identifier"),
    ("entries", {"members": members(0)}, "problem", "No accepted event has named it"),
    ("entries", {"members": members(0, outside=2)}, "problem", "2 members left"),
    ("entries", {"members": members(3, ago=8 * DAY)}, "note", "Does Segment still"),
    ("entries", {"members": None}, "ok", "left out"),
    ("waiting changes", TWO_WAIT, "note", "2 messages"),
    ("waiting changes", TWO_WAIT | {"blockers": [THROTTLED]}, "note", "in the change queue. Amazon has returned 429."),
    ("waiting changes", TWO_WAIT | {"traffic": Traffic(accepted=1, uploads_failed=4)}, "problem", "4 uploads failed"),
    ("parked changes", {"parked": {"job_rejected": 2}}, "note", "2 dead letters"),
    ("parked changes", {"parked": {"job_rejected": 2, "access_denied": 1}}, "problem", GIVE_ACCESS),
    ("jobs", {"lowest_processed": None}, "ok", "No Amazon job"),
    ("jobs", {"lowest_processed": 97.4}, "note", "in the last 7 days. The others are sent again"),
    ("processing time", RECENT | {"report": report(replace(FULL, dsp=None))}, "note", "up to 36 hours"),
    ("processing time", RECENT, "ok", "36 hours"),
    ("size", {"report": report(Sizes())}, "note", "no size yet"),
    ("size", {"report": report(Sizes()), "members": members(0)}, "ok", "Not known"),
    ("processing time", {"members": members(ago=0), "report": NotConnected("no")}, "ok", "Not known: Amazon refused"),
    ("size", {"report": AuthorizationRefused("no")}, "ok", "Not known: Amazon refused"),
    ("size", {"report": report(replace(FULL, received=4_499))}, "note", "4,499 records"),
    ("size", {"report": report(replace(FULL, received=4_500))}, "ok", "4,500 records"),
    ("size", {"members": None}, "ok", "5,000 records."),
    ("country", {"audience": replace(AUDIENCE, country=None)}, "note", "no country"),
    ("country", {"audience": replace(AUDIENCE, country="IE")}, "note", "IE is not"),
    ("match rate", {"report": report(Sizes(1000, 99))}, "problem", "9.9%"),
    ("match rate", {"report": report(Sizes(1000, 100))}, "note", "10.0%"),
    ("match rate", {"report": report(Sizes(99, 0))}, "ok", "too few for a finding"),
    ("match rate", {"report": report(Sizes(1000, 500))}, "ok", "50.0%"),
    ("match rate", {"report": report(Sizes())}, "ok", "Not known"),
    ("minimum for DSP", {"report": report(Sizes(9_000, 1_999))}, "note", "1,999"),
    ("minimum for DSP", {"report": report(Sizes(9_000, 2_000))}, "ok", "2,000"),
    ("minimum for DSP", {"audience": AMC}, "ok", "does not apply"),
    ("last weeks", {}, "ok", "of its last eight weeks"),
    ("last weeks", {"trend": Trend(State.UNKNOWN, "Shorter than three weeks.")}, "ok", "three weeks"),
    ("last weeks", {"trend": Trend(State.SILENT, "Nothing has been uploaded.")}, "note", "Nothing has"),
    ("last weeks", {"trend": Trend(State.MATCH_RATE_FELL, "Amazon matches 3%.")}, "note", "matches 3%"),
]


@pytest.mark.parametrize(("check", "known", "state", "says"), FOUND, ids=[f"{it[0]}: {it[2]}, {it[3]}" for it in FOUND])
def test_each_check_reports_the_state_of_its_readings(check: str, known: dict[str, Any], state: str, says: str) -> None:
    found = finding(check, readings(**known))
    assert (found.state, says in found.found) == (state, True), found
    assert bool(found.remedy) == (state != "ok"), "what is not ok has a next command"


def test_the_document_explains_each_check_in_order_with_its_thresholds_and_countries() -> None:
    text = (ROOT / "docs/empty-audience.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (.+)$", section(text, "The checks"), re.MULTILINE) == [check.name for check in CHECKS]
    rates = (f"Below {delivered.NEAR_ZERO:.0f} %", f"below {delivered.HALF:.0f} %", f"than {delivered.EXPECTED} %")
    for figure in (f"within {delivered.SHOWN_WITHIN} hours", f"needs {MIN_FOR_DSP:,} matched", *rates):
        assert figure in text
    setup = (ROOT / "docs/amazon-setup.md").read_text(encoding="utf-8")
    assert f"in {len(COUNTRIES)} countries: {' '.join(sorted(COUNTRIES))}." in " ".join(setup.split())


def test_a_reading_that_fails_leaves_its_checks_unread_and_the_others_run() -> None:
    denied = unread("AWS does not allow you to call GetMetricData.")
    found = diagnose(readings(traffic=denied, rejections={"audience_unknown": 1}))
    unchecked = {each.name for each in found if each.state == "unread"}
    assert unchecked == {"access token", "requests", "events", "audience of the events", "waiting changes"}
    assert {each.found for each in found if each.name in unchecked} == {str(denied.error)}
    assert {each.state for each in found if each.name not in unchecked} == {"ok"}


def test_an_unlisted_audience_gets_the_checks_of_the_stack() -> None:
    found = diagnose(readings(audience=Audience("no_such_key"), is_listed=False, report=None, members=None))
    assert [each.name for each in found] == [each.name for each in CHECKS if each.scope == "stack"]
    assert [each.name for each in likely_reasons(found)] == ["listing"]


def test_problems_come_before_notes_and_the_earlier_check_first() -> None:
    audience = replace(AUDIENCE, computation_key=None, country=None)
    found = diagnose(readings(audience=audience, traffic=Traffic(unauthorized=1), members=members(0)))
    checks = [each.name for each in likely_reasons(found)]
    assert checks == ["requests", "listing", "country"], "no event and no member follow from the wrong key"


def test_a_missing_consent_signal_is_the_first_reason() -> None:
    given = readings(
        audience=replace(AUDIENCE, country="GB"),
        traffic=Traffic(accepted=3_912, ignored=57, rejected=6_204, uploads=4),
        rejections={"consent_missing": 6_198, "no_identifier": 6},
        members=members(3_870, ago=5 * HOUR),
        report=report(Sizes(received=3_870, matched=1_742)),
    )
    consent, *others = likely_reasons(diagnose(given))
    assert (consent.name, consent.state) == ("consent and country", "problem")
    assert "6,198 consent_missing. Mostly: additions from the UK" in consent.found
    names = ["other rejections", "processing time", "match rate", "minimum for DSP"]
    assert [(each.name, each.state) for each in others] == [(name, "note") for name in names]


def test_an_audience_that_no_event_names_comes_first_and_rejections_for_any_audience_last() -> None:
    traffic, rejections = Traffic(accepted=1, rejected=1, unauthorized=1), {"member_id_missing": 1}
    first, *_, last = likely_reasons(diagnose(readings(traffic=traffic, rejections=rejections, members=members(0))))
    assert (first.name, last.name) == ("entries", "other rejections")
    assert f"the computation key {AUDIENCE.computation_key}" in first.found


AHEAD: dict[str, Any] = {"traffic": Traffic(rejected=8), "rejections": {"time_ahead": 8}}
STUCK = {"traffic": Traffic(accepted=8, uploads_failed=4), "members": members(), "change_queue": Depth(1, 0, 0)}


@pytest.mark.parametrize(
    ("known", "first", "next_command"),
    [
        pytest.param({}, "events", f"send --sample track --audience {AUDIENCE.computation_key} --wait", id="no event"),
        pytest.param(NO_ID, "other rejections", "mappings try event.json", id="the mapping finds no member id"),
        pytest.param(AHEAD, "other rejections", "rejections --since 7d", id="no mapping can help"),
        pytest.param(STUCK | {"blockers": [REFUSED]}, "delivery", "connect", id="a person must connect again"),
    ],
)
def test_a_consequence_of_a_problem_is_no_reason_itself(known: dict[str, Any], first: str, next_command: str) -> None:
    given: dict[str, Any] = {"traffic": Traffic(), "members": members(0)} | known
    (reason,) = likely_reasons(diagnose(readings(**given)))
    assert (reason.name, reason.remedy) == (first, f"audience-sync {next_command}")


def test_a_remedy_that_is_one_command_is_printed_once() -> None:
    found = likely_reasons(diagnose(readings(blockers=[REFUSED], report=AuthorizationRefused("no"))))
    named = [(each.name, each.remedy in each.found) for each in found if each.remedy == "audience-sync connect"]
    assert named == [("delivery", False), ("Amazon's audience", False)]


numbers = st.integers(0, 10_000)
sizes = st.builds(Sizes, *[st.none() | numbers] * 3)
counts = st.dictionaries(st.sampled_from(Reason), st.integers(1, 99))
any_readings = st.builds(
    readings,
    audience=st.sampled_from([AUDIENCE, AMC, Audience("5"), replace(AMC, settings={"dsp": True}, country="IE")]),
    is_listed=st.booleans(),
    traffic=st.builds(Traffic, *[st.sampled_from([0, 1, 2_000])] * 7),
    rejections=counts,
    parked=counts,
    change_queue=st.builds(Depth, numbers, numbers, numbers),
    members=st.none() | st.builds(members, numbers, ago=st.floats(-HOUR, 400 * DAY), outside=numbers),
    report=st.builds(report, sizes, ttl=st.none() | st.integers(0, 34_300_800)) | st.just(NotConnected("no")),
    connections=st.sampled_from([frozenset[str](), frozenset({"connection-1"})]),
    terms_accepted=st.booleans(),
    lowest_processed=st.none() | st.floats(0, 100),
)


@given(any_readings)
def test_every_finding_is_a_sentence_with_a_command_that_exists(given: AudienceReadings) -> None:
    found = diagnose(given)
    for each in found:
        assert each.found[0].isupper() or each.found[0].isdigit()
        assert each.found[-1] in ".?"
        if each.remedy.startswith("audience-sync "):
            check_command_line(shlex.split(each.remedy)[1:])
    reasons = likely_reasons(found)
    assert {each.name for each in reasons} <= {each.name for each in found if each.state != "ok"}
    states = {each.state for each in found}
    assert {each.state for each in reasons} >= states - {"ok", "note"}, "only a problem explains another problem"
