"""Why an audience is empty or small: one rule for each check, and which reason comes first."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.destination import of_connection
from audience_sync.amazon_ads.job import Sizes
from audience_sync.errors import AccessDenied, AuthorizationRefused, NotConnected, NotFound, RequestRejected
from audience_sync.members.membership import Audience
from audience_sync.reasons import Reason
from audience_sync_cli.diagnosis.checks import CHECKS, Finding, diagnose, likely_reasons
from audience_sync_cli.diagnosis.counts import Traffic
from audience_sync_cli.diagnosis.facts import Facts
from audience_sync_cli.errors import OperatorError
from audience_sync_cli.health.stack_checks import Finding as Part
from audience_sync_cli.members.counts import MemberCount
from audience_sync_cli.state.blockers import Blocker
from tests.aws_fixtures import AUDIENCE
from tests.command.command_lines import check_command_line

NOW = 1_800_000_000.0  # epoch seconds
DAY, HOUR = 86_400, 3_600  # seconds
FULL = Sizes(received=5_000, matched=4_000, dsp=5_000)
AMC = replace(AUDIENCE, destination=of_connection("connection-1"))


def part(name: str, state: Any = "ok", found: str = "fine", remedy: str = "") -> dict[str, Part]:
    return {name: Part(name, state, found, remedy)}


def members(inside: int = 5_000, *, ago: float = 3 * DAY, outside: int = 0) -> MemberCount:
    """Members of whom the last one entered some seconds ago."""
    return MemberCount(AUDIENCE, inside, outside, round((NOW - ago) * 1000) if inside else None)


def report(sizes: Sizes = FULL, **more: Any) -> AudienceReport:
    return AudienceReport(AUDIENCE.audience_id, sizes=sizes, **more)


PARTS = part("event key") | part("Amazon credentials") | part("access token") | part("mappings")
HEALTHY = Facts(
    now=NOW,
    days=7,
    audience=AUDIENCE,
    parts=PARTS,
    traffic=Traffic(accepted=100, ignored=10, uploads=3),
    members=members(),
    report=report(),
    lowest_processed=100.0,
)


def finding(check: str, facts: Facts) -> Finding:
    (found,) = (each for each in diagnose(facts) if each.check == check)
    return found


def test_of_a_healthy_audience_every_check_is_ok() -> None:
    found = diagnose(HEALTHY)
    assert [each for each in found if each.state != "ok" or each.next] == []
    assert [each.check for each in found] == [each.name for each in CHECKS]
    assert likely_reasons(found) == []


JUDGED = [
    (
        "event key",
        {"parts": PARTS | part("event key", "missing", "too weak, not accepted", "audience-sync keys rotate event")},
        "problem",
        "Too weak, not accepted.",
    ),
    (
        "event key",
        {"parts": part("ingest secret", "missing", "The secret is unreadable.")},
        "problem",
        "The secret is unreadable.",
    ),
    (
        "mappings",
        {"parts": PARTS | part("mappings", "note", "version 1, none enabled", "audience-sync mappings show")},
        "look",
        "Version 1, none enabled.",
    ),
    ("access token", {"traffic": Traffic(accepted=1, refreshes_failed=2)}, "look", "2 attempts to renew it failed"),
    (
        "access token",
        {"parts": PARTS | part("access token", "missing", "expired", "audience-sync connect"), "report": None},
        "problem",
        "Expired.",
    ),
    (
        "access token",
        {"parts": PARTS | part("access token", "missing", "expired", "audience-sync connect")},
        "look",
        "Expired.",
    ),
    ("delivery", {"delivers": False}, "problem", "Delivery is paused"),
    (
        "delivery",
        {"blockers": [Blocker("paused", "The event source is disabled.", "Enable it.", needs_person=True)]},
        "problem",
        "The event source is disabled. Enable it.",
    ),
    ("delivery", {"blockers": [Blocker("throttled", "It waits.")]}, "ok", "Nothing"),
    ("listing", {"is_listed": False}, "problem", "audience_unknown"),
    ("listing", {"audience": replace(AUDIENCE, computation_key=None)}, "look", "without a computation key"),
    ("Amazon's audience", {"report": NotConnected("no")}, "problem", "not connected"),
    ("Amazon's audience", {"report": AuthorizationRefused("no")}, "problem", "refuses the stored"),
    ("Amazon's audience", {"report": NotFound("no", status=404)}, "problem", "Region"),
    ("Amazon's audience", {"report": AccessDenied("no", status=403)}, "problem", "denies"),
    ("Amazon's audience", {"report": RequestRejected("no", status=400)}, "problem", "refuses"),
    ("target and terms", {"audience": AMC}, "problem", "connection does not exist"),
    (
        "target and terms",
        {"audience": AMC, "connections": frozenset({"connection-1"}), "terms_accepted": False},
        "problem",
        "are not accepted",
    ),
    (
        "target and terms",
        {"audience": AMC, "connections": frozenset({"connection-1"})},
        "look",
        "to AMC but not to Amazon DSP",
    ),
    (
        "target and terms",
        {"audience": replace(AMC, settings={"dsp": True}), "connections": frozenset({"connection-1"})},
        "ok",
        "AMC and Amazon DSP",
    ),
    ("time to live", {"report": report(ttl=0)}, "problem", "is 0"),
    ("time to live", {"report": report(ttl=30 * DAY)}, "look", "30 days after"),
    (
        "time to live",
        {"report": report(ttl=30 * DAY), "audience": replace(AUDIENCE, settings={"renew": True})},
        "ok",
        "are re-sent",
    ),
    ("requests", {"traffic": Traffic(unauthorized=3)}, "problem", "3 requests"),
    ("requests", {"traffic": Traffic(accepted=9, unauthorized=1)}, "look", "1 request with"),
    ("events", {"traffic": Traffic()}, "problem", "No event arrived in the last 7 days"),
    (
        "events",
        {"traffic": Traffic(ignored=1, rejected=8), "rejections": {"member_id_missing": 8}},
        "problem",
        "0 accepted, 1 ignored, 8 rejected",
    ),
    (
        "other rejections",
        {"traffic": Traffic(rejected=8), "rejections": {"member_id_missing": 2}},
        "problem",
        "2 member_id_missing. Mostly: external_user_id, or a part of it, is empty. Map fields",
    ),
    ("events", {"traffic": Traffic(ignored=4)}, "problem", "all were ignored"),
    (
        "audience of the events",
        {"rejections": {"audience_unknown": 3, "no_identifier": 9}},
        "look",
        "3 events of all audiences rejected in the last 7 days for naming no listed audience: 3 audience_",
    ),
    (
        "consent and country",
        {"rejections": {"country_invalid": 30, "consent_missing": 90}},
        "problem",
        "90 consent_missing, 30 country_invalid",
    ),
    (
        "other rejections",
        {"rejections": {"no_identifier": 1, "a_reason_to_come": 1}, "members": members(0)},
        "problem",
        "1 a_reason_to_come, 1 no_identifier",
    ),
    ("entries", {"members": members(0)}, "problem", "no current member"),
    ("entries", {"members": members(0, outside=2)}, "problem", "2 members left"),
    ("entries", {"members": members(3, ago=8 * DAY)}, "look", "Does Segment still"),
    ("entries", {"members": None}, "ok", "left out"),
    ("entries", {"members": None, "is_recorded": False}, "ok", "OrderingGuard=no"),
    ("waiting changes", {"queued": 2}, "look", "2 messages"),
    (
        "waiting changes",
        {"queued": 2, "blockers": [Blocker("throttled", "Amazon has returned 429.")]},
        "look",
        "in the change queue. Amazon has returned 429.",
    ),
    ("waiting changes", {"queued": 2, "traffic": Traffic(accepted=1, uploads_failed=4)}, "problem", "4 uploads failed"),
    ("parked changes", {"parked": {"job_rejected": 2}}, "look", "2 dead letters"),
    (
        "parked changes",
        {"parked": {"job_rejected": 2, "access_denied": 1}},
        "problem",
        "2 job_rejected, 1 access_denied. See `audience-sync parked show`, check",
    ),
    ("jobs", {"lowest_processed": None}, "ok", "No Amazon job"),
    ("jobs", {"lowest_processed": 97.4}, "look", "only 97%"),
    (
        "processing time",
        {"members": members(ago=35 * HOUR), "report": report(replace(FULL, dsp=None))},
        "look",
        "up to 36 hours",
    ),
    ("processing time", {"members": members(ago=35 * HOUR)}, "ok", "36 hours"),
    ("size", {"report": report(Sizes())}, "look", "no size yet"),
    ("size", {"report": report(Sizes()), "members": members(0)}, "ok", "Not known"),
    ("size", {"report": report(replace(FULL, received=4_499))}, "look", "4,499 records"),
    ("size", {"report": report(replace(FULL, received=4_500))}, "ok", "4,500 records"),
    ("size", {"members": None}, "ok", "5,000 records."),
    ("country", {"audience": replace(AUDIENCE, country=None)}, "look", "no country"),
    ("country", {"audience": replace(AUDIENCE, country="IE")}, "look", "IE is not"),
    ("match rate", {"report": report(Sizes(1000, 99))}, "problem", "9.9%"),
    ("match rate", {"report": report(Sizes(1000, 100))}, "look", "10.0%"),
    ("match rate", {"report": report(Sizes(1000, 500))}, "ok", "50.0%"),
    ("match rate", {"report": report(Sizes())}, "ok", "Not known"),
    ("minimum for DSP", {"report": report(Sizes(9_000, 1_999))}, "look", "1,999"),
    ("minimum for DSP", {"report": report(Sizes(9_000, 2_000))}, "ok", "2,000"),
    ("minimum for DSP", {"audience": AMC}, "ok", "do not go"),
]


@pytest.mark.parametrize(
    ("check", "facts", "state", "says"), JUDGED, ids=[f"{check}: {state}, {says}" for check, _, state, says in JUDGED]
)
def test_a_check_judges_the_facts(check: str, facts: dict[str, Any], state: str, says: str) -> None:
    found = finding(check, replace(HEALTHY, **facts))
    assert (found.state, says in found.found) == (state, True), found
    assert bool(found.next) == (state != "ok") or "unreadable" in says, "what is not ok says what is next"


def test_a_fact_that_could_not_be_read_is_a_finding_and_hides_no_other() -> None:
    error = OperatorError("AWS does not allow you to call GetMetricData.", "Ask for that permission.")
    found = diagnose(replace(HEALTHY, traffic=Traffic(), unread={"traffic": error}))
    unchecked = {each.check for each in found if each.found.startswith("Not checked. AWS does not allow")}
    assert unchecked == {each.name for each in CHECKS if "traffic" in each.needs}
    assert {each.state for each in found if each.check in unchecked} == {"look"}
    assert {each.state for each in found if each.check not in unchecked} == {"ok"}


def test_of_an_audience_that_is_not_listed_the_checks_of_the_stack_remain() -> None:
    found = diagnose(replace(HEALTHY, audience=Audience("no_such_key"), is_listed=False, report=None, members=None))
    assert [each.check for each in found] == [each.name for each in CHECKS if each.is_of_stack]
    assert [each.check for each in likely_reasons(found)] == ["listing"]


def test_problems_come_before_what_to_look_at_and_the_earlier_one_first() -> None:
    facts = replace(
        HEALTHY,
        audience=replace(AUDIENCE, computation_key=None, country=None),
        traffic=Traffic(unauthorized=1),
        members=members(0),
    )
    checks = [each.check for each in likely_reasons(diagnose(facts))]
    assert checks == ["requests", "listing", "country"], "no event and no member follow from the wrong key"


@pytest.mark.parametrize(
    ("facts", "first", "next_command"),
    [
        pytest.param({}, "events", f"send --sample track --audience {AUDIENCE.computation_key} --wait", id="no event"),
        pytest.param(
            {"traffic": Traffic(rejected=8), "rejections": {"member_id_missing": 8}},
            "other rejections",
            "mappings try event.json",
            id="the mapping finds no member id",
        ),
        pytest.param(
            {"traffic": Traffic(rejected=8), "rejections": {"time_ahead": 8}},
            "other rejections",
            "rejections --since 7d",
            id="no mapping can help",
        ),
        pytest.param(
            {
                "traffic": Traffic(accepted=8, uploads_failed=4),
                "members": members(),
                "queued": 1,
                "blockers": [
                    Blocker("authorization_refused", "Refused.", "Run `audience-sync connect`.", needs_person=True)
                ],
            },
            "delivery",
            "connect",
            id="a person must connect again",
        ),
    ],
)
def test_what_follows_from_a_problem_is_no_reason_of_its_own_and_the_next_command_goes_on(
    facts: dict[str, Any], first: str, next_command: str
) -> None:
    given: dict[str, Any] = {"traffic": Traffic(), "members": members(0)} | facts
    (reason,) = likely_reasons(diagnose(replace(HEALTHY, **given)))
    assert (reason.check, reason.next) == (first, f"audience-sync {next_command}")


numbers = st.integers(0, 10_000)
sizes = st.builds(Sizes, *[st.none() | numbers] * 3)
counts = st.dictionaries(st.sampled_from(Reason), st.integers(1, 99))
any_facts = st.builds(
    replace,
    st.just(HEALTHY),
    audience=st.sampled_from([AUDIENCE, AMC, Audience("5"), replace(AMC, settings={"dsp": True}, country="IE")]),
    is_listed=st.booleans(),
    is_recorded=st.booleans(),
    traffic=st.builds(Traffic, *[st.sampled_from([0, 1, 2_000])] * 7),
    rejections=counts,
    parked=counts,
    queued=numbers,
    members=st.none() | st.builds(members, numbers, ago=st.floats(-HOUR, 400 * DAY), outside=numbers),
    report=st.builds(report, sizes, ttl=st.none() | st.integers(0, 34_300_800)) | st.just(NotConnected("no")),
    connections=st.sampled_from([frozenset[str](), frozenset({"connection-1"})]),
    terms_accepted=st.booleans(),
    lowest_processed=st.none() | st.floats(0, 100),
)


@given(any_facts)
def test_whatever_the_facts_a_finding_is_a_short_sentence_and_a_command_that_exists(facts: Facts) -> None:
    found = diagnose(facts)
    for each in found:
        assert each.found[0].isupper() or each.found[0].isdigit()
        assert each.found[-1] in ".?"
        if each.next.startswith("audience-sync "):
            check_command_line(shlex.split(each.next)[1:])
    reasons = likely_reasons(found)
    assert {each.check for each in reasons} <= {each.check for each in found if each.state != "ok"}
    states = {each.state for each in found}
    assert {each.state for each in reasons} >= states - {"ok", "look"}, "a problem is explained by another one only"
