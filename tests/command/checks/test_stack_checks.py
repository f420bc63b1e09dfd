"""What the checks of a stack find in keys, authorization, token and mappings."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audience_sync.amazon_ads.login import Token
from audience_sync.amazon_ads.regions import HOSTS
from audience_sync_cli.checks.readings import StackReadings
from audience_sync_cli.checks.stack_checks import CHECKS
from audience_sync_cli.frame.finding import run
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.blockers import Blocker, FailedUploads, Waiting
from local.template import ROOT
from tests.command.checks.test_audience_checks import no_stack
from tests.command.conftest import NOW
from tests.command.mappings.mapping_files import MAPPING
from tests.support.aws_fixtures import CREDENTIALS, EVENT_KEY
from tests.support.iam import allows, statements

DISABLED = MAPPING | {"enabled": False}
ROTATE, RETIRE = "audience-sync keys rotate event", "audience-sync keys retire event --source emea"


def of_source(days_left: int | None) -> dict[str, Any]:
    """Return an ingest secret with a key of one source that has some days left; None is an unreadable date."""
    today = datetime.fromtimestamp(NOW, UTC).date()
    last = "soon" if days_left is None else (today + timedelta(days=days_left)).isoformat()
    return {"eventKey": EVENT_KEY, "eventKey.emea": {"key": "an-event-key-of-emea-0001", "expiresOn": last}}


def authorized(at: object) -> dict[str, Any]:
    return CREDENTIALS | {"authorizedAt": at}


@pytest.mark.parametrize(
    ("reading", "value", "name", "expected"),
    [
        ("ingest_secret", {"eventKey": "short"}, "event key", ("problem", ROTATE)),
        ("ingest_secret", of_source(60), "event key of emea", None),
        ("ingest_secret", of_source(7), "event key of emea", ("note", f"{ROTATE} --source NEW-NAME")),
        ("ingest_secret", of_source(-2), "event key of emea", ("note", RETIRE)),
        ("ingest_secret", of_source(None), "event key of emea", ("problem", RETIRE)),
        ("token", Token("Atza|old", NOW - 1), "access token", ("problem", "audience-sync connect")),
        ("credentials", CREDENTIALS, "Amazon credentials", ("ok", "")),
        ("credentials", authorized("2026-01-01"), "Amazon credentials", ("ok", "")),
        ("credentials", authorized(NOW - 319 * DAY), "Amazon credentials", ("ok", "")),
        ("credentials", authorized(NOW - 321 * DAY), "Amazon credentials", ("note", "audience-sync connect")),
        ("credentials", authorized(NOW - 366 * DAY), "Amazon credentials", ("problem", "audience-sync connect")),
        ("mappings", json.dumps([DISABLED]), "mappings", ("note", "audience-sync mappings show")),
        *(
            ("mappings", document, "mappings", ("problem", "audience-sync mappings apply"))
            for document in ("{not json", '"text"', "null", '{"mappings": [{"name": "Mine"}]}')
        ),
    ],
)
def test_each_check_of_the_stack_reports_its_stored_values(
    reading: str, value: object, name: str, expected: tuple[str, str] | None
) -> None:
    readings = StackReadings(Session(Screen(), no_stack, lambda: NOW), {reading: value})
    found = {each.name: (each.state, each.remedy) for each in run(CHECKS, readings)}
    assert found.get(name) == expected


CONNECT, SOON = "Run `audience-sync connect`.", "The next try is within three minutes."
PARKED, BUSY = "audience-sync parked list --reason access_denied", Blocker("throttled", "Amazon is busy.")
STOPPED = [("delivery", "problem", CONNECT), ("uploads", "note", CONNECT)]
LATE = [("delivery", "note", SOON), ("uploads", "note", SOON)]
REFUSED, NOT_CONNECTED = (
    Blocker(reason, "It is refused.", CONNECT, needs_person=True)
    for reason in ("authorization_refused", "not_connected")
)


def why(*blockers: Blocker, failed: str = "", recovered: bool = False, unknown: str = "") -> Waiting:
    """Return blockers, and six failed uploads with one reason."""
    failures = FailedUploads({failed: 6}, failed, round(NOW * 1000), recovered) if failed else FailedUploads()
    return Waiting(list(blockers), failures, [unknown] if unknown else [])


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        pytest.param(why(), [("delivery", "ok", "")], id="no upload failed"),
        pytest.param(why(failed="throttled", recovered=True), [("delivery", "ok", "")], id="accepted since"),
        pytest.param(why(REFUSED, failed="authorization_refused"), STOPPED, id="a person must connect again"),
        pytest.param(why(BUSY, failed="throttled"), LATE, id="it ends by itself"),
        pytest.param(why(failed="throttled"), [("uploads", "note", "audience-sync status")], id="no longer waiting"),
        pytest.param(why(failed="access_denied"), [("uploads", "note", PARKED)], id="the changes are parked"),
        pytest.param(why(NOT_CONNECTED), [("delivery", "ok", "")], id="a check of its own finds that"),
        pytest.param(why(unknown="Not known: access token."), [("delivery", "note", "")], id="unread"),
    ],
)
def test_failed_uploads_are_a_note_and_a_blocker_that_needs_a_person_is_a_problem(
    waiting: Waiting, expected: list[tuple[str, str, str]]
) -> None:
    readings = StackReadings(Session(Screen(), no_stack, lambda: NOW), {"waiting": waiting})
    (check,) = (each for each in CHECKS if each.name == "delivery")
    assert [(each.name, each.state, each.remedy) for each in run([check], readings)] == expected


class Account:
    """Lambda's limit in an account and its functions' and the subscriptions of one topic; None: it may not be read."""

    def __init__(self, limit: int = 1_000, subscriptions: Any = (1, 0), concurrency: tuple[int, ...] = (5, 5)) -> None:
        self._limit, self._subscriptions = limit, subscriptions
        self.sources = dict(zip(("WorkerFunction", "JobsFunction", "EventsFunction"), concurrency, strict=False))

    def list_event_source_mappings(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"EventSourceMappings": [{"ScalingConfig": {"MaximumConcurrency": self.sources[FunctionName]}}]}

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": self._limit}}

    def get_topic_attributes(self, *, TopicArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if self._subscriptions is None:
            raise ClientError({"Error": {"Code": "AuthorizationError", "Message": TopicArn}}, "GetTopicAttributes")
        confirmed, pending = map(str, self._subscriptions)
        return {"Attributes": {"SubscriptionsConfirmed": confirmed, "SubscriptionsPending": pending}}


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        pytest.param(Account(), ("ok", "ok"), id="in order"),
        pytest.param(Account(limit=10), ("note", "ok"), id="a new account"),
        pytest.param(Account(limit=10, concurrency=(2, 2)), ("ok", "ok"), id="six for the API"),
        pytest.param(Account(limit=10, concurrency=(2, 2, 10)), ("note", "ok"), id="six, but for the event queue"),
        pytest.param(Account(subscriptions=(0, 0)), ("ok", "note"), id="nobody gets alarms"),
        pytest.param(Account(subscriptions=(0, 1)), ("ok", "note"), id="a mail that nobody has confirmed"),
        pytest.param(Account(subscriptions=(2, 1)), ("ok", "note"), id="one of three has not confirmed"),
        pytest.param(Account(subscriptions=None), ("ok", "note"), id="a topic that may not be read"),
    ],
)
def test_a_full_account_and_alarms_without_a_receiver_are_noted(account: Account, expected: tuple[str, str]) -> None:
    names = {"Alarms": "arn:aws:sns:eu-west-1:123456789012:audience-sync-Alarms-1A2B"}
    functions = {"EventsFunction": ""} | {name: name for name in account.sources}
    stack = Stack("tests", lambda _: account, "https://api", HOSTS["NA"], {}, 0, None, names | functions)
    checks = [each for each in CHECKS if each.name in ("concurrency", "alarms")]
    found = [*run(checks, StackReadings(Session(Screen(), lambda: stack, lambda: NOW)))]
    assert tuple(each.state for each in found) == expected
    assert all(bool(each.remedy) == (each.state == "note") for each in found)
    policy = statements(ROOT / "docs/operator-policy.json")
    assert allows(policy, "sns:GetTopicAttributes", names["Alarms"])
    assert allows(policy, "lambda:GetAccountSettings", "*")
