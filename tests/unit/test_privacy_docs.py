"""docs/privacy.md names every place that can hold personal data, with the times of the template and the code."""

import re
from pathlib import Path

import pytest

from audience_sync.amazon_ads.audience_settings import MAX_TTL
from audience_sync.amazon_ads.normalize import normalize
from audience_sync.amazon_ads.regions import HOSTS
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.fields import CONSENT_SIGNALS, IDENTIFIERS
from audience_sync.member_state import LONGEST_JOB
from audience_sync.membership import MAX_IDENTITIES
from audience_sync.operations.restoration import MAX_AGE as MAX_RESTORED_AGE
from local.template import read_document

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
RESOURCES, PARAMETERS = read_document()["Resources"], read_document()["Parameters"]
DAY, HOUR, MINUTE = 86_400, 3_600, 60  # seconds
POINTS_IN_TIME = 35  # days; AWS's default, and the most: the template sets no shorter period
HOLDS = ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup")


def _rows(title: str) -> list[list[str]]:
    """The rows of all tables of a section."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


PLACES = {row[0]: row[3] for row in _rows("What is stored where, and for how long")}


def _kept(name: str) -> str:
    (found,) = (kept for place, kept in PLACES.items() if name in place)
    return found


def test_every_place_that_can_hold_something_has_its_row() -> None:
    named = {name for place in PLACES for name in re.findall(r"`(\w+)`", place)}
    assert named - {"AlarmEmail"} == {name for name, each in RESOURCES.items() if each["Type"] in HOLDS}


@pytest.mark.parametrize("queue", ["ChangeQueue", "DeadLetterQueue", "JobQueue", "JobDeadLetterQueue"])
def test_messages_are_kept_for_as_long_as_the_queue_keeps_them(queue: str) -> None:
    days = RESOURCES[queue]["Properties"]["MessageRetentionPeriod"] / DAY
    assert f"{days:.0f} days" in _kept(f"`{queue}`")


def test_rows_are_kept_for_as_long_as_the_table_keeps_them() -> None:
    assert f"{KEEP_ACTIVE / DAY:.0f} days" in _kept("a person who is in an audience")
    for row in ("a person who has left", "a deletion notice"):
        assert f"{KEEP_EXIT / DAY:.0f} days" in _kept(row)
    assert RESOURCES["MembershipTable"]["Properties"]["TimeToLiveSpecification"]["Enabled"] is True


def test_the_operator_log_is_kept_for_as_long_as_its_log_group_keeps_it() -> None:
    days = RESOURCES["OperatorLogGroup"]["Properties"]["RetentionInDays"]
    assert f"{days} days" in _kept("`OperatorLogGroup`")
    for place in (
        ROOT / "docs/cli.md",
        ROOT / "audience_sync_cli/app.py",
        ROOT / "audience_sync_cli/watch/operator_log.py",
    ):
        assert f"ept for {days} days" in place.read_text(encoding="utf-8"), place


def test_points_in_time_go_back_as_far_as_aws_keeps_them() -> None:
    assert RESOURCES["MembershipTable"]["Properties"]["PointInTimeRecoverySpecification"].keys() == {
        "PointInTimeRecoveryEnabled"
    }
    assert f"{POINTS_IN_TIME} days" in _kept("points in time")
    assert POINTS_IN_TIME * DAY < MAX_RESTORED_AGE <= KEEP_EXIT, "a restored table cannot be older than the notices"


@pytest.mark.parametrize("place", ["access logs", "logs of the functions"])
def test_logs_are_kept_for_as_long_as_the_parameter_says(place: str) -> None:
    assert f"{PARAMETERS['LogRetentionDays']['Default']} days" in _kept(place)


def test_access_logs_hold_what_the_page_says() -> None:
    format_ = RESOURCES["Api"]["Properties"]["AccessLogSettings"]["Format"]
    assert set(re.findall(r'"(\w+)":', format_)) == {
        *("time", "requestId", "routeKey", "status", "responseLatency", "responseLength"),
        *("integrationStatus", "integrationLatency", "integrationError"),
    }


def test_every_identifier_and_consent_signal_is_named() -> None:
    rows = {row[0]: row[1] for row in _rows("What it does with personal data")}
    (identifiers,) = (name for name in rows if name.startswith("identifiers: "))
    assert len(identifiers.split(", ")) == len(IDENTIFIERS)
    (consent,) = (name for name in rows if name.startswith("consent: "))
    assert [*re.findall(r"`(\w+)`", consent), "ip"] == [signal.name for signal in CONSENT_SIGNALS]
    assert normalize("email", "a@b.co", "US")
    assert rows["IP address"].startswith("**only if you map `ip`**")


def test_the_steps_of_a_deletion_take_as_long_as_the_page_says() -> None:
    steps = {step: after for step, after, *_ in _rows("Deleting a person")}
    times = " · ".join(steps.values())
    assert f"{PARAMETERS['BatchWindow']['Default']} seconds, `BatchWindow`" in times
    assert f"{PARAMETERS['JobSeconds']['Default'] / MINUTE:.0f} minutes (`JobSeconds`)" in times
    assert f"up to {LONGEST_JOB / HOUR:.0f} hours" in times
    assert f"{KEEP_EXIT / DAY:.0f} days" in times


def test_what_outlives_a_deletion_is_the_sum_of_its_parts() -> None:
    outlives = [(what, where, time) for what, where, time in (r for r in _rows("Deleting a person") if len(r) == 3)]
    times = {where: time for _, where, time in outlives if where in ("change queue", "dead letters")}
    for queue, where in (("ChangeQueue", "change queue"), ("DeadLetterQueue", "dead letters")):
        days = RESOURCES[queue]["Properties"]["MessageRetentionPeriod"] / DAY
        assert times[where].startswith(f"{days:.0f} days at most")
    total = KEEP_EXIT // DAY + POINTS_IN_TIME
    assert any(time == f"{POINTS_IN_TIME} days more, {total} in all" for *_, time in outlives)
    assert f"more than {MAX_IDENTITIES} identifiers" in TEXT


def test_hosts_are_those_of_the_regions() -> None:
    rows = {row[0].strip("`"): row[1:] for row in _rows("Where personal data goes")[1:]}
    assert rows == {
        region: [f"`{hosts.api.removeprefix('https://')}`", f"`{hosts.login.split('/')[2]}`"]
        for region, hosts in HOSTS.items()
    }


def test_amazon_keeps_members_no_longer_than_the_longest_ttl() -> None:
    assert f"{MAX_TTL / DAY:.0f} days after the addition at most" in TEXT
    assert f"Time limits: {KEEP_ACTIVE / DAY:.0f} days for active members, {KEEP_EXIT / DAY:.0f} days after" in TEXT


def test_the_default_consent_policy_is_the_one_that_is_described() -> None:
    assert f"`ConsentPolicy={PARAMETERS['ConsentPolicy']['Default']}`, the default" in TEXT
