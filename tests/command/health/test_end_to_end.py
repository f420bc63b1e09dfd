"""`test --end-to-end`: which audience it uses, where it stops, and that the made-up member is erased."""

from typing import Any

import pytest

from audience_sync.amazon_ads.destination import advertiser_of, amc_connection
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync_cli.errors import AlreadyReported, NotThere, ReportedAsUnfinished, WrongUsage
from audience_sync_cli.health.checks import EndToEnd
from audience_sync_cli.health.checks import test as run_checks
from audience_sync_cli.health.end_to_end import KEPT_ID, KEPT_NAME, WholeWay, kept_audience
from tests.aws_fixtures import AUDIENCE
from tests.command.conftest import Deployment

ACCEPTED: dict[str, Any] = {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": []}
KEPT = Audience("3", KEPT_NAME, "US", AUDIENCE.destination, external_audience_id=KEPT_ID)


def rejected(reason: str) -> tuple[int, dict[str, Any]]:
    rejection = {"index": 0, "messageId": "m-1", "reason": reason, "detail": "the detail"}
    return 400, ACCEPTED | {"accepted": 0, "rejected": 1, "rejections": [rejection]}


def no_pause(_: float) -> None:
    """Take no time."""


def test_the_test_audience_is_reused_without_a_question(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.list_audience(KEPT)
    assert kept_audience(deployment.session()) == KEPT


def test_the_test_audience_is_created_for_the_target_of_the_others_if_the_operator_agrees(
    deployment: Deployment,
) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.answers = ["y"]
    created = kept_audience(deployment.session())
    assert (created.name, created.destination, created.country) == (KEPT_NAME, AUDIENCE.destination, "US")
    (question,) = deployment.questions
    assert f'"{KEPT_NAME}" at Amazon, for DSP {advertiser_of(AUDIENCE.destination)}?' in question
    assert kept_audience(deployment.session()) == created, "the next test uses it"


def test_nothing_is_created_if_the_operator_does_not_agree(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.declined(kept_audience)
    assert deployment.session().audiences.all() == [AUDIENCE]


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        pytest.param([], NotThere, id="no audience"),
        pytest.param([AUDIENCE, Audience("2", destination=amc_connection("amc-1"))], WrongUsage, id="two targets"),
        pytest.param([Audience("2")], WrongUsage, id="a target that is not known"),
    ],
)
def test_an_unclear_target_requires_an_audience_option(
    deployment: Deployment, listed: list[Audience], error: type[Exception]
) -> None:
    for audience in listed:
        deployment.list_audience(audience)
    with pytest.raises(error):
        kept_audience(deployment.session())


def test_a_rejected_entry_ends_the_test_and_leaves_nothing_to_erase(
    deployment: Deployment, gateway: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.list_audience()
    gateway.append(rejected("consent_missing"))
    test = WholeWay(deployment.session(), AUDIENCE.audience_id, 60, no_pause)
    test.run()
    assert (test.is_good, list(test.sent)) == (False, ["entered"])
    assert deployment.bodies("ChangeQueue") == []
    assert "The test got stuck" in capsys.readouterr().out
    with pytest.raises(AlreadyReported):
        test.raise_unless_good()


def test_an_entry_that_gets_stuck_is_erased_and_no_exit_is_sent(deployment: Deployment, gateway: list[Any]) -> None:
    deployment.list_audience()
    gateway.append((200, ACCEPTED))
    test = WholeWay(deployment.session(), AUDIENCE.audience_id, 0, no_pause)
    test.run()
    with pytest.raises(ReportedAsUnfinished):
        test.raise_unless_good()
    (notice,) = deployment.bodies("ChangeQueue")
    assert (notice["audienceId"], notice["replay"]) == (EVERY_AUDIENCE, True)
    member = notice["changes"][0]["record"]["externalUserId"]
    assert member.startswith("audience-sync-test-")
    assert (test.as_json()["member"], test.as_json()["left"]) == (member, None)


def test_without_ordering_guard_the_test_member_is_not_erased(deployment: Deployment, gateway: list[Any]) -> None:
    deployment.stack.parameters = {"OrderingGuard": "no"}
    deployment.list_audience()
    gateway.append((200, ACCEPTED))
    WholeWay(deployment.session(), AUDIENCE.audience_id, 0, no_pause).run()
    assert deployment.bodies("ChangeQueue") == []


def test_two_tests_use_two_members(deployment: Deployment) -> None:
    first, second = (WholeWay(deployment.session(), "", 60, no_pause).as_json()["member"] for _ in range(2))
    assert first != second


def test_a_problem_ends_the_test_before_an_event_is_sent(deployment: Deployment) -> None:
    with pytest.raises(AlreadyReported):  # there is no gateway here
        run_checks(deployment.session(), EndToEnd(end_to_end=True))
    assert deployment.bodies("ChangeQueue") == []


def test_an_audience_without_end_to_end_is_refused(deployment: Deployment) -> None:
    with pytest.raises(WrongUsage):
        run_checks(deployment.session(), EndToEnd(audience="1"))
