"""docs/privacy.md names every place that can hold personal data, with the times of the template and the code."""

import re

import pytest

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.regions import HOSTS
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.members.member_state import LONGEST_JOB
from audience_sync.members.membership import MAX_IDENTITIES
from audience_sync_cli.members.restoration import MAX_AGE as MAX_RESTORED_AGE
from local.template import ROOT, read_document
from tests.support.markdown import paragraph, section

TEXT = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
RESOURCES, PARAMETERS = read_document()["Resources"], read_document()["Parameters"]
DAY, HOUR, MINUTE = 86_400, 3_600, 60  # seconds
BACKUPS = PARAMETERS["RecoveryPeriodInDays"]["Default"]  # days
HOLDS = ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup")


def _rows(title: str) -> list[list[str]]:
    """The rows of all tables of a section."""
    lines = [line for line in section(TEXT, title).splitlines() if re.match(r"\| (?!---)", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


PLACES = {row[0]: row[3] for row in _rows("What is stored where, and for how long")}


def test_every_resource_that_stores_data_has_a_row_in_privacy_md() -> None:
    named = {name for place in PLACES for name in re.findall(r"`(\w+)`", place)}
    assert named - {"AlarmEmail"} == {name for name, each in RESOURCES.items() if each["Type"] in HOLDS}


def _days_of(queue: str) -> int:
    return int(RESOURCES[queue]["Properties"]["MessageRetentionPeriod"]) // DAY


OF_OPERATORS, OF_LOGS = RESOURCES["OperatorLogGroup"]["Properties"]["RetentionInDays"], PARAMETERS["LogRetentionDays"]


@pytest.mark.parametrize(
    ("named", "days"),
    [
        *((f"`{queue}`", _days_of(queue)) for queue in ("ChangeQueue", "DeadLetterQueue", "JobQueue")),
        *((f"`{queue}`", _days_of(queue)) for queue in ("JobDeadLetterQueue", "EventsQueue", "EventsDeadLetterQueue")),
        ("a person who is in an audience", KEEP_ACTIVE // DAY),
        ("a person who has left", KEEP_EXIT // DAY),
        ("a deletion notice", KEEP_EXIT // DAY),
        ("automatic backups", BACKUPS),
        ("`OperatorLogGroup`", OF_OPERATORS),
        ("access logs", OF_LOGS["Default"]),
        ("logs of the functions", OF_LOGS["Default"]),
    ],
)
def test_stated_retention_times_are_those_of_code_and_template(named: str, days: int) -> None:
    (kept,) = (kept for place, kept in PLACES.items() if named in place)
    assert f"{days} days" in kept


def test_every_number_of_days_on_the_page_comes_from_code_template_or_amazon() -> None:
    kept = {KEEP_ACTIVE // DAY, KEEP_EXIT // DAY, (KEEP_ACTIVE + KEEP_EXIT) // DAY, BACKUPS, KEEP_EXIT // DAY + BACKUPS}
    queues = {_days_of(name) for name, each in RESOURCES.items() if each["Type"] == "AWS::SQS::Queue"}
    of_amazon = {30, 90}  # to delete a person; to drop a member if an audience sets no time
    stated = {int(days) for days in re.findall(r"\b(\d+) days", TEXT)}
    assert stated <= kept | queues | of_amazon | {OF_OPERATORS, OF_LOGS["Default"]}


def test_the_command_states_the_retention_of_the_operator_log() -> None:
    for place in ("docs/cli.md", "audience_sync_cli/app.py", "audience_sync_cli/watch/operator_log.py"):
        assert f"{OF_OPERATORS} days" in (ROOT / place).read_text(encoding="utf-8"), place


def test_rows_expire_and_deletion_notices_outlive_every_point_in_time() -> None:
    table = RESOURCES["MembershipTable"]["Properties"]
    assert table["TimeToLiveSpecification"]["Enabled"] is True
    assert PARAMETERS["RecoveryPeriodInDays"]["MaxValue"] * DAY < MAX_RESTORED_AGE <= KEEP_EXIT


def test_the_steps_of_a_deletion_take_as_long_as_the_page_says() -> None:
    steps = {step: after for step, after, *_ in _rows("Deleting a person")}
    times = " · ".join(steps.values())
    assert f"{PARAMETERS['BatchWindow']['Default']} seconds, `BatchWindow`" in times
    assert f"{PARAMETERS['JobSeconds']['Default'] / MINUTE:.0f} minutes (`JobSeconds`)" in times
    assert f"up to {LONGEST_JOB / HOUR:.0f} hours" in times
    assert f"{KEEP_EXIT / DAY:.0f} days" in times
    outlives = paragraph(TEXT, "What outlives the deletion")
    assert f"{KEEP_EXIT // DAY} days, and {BACKUPS} more in backups" in outlives
    assert f"{KEEP_EXIT // DAY + BACKUPS} days in all" in outlives
    assert f"more than {MAX_IDENTITIES} identifiers" in outlives


def test_the_page_lists_the_hosts_of_each_region() -> None:
    rows = {row[0].strip("`"): row[1:] for row in _rows("Where personal data goes")[1:]}
    assert rows == {
        region: [f"`{hosts.api.removeprefix('https://')}`", f"`{hosts.login.split('/')[2]}`"]
        for region, hosts in HOSTS.items()
    }


def test_times_and_consent_policy_in_the_text_are_the_defaults() -> None:
    assert f"{MAX_TTL / DAY:.0f} days" in paragraph(TEXT, "after the addition")
    limits = paragraph(TEXT, "Time limits:")
    assert [days for days in (KEEP_ACTIVE, KEEP_EXIT) if f"{days / DAY:.0f} days" not in limits] == []
    assert f"`ConsentPolicy={PARAMETERS['ConsentPolicy']['Default']}`" in TEXT
