"""The judgement of an audience in the United Kingdom that has just begun, and whose consent signal is not mapped."""

from dataclasses import replace

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.job import Sizes
from audience_sync_cli.diagnosis.checks import diagnose, likely_reasons
from audience_sync_cli.diagnosis.counts import Traffic
from audience_sync_cli.diagnosis.facts import Facts
from audience_sync_cli.health.stack_checks import Finding
from audience_sync_cli.members.counts import MemberCount
from tests.aws_fixtures import AUDIENCE
from tests.command.conftest import NOW

BEGUN = Facts(
    now=NOW,
    days=7,
    audience=replace(AUDIENCE, country="GB"),
    parts={part: Finding(part, "ok", "") for part in ("event key", "Amazon credentials", "access token", "mappings")},
    traffic=Traffic(accepted=3_912, ignored=57, rejected=6_204, uploads=4),
    rejections={"consent_missing": 6_198, "no_identifier": 6},
    members=MemberCount(AUDIENCE, 3_870, 42, round((NOW - 5 * 3_600) * 1000)),
    report=AudienceReport(AUDIENCE.audience_id, sizes=Sizes(received=3_870, matched=1_742)),
    lowest_processed=100.0,
)


def test_a_problem_is_the_first_reason_and_the_others_follow_in_the_order_of_the_way() -> None:
    consent, rejections, *others = likely_reasons(diagnose(BEGUN))
    assert (consent.check, consent.state) == ("consent and country", "problem")
    assert "6,198 consent_missing. Mostly: additions from the UK" in consent.found
    assert (rejections.check, rejections.state) == ("other rejections", "look")
    assert [(each.check, each.state) for each in others] == [
        ("processing time", "look"),
        ("match rate", "look"),
        ("minimum for DSP", "look"),
    ]


def test_counts_are_said_with_what_is_in_order() -> None:
    found = {each.check: each.found for each in diagnose(BEGUN) if each.state == "ok"}
    assert found["entries"].startswith("The membership table has 3,870 current members; the last one entered at ")
    assert found["jobs"] == "Amazon's jobs processed all of its records in the last 7 days."
    assert found["size"] == "Amazon has received 3,870 records; the membership table has 3,870 current members."
