"""The audit of what the functions have counted. CloudWatch gets the metrics that they print."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from audience_sync.aws.checkpoint import AUDIT, Checkpoint
from audience_sync.aws.membership_rows import Sharding, state_from_row
from audience_sync.aws.seen_reasons import SeenReasons
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Destination
from audience_sync.members.messages import pack
from audience_sync.operations.audit import HOUR, STEP
from functions.audit import handler
from local.sample_profiles import Person, audience_event
from tests.functions.test_ingest import EXAMPLES, post
from tests.support.builders import notice
from tests.support.cloud import AUDIENCE, Cloud, Context
from tests.support.invocations import body, change, deliver

DAY = 24 * HOUR  # seconds
AGO = 3 * HOUR  # seconds since the changes of these tests were accepted


def event(number: int, *, enters: bool = True) -> dict[str, Any]:
    at = datetime.now(UTC)
    key = "lapsed_premium_buyers"
    return audience_event(Person(number), enters=enters, at=at, audience_id=AUDIENCE.audience_id, key=key)


@pytest.fixture
def harness(cloud: Cloud, printed: Callable[[], str]) -> "AuditHarness":
    return AuditHarness(cloud, printed)


class AuditHarness:
    """Has the functions count changes, publishes their metrics, and runs the audit."""

    def __init__(self, cloud: Cloud, printed: Callable[[], str]) -> None:
        self.cloud, self.printed = cloud, printed
        self.checkpoint = Checkpoint(cloud.client("dynamodb"), cloud.name_of("MembershipTable"), AUDIT)

    def accept(self, *events: dict[str, Any]) -> None:
        """Have ingest accept some events."""
        status, answer = post(self.cloud, json.dumps(events).encode())
        assert (status, answer["accepted"]) == (200, len(events))

    def publish_metrics(self, ago: float = AGO) -> None:
        """Publish what was printed to CloudWatch, dated so many seconds ago."""
        lines = [json.loads(line) for line in self.printed().splitlines() if '"_aws"' in line]
        for line in lines:
            line["_aws"]["Timestamp"] -= ago * 1000
            # Powertools read the stack's name when it was imported, before a function's environment was set.
            own = ["reason"] if "EventsRejectedByReason" in line else []
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = [["service", *own]]
            line["service"] = self.cloud.template.resolve({"Ref": "AWS::StackName"})
            self.cloud.aws.metrics.add_line(json.dumps(line))

    def put(self, namespace: str, name: str, dimension: tuple[str, str], value: float, ago: float) -> None:
        """Publish a metric of AWS's own to CloudWatch."""
        metric = {
            "MetricName": name,
            "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}],
            "Timestamp": time.time() - ago,
            "Value": value,
        }
        self.cloud.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[metric])

    def audit(self, *, since: float = AGO + HOUR, **variables: str) -> dict[str, Any]:
        """Run the audit from `since` seconds ago on."""
        self.checkpoint.advance(int(time.time() - since) // STEP * STEP)
        self.cloud.enter("AuditFunction", **variables)
        return handler.lambda_handler({"source": "aws.events"}, Context())


def test_no_change_is_missing_when_all_have_been_delivered(harness: AuditHarness) -> None:
    harness.accept(event(1), event(2), event(2, enters=False))
    assert deliver(harness.cloud) == []
    harness.publish_metrics()
    assert harness.audit()["missing"] == 0


def test_a_message_lost_from_the_queue_is_an_accounting_gap(harness: AuditHarness) -> None:
    harness.accept(event(1), event(2), event(2, enters=False))
    harness.cloud.client("sqs").purge_queue(QueueUrl=harness.cloud.name_of("ChangeQueue"))
    harness.accept(event(3))
    assert deliver(harness.cloud) == []
    harness.publish_metrics()
    assert harness.audit()["missing"] == 2, "the third change of the request was superseded in it"
    text = harness.printed().replace(" ", "")
    assert '"AccountingGap":[2.0]' in text
    assert '"changes":2' in text


@pytest.mark.parametrize(
    ("namespace", "name", "dimension", "value"),
    [
        pytest.param("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", AGO + HOUR, id="it waits in the queue"),
        pytest.param("AudienceSync", "OldestDeferredChangeAge", "service", AGO + HOUR, id="it was deferred"),
        pytest.param("AudienceSync", "OldestWaitingChangeAge", "service", AGO + HOUR, id="it waits for a job"),
        pytest.param("AWS/Lambda", "Errors", "FunctionName", 1, id="a worker crashed, perhaps over it"),
        pytest.param("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", 1, id="delivery is paused"),
    ],
)
def test_a_change_that_may_still_wait_is_not_a_gap(
    harness: AuditHarness, namespace: str, name: str, dimension: str, value: float
) -> None:
    harness.accept(event(1))
    harness.publish_metrics()
    names = {
        "QueueName": harness.cloud.template.resolve({"Fn::GetAtt": ["ChangeQueue", "QueueName"]}),
        "FunctionName": harness.cloud.name_of("WorkerFunction"),
        "service": harness.cloud.template.resolve({"Ref": "AWS::StackName"}),
    }
    harness.put(namespace, name, (dimension, names[dimension]), value, ago=60)
    result = harness.audit()
    assert result["missing"] == 0
    assert result["reconciledUntil"] <= time.time() - AGO


def test_a_change_that_was_deferred_counts_under_the_time_at_which_it_was_accepted(harness: AuditHarness) -> None:
    harness.accept(event(1))
    harness.cloud.fault("/amc/audiences/records", {"status": 503})
    (back,) = deliver(harness.cloud)
    first_at = json.loads(back)["firstAt"]
    assert abs(first_at / 1000 - time.time()) < 600
    assert '"OldestDeferredChangeAge"' in (deferred := harness.printed())
    harness.cloud.client("sqs").purge_queue(QueueUrl=harness.cloud.name_of("ChangeQueue"))
    assert deliver(harness.cloud, back) == []
    completed = [json.loads(line) for line in harness.printed().splitlines() if '"ChangesCompleted"' in line]
    assert [line["_aws"]["Timestamp"] for line in completed] == [first_at // 60_000 * 60_000]
    assert '"ChangesCompleted"' not in deferred.partition('"OldestDeferredChangeAge"')[2]


def test_the_lag_of_the_audit_is_published(harness: AuditHarness) -> None:
    harness.accept(event(1))
    harness.publish_metrics()
    function = ("FunctionName", harness.cloud.name_of("WorkerFunction"))
    harness.put("AWS/Lambda", "Errors", function, 1, ago=60)
    result = harness.audit()
    (line,) = [json.loads(line) for line in harness.printed().splitlines() if '"AuditLagSeconds"' in line]
    assert line["AuditLagSeconds"][0] == pytest.approx(time.time() - result["reconciledUntil"], abs=600)
    assert line["AuditLagSeconds"][0] > AGO - STEP


def test_the_audit_begins_with_the_first_run(harness: AuditHarness) -> None:
    harness.cloud.enter("AuditFunction")
    first = handler.lambda_handler({}, Context())
    assert first["missing"] == 0
    assert 0 < first["reconciledUntil"] - time.time() <= STEP
    assert harness.checkpoint.time() == first["reconciledUntil"]
    assert handler.lambda_handler({}, Context()) == first
    assert harness.checkpoint.began() == first["reconciledUntil"]


def test_an_audit_that_did_not_run_for_a_month_skips_to_the_oldest_usable_metrics(harness: AuditHarness) -> None:
    assert harness.audit(since=31 * 24 * HOUR)["reconciledUntil"] > time.time() - 3 * HOUR


def test_the_checkpoint_does_not_move_while_cloudwatch_is_down(harness: AuditHarness) -> None:
    harness.cloud.enter("AuditFunction", AWS_ENDPOINT_URL_CLOUDWATCH="http://127.0.0.1:9")
    harness.checkpoint.advance(STEP)
    with pytest.raises(Unavailable, match="CloudWatch does not answer"):
        handler.lambda_handler({}, Context())
    assert harness.checkpoint.time() == STEP


def test_the_checkpoint_never_goes_back_and_keeps_when_the_audit_began(harness: AuditHarness) -> None:
    assert (harness.checkpoint.began(), harness.checkpoint.time()) == (None, None)
    harness.checkpoint.begin(STEP)
    harness.checkpoint.advance(3 * STEP)
    harness.checkpoint.advance(2 * STEP)
    harness.checkpoint.begin(5 * STEP)
    assert (harness.checkpoint.began(), harness.checkpoint.time()) == (STEP, 3 * STEP)


def reject(harness: AuditHarness, *events: dict[str, Any], ago: float = AGO) -> None:
    """Have ingest reject some events."""
    status, answer = post(harness.cloud, json.dumps(events).encode())
    assert (status, answer["rejected"]) == (400, len(events))
    harness.publish_metrics(ago)


def new_reasons(harness: AuditHarness) -> float:
    """Run the audit, and return how many reasons it reports."""
    harness.audit()
    lines = [json.loads(line) for line in harness.printed().splitlines()]
    return sum(sum(line.get("RejectionReasonsNew", [])) for line in lines)


def logged_reasons(harness: AuditHarness) -> list[str]:
    """The reasons that were logged so far."""
    lines = [json.loads(line) for line in harness.printed().splitlines()]
    return [line["reason"] for line in lines if line.get("message") == "rejection reason reported"]


def test_a_new_rejection_reason_is_reported_once(harness: AuditHarness) -> None:
    bad_id, bad_time = event(1) | {"userId": "not an id"}, event(2) | {"timestamp": "yesterday"}
    assert new_reasons(harness) == 0
    reject(harness, bad_id, bad_id)
    assert new_reasons(harness) == 1
    reject(harness, bad_id)
    assert new_reasons(harness) == 0
    reject(harness, bad_time, bad_id)
    assert [new_reasons(harness), new_reasons(harness)] == [1, 0]
    assert logged_reasons(harness) == ["member_id_invalid", "time_unreadable"]


def test_a_known_reason_is_reported_again_once_a_day_if_it_takes_a_hundred_events_and_one_in_a_hundred(
    harness: AuditHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = event(1) | {"userId": "not an id"}
    reject(harness, bad)
    assert new_reasons(harness) == 1
    reject(harness, *[bad] * 98, ago=0)
    assert new_reasons(harness) == 0, "99 events"
    reject(harness, bad, ago=0)
    assert [new_reasons(harness), new_reasons(harness)] == [1, 0], "not again at the next run"
    monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: time.time() + DAY))
    assert new_reasons(harness) == 0, "no event counts for two reports"
    reject(harness, *[bad] * 100, ago=-20 * HOUR)
    service = ("service", harness.cloud.template.resolve({"Ref": "AWS::StackName"}))
    harness.put("AudienceSync", "EventsIgnored", service, 9_901, ago=-20 * HOUR)
    assert new_reasons(harness) == 0, "100 of 10,001"
    reject(harness, bad, ago=-20 * HOUR)
    assert new_reasons(harness) == 1


def test_denials_of_consent_that_were_accepted_are_reported_when_they_are_new_only(harness: AuditHarness) -> None:
    denies = json.loads((EXAMPLES / "11-track-eu-consent-denied.json").read_bytes())
    harness.accept(*[denies] * 100)
    harness.publish_metrics()
    assert [new_reasons(harness), new_reasons(harness)] == [1, 0]


def test_reasons_of_another_stack_are_not_reported(harness: AuditHarness) -> None:
    reason = {"Name": "reason", "Value": "member_id_invalid"}
    metric = {"MetricName": "EventsRejectedByReason", "Dimensions": [{"Name": "service", "Value": "other"}, reason]}
    harness.cloud.client("cloudwatch").put_metric_data(Namespace="AudienceSync", MetricData=[metric | {"Value": 1}])
    assert new_reasons(harness) == 0


def test_a_rejection_reason_that_could_not_be_stored_is_reported_again(
    harness: AuditHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(harness, event(1) | {"userId": "not an id"})
    with monkeypatch.context() as patch:
        patch.setattr(SeenReasons, "save", fail)
        with pytest.raises(Unavailable):
            harness.audit()
    harness.printed()
    assert new_reasons(harness) == 1


def fail(*_: Any) -> None:
    raise Unavailable("the membership table does not answer")


class FindingsHarness:
    """Has the audit look at an audience's days and at single metrics, and reads the alarm."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.monkeypatch = cloud, monkeypatch
        self.alarm = f"{cloud.name_of('AWS::StackName')}-Findings"
        self.cloudwatch = cloud.client("cloudwatch")
        self.today = int(time.time()) // DAY

    def put(self, size: float, days: range, hour: int = 12) -> None:
        """Publish the audience's size at an hour of some days, counted from today."""
        for day in days:
            at = (self.today + day) * DAY + hour * HOUR
            self.count("AudienceReceived", at, size, audience=AUDIENCE.audience_id)

    def count(self, name: str, at: float, value: float = 1, **dimensions: str) -> None:
        """Publish one value of a metric of the stack."""
        service = {"service": self.cloud.name_of("AWS::StackName")}
        self.cloud.aws.metrics.add("AudienceSync", name, service | dimensions, at, value)

    def audit(self, hours: float = 2, *, refreshes: bool = True, **variables: str) -> list[str]:
        """Run the audit so many hours after today began. Returns the alarm's state, and the lines of its reason."""
        now = self.today * DAY + hours * HOUR
        refresh = {"FunctionName": self.cloud.name_of("RefreshFunction")}
        if refreshes:
            self.cloud.aws.metrics.add("AWS/Lambda", "Invocations", refresh, now - 60)
        self.monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: now))
        self.cloud.enter("AuditFunction", **variables)
        handler.lambda_handler({}, Context())
        (alarm,) = self.cloudwatch.describe_alarms(AlarmNames=[self.alarm])["MetricAlarms"]
        return [alarm["StateValue"], *alarm["StateReason"].splitlines()]

    def reset(self) -> None:
        """Set the alarm by hand, so that the next notification shows."""
        self.cloudwatch.set_alarm_state(AlarmName=self.alarm, StateValue="INSUFFICIENT_DATA", StateReason="reset")


@pytest.fixture
def findings(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> FindingsHarness:
    return FindingsHarness(cloud, monkeypatch)


def test_an_audience_that_shrinks_sets_off_the_alarm_once_with_the_sentence_of_diagnose(
    findings: FindingsHarness, printed: Callable[[], str]
) -> None:
    unknown = Audience("adm-1", destination=Destination.of({"api": "of a later version"}))
    findings.cloud.audiences.put(unknown, created=1)
    findings.put(5_000, range(-60, -3))
    assert findings.audit(-70)[0] == "OK"
    findings.put(1_000, range(-3, 2))
    since = datetime.fromtimestamp((findings.today - 3) * DAY, UTC).date()
    sentence = f"Since {since} its size is 1,000, 80% less than the 5,000 of the weeks before."
    told = f'audience_shrunk: "{AUDIENCE.name}" ({AUDIENCE.audience_id}): {sentence}'
    assert findings.audit()[:2] == ["ALARM", told]
    (line,) = [json.loads(each) for each in printed().splitlines() if '"finding"' in each]
    assert (line["finding"], line["about"]) == ("audience_shrunk", AUDIENCE.audience_id)
    assert AUDIENCE.name not in json.dumps(line), "whoever creates an audience chooses its name"
    findings.reset()
    assert [findings.audit(hours)[1] for hours in (2, 3, 26)] == ["reset"] * 3
    findings.put(5_000, range(2, 5))
    assert findings.audit(5 * 24 + 2)[0] == "OK"


def test_an_audience_whose_metrics_show_only_changed_sizes_has_not_shrunk(findings: FindingsHarness) -> None:
    for hour, (of_a_job, changed) in enumerate(zip([500, *[5_000] * 4], [500, 800, 1_300, 2_100, 5_000], strict=True)):
        findings.put(of_a_job, range(-60, -3), hour)
        findings.put(changed, range(-3, 1), hour)
    assert findings.audit()[0] == "OK"


def test_a_finding_that_cannot_be_told_fails_the_audit_until_it_is_told(findings: FindingsHarness) -> None:
    findings.put(5_000, range(-60, -3))
    findings.put(3_500, range(-3, 1))
    for hours in (2, 3):
        with pytest.raises(Unavailable, match="did not set the alarm"):
            findings.audit(hours, FINDINGS_ALARM="no-such-alarm", SHRINK_PERCENT="20.5")
    assert findings.audit(4, SHRINK_PERCENT="20.5")[0] == "ALARM"


def test_a_job_without_a_result_is_told_at_the_next_audit_although_the_alarm_is_on(findings: FindingsHarness) -> None:
    begin = findings.today * DAY
    assert findings.audit(2, refreshes=False)[0] == "OK", "the first audit: nothing is missing yet"
    assert findings.audit(4, refreshes=False)[:2] == ["ALARM", REFRESH_STOPPED]
    findings.count("JobsUnresolved", begin + 4.5 * HOUR, 3)
    day = datetime.fromtimestamp(begin, UTC).date()
    state, told, more = findings.audit(5, refreshes=False)
    assert (state, told) == ("ALARM", f"jobs_unresolved: {LOST.format(day)}")
    assert more.startswith("1 more: audience-sync status.")
    findings.reset()
    assert findings.audit(6)[1] == "reset", "it is told once a day"
    assert findings.audit(30)[0] == "OK"


REFRESH_STOPPED = "refresh_stopped: The token refresh has not run for two hours. Workers log in themselves."
LOST = "Upload jobs of {} that failed, or whose result Amazon did not report: 3. Their members are sent again."


class ErasureHarness:
    """Has the worker record deletion notices, and the audit check them, at another time than now."""

    def __init__(self, cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.monkeypatch, self._printed = cloud, monkeypatch, printed

    def erase(self, *people: str) -> None:
        """Deliver the notices, and the exits that they lead to; no job is checked."""
        deliver(self.cloud, *pack([notice(person, at=round(time.time() * 1000)) for person in people]))
        deliver(self.cloud)

    def check(self, *, hours: float = 0, after: float = 12 * HOUR, **variables: str) -> dict[str, Any]:
        """Run the audit some hours after the last due check before `after` seconds from now. Returns what it logs."""
        due = (time.time() + after) // (6 * HOUR) * 6 * HOUR
        self.monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: due + hours * HOUR))
        self.cloud.enter("AuditFunction", **variables)
        handler.lambda_handler({}, Context())
        lines = self.read_metrics()
        found = [line for line in lines if str(line.get("message")).startswith("erasures")]
        names = ("message", "level", "reason", "open", "overdue", "waiting", "closed", "is_complete")
        return {name: line[name] for line in found for name in names if name in line}

    def read_metrics(self) -> list[dict[str, Any]]:
        """Keep the metrics printed since the last call. Returns all lines."""
        lines: list[dict[str, Any]] = [json.loads(line) for line in self._printed().splitlines()]
        self.metrics = {name: line[name] for line in lines for name in line if name.startswith("Erasures")}
        return lines

    def steps(self, person: str) -> list[StepKind]:
        """Read the steps in the person's row of all audiences."""
        key = Sharding().key_of((EVERY_AUDIENCE, person))
        row = self.cloud.client("dynamodb").get_item(TableName=self.cloud.name_of("MembershipTable"), Key=key)["Item"]
        return [each.kind for each in state_from_row(row).erasure]


@pytest.fixture
def erasures(cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> ErasureHarness:
    return ErasureHarness(cloud, printed, monkeypatch)


CHECKED = {"message": "erasures checked", "level": "INFO", "waiting": 0, "is_complete": True}


def test_erasures_are_counted_and_closed_every_six_hours(erasures: ErasureHarness) -> None:
    deliver(erasures.cloud, body(change("cust_1")))
    erasures.erase("cust_1", "stranger")
    assert erasures.check(hours=1) == {}
    erasures.read_metrics()
    assert erasures.check() == CHECKED | {"open": 1, "overdue": 0, "closed": 0}
    assert erasures.metrics == {"ErasuresOverdue": [0.0], "ErasuresUncheckedAge": [0.0]}
    assert erasures.steps("stranger") == [StepKind.NOTICE], "nobody knew the id: nothing is closed"
    assert erasures.steps("cust_1") == [StepKind.NOTICE]
    assert erasures.check(after=5 * 24 * HOUR) == CHECKED | {"open": 1, "overdue": 1, "closed": 0}
    assert erasures.metrics["ErasuresOverdue"] == [1.0]


def test_an_incomplete_erasure_check_publishes_no_overdue_count(erasures: ErasureHarness) -> None:
    deliver(erasures.cloud, body(change("cust_1")))
    erasures.erase("cust_1")
    erasures.monkeypatch.setattr(handler, "RESERVE", 3600.0)
    assert erasures.check()["is_complete"] is False
    assert "ErasuresOverdue" not in erasures.metrics, "nobody else may be overdue"


def test_a_failed_erasure_check_is_logged_and_does_not_stop_the_audit(erasures: ErasureHarness) -> None:
    with pytest.raises(Unavailable, match="audience table"):  # of the check of audiences, which comes last
        erasures.check(AUDIENCE_TABLE="no-such-table")
    found = [
        (each["level"], each["reason"])
        for each in erasures.read_metrics()
        if each.get("message") == "erasures not checked"
    ]
    assert found == [("WARNING", "unavailable")]
    assert erasures.metrics == {}
