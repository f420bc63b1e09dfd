"""Each fault that once set off an alarm of its own is heard, by the alarm or finding and in the time of the runbook.

A fault publishes its metrics from the moment when it begins, right after an audit and at the beginning of a period: the
longest way. An alarm is evaluated as CloudWatch documents, over whole periods; findings are what the audit tells.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.operations.audit import HOUR
from local.template import ROOT, Template, read_document
from tests.functions.test_audit import DAY, FindingsHarness
from tests.support.cloud import AUDIENCE, Cloud

RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
TABLE = RUNBOOK.split("\n## Who hears which fault\n")[1].split("\n## ")[0]
HEARD_BY = r"(?:\[(\w+)\]\(#\w+\)|`(\w+)`|the \[?(alarm|finding)\S* of that name)"
ROW = rf"^\| ([\w, ]+) \| .+? \| {HEARD_BY} \| (\d+) (minutes|hours|hour) \|$"
ROWS = [
    (
        was,
        alarm or (was if same == "alarm" else ""),
        finding or (re.sub(r"\B([A-Z])", r"_\1", was).lower() if same == "finding" else ""),
        *after,
    )
    for names, alarm, finding, same, *after in re.findall(ROW, TABLE, re.MULTILINE)
    for was in names.split(", ")
]
MINUTE = 60
LIMIT = 30 * HOUR  # seconds

type Values = Callable[[int], float | None]  # what a metric publishes at a second since the fault began


def every(seconds: int, value: float = 1) -> Values:
    """A value at regular times."""
    return lambda second: value if second % seconds == 0 else None


def once(value: float = 1) -> Values:
    """A value at the beginning."""
    return lambda second: value if second == 0 else None


def age(seconds: int) -> Values:
    """The time since the fault began, at regular times."""
    return lambda second: float(second) if second % seconds == 0 else None


def unstarted(queue: str, interval: int, *, polled: bool) -> dict[str, Values]:
    """What SQS publishes of a queue whose function does not run, although a message arrives at regular times.

    The age is of the oldest message that was received less than three times. Lambda receives a message again when its
    visibility timeout ends, unless the event source is off or missing.
    """
    visibility: int = read_document()["Resources"][queue]["Properties"]["VisibilityTimeout"]

    def oldest(second: int) -> float | None:
        received_thrice = (second - 2 * visibility) // interval + 1 if polled and second >= 2 * visibility else 0
        return float(max(0, second - received_thrice * interval)) if second % MINUTE == 0 else None

    def received(second: int) -> float | None:
        arrivals = range(0, second + 1, interval) if polled else ()
        return sum((second - each) % visibility < MINUTE for each in arrivals) if second % MINUTE == 0 else None

    return {f"ApproximateAgeOfOldestMessage {queue}": oldest, f"NumberOfMessagesReceived {queue}": received}


WORKER, JOBS, EVENTS, AUDIT = ("WorkerFunction", "JobsFunction", "EventsFunction", "AuditFunction")
# By the alarm that once heard it: the metrics that it publishes, by name, or by name and function.
FAULTS: dict[str, dict[str, Values]] = {
    "OldestMessageAge": unstarted("ChangeQueue", MINUTE, polled=False),
    "JobsStopped": unstarted("JobQueue", MINUTE, polled=False),
    "DeliveryStalled": {"OldestDeferredChangeAge": age(3 * MINUTE)},
    "RecordsRepeated": {"RecordsRepeated": every(MINUTE, 3), "ChangesDelivered": every(MINUTE, 7)},
    "DeadLetters": {"ApproximateNumberOfMessagesVisible": every(MINUTE)},
    "IngestErrors": {"5xx": every(MINUTE)},
    "IngestErrorsRepeated": {"5xx": every(20 * MINUTE)},
    "WorkerErrors": {f"Errors {WORKER}": every(11 * MINUTE)},
    "JobsErrors": {f"Errors {JOBS}": every(18 * MINUTE)},
    "JobDeadLetters": {"ApproximateNumberOfMessagesVisible": every(MINUTE)},
    "JobsUnresolved": {"JobsUnresolved": once()},
    "RequestsUnauthorized": {"RequestsUnauthorized": once()},
    "RequestsWithoutCredential": {"RequestsWithoutCredential": every(30)},
    "AudiencesCreated": {"AudiencesCreated": once(10)},
    "SourceKeyExpiring": {"SourceKeyExpiring": once()},
    "NewRejectionReason": {"RejectionReasonsNew": once()},
    "ConsentEnding": {"ConsentEnding": every(20 * MINUTE)},
    "TokenRefreshFailed": {"Errors RefreshFunction": every(20 * MINUTE)},
    "RefreshStopped": {},
    "UnaccountedChanges": {"AccountingGap": once()},
    "AuditLag": {"AuditLagSeconds": every(HOUR, 3 * DAY + 1)},
    "AuditErrors": {"AuditLagSeconds": every(HOUR), f"Errors {AUDIT}": every(HOUR)},
    "AuditStopped": {},
    "ErasuresOverdue": {"ErasuresOverdue": once()},
    "ErasuresUnusual": {"ErasuresRecorded": once(1_000)},
    "AudiencesShrunk": {},  # the next four are read from tables, or are the lack of a value
    "RenewErrors": {},
    "RenewStopped": {},
    "RenewalsUnfinished": {},
    "SharesRevoked": {"SharesRevoked": every(HOUR)},
    "DatasetsErrors": {},
    "DatasetsStopped": {},
    "EventsDeadLetters": {"ApproximateNumberOfMessagesVisible": every(MINUTE)},
    "EventsErrors": {f"Errors {EVENTS}": every(3 * MINUTE)},
    "OldestEventAge": {"OldestFailedEventAge": age(3 * MINUTE), "NumberOfMessagesReceived": every(3 * MINUTE)},
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}


@dataclass(frozen=True)
class Alarm:
    """An alarm of the template, as CloudWatch evaluates it."""

    properties: dict[str, Any]

    def heard_after(self, fault: dict[str, Values]) -> int:
        """Return the seconds until it leaves OK, for ALARM, or for want of data if it notifies of that."""
        metrics = [each for each in self.properties.get("Metrics", [self.properties]) if "Expression" not in each]
        of = {each.get("Id", "it"): each.get("MetricStat", {}).get("Metric", each) for each in metrics}
        stat = {each.get("Id", "it"): each.get("MetricStat", {}).get("Stat", each.get("Statistic")) for each in metrics}
        period: int = self.properties.get("Period") or metrics[0]["MetricStat"]["Period"]
        periods, points = self.properties["EvaluationPeriods"], self.properties.get("DatapointsToAlarm")
        values: list[float | None] = []
        for begin in range(0, LIMIT, period):
            found = {name: self._value(fault, of[name], stat[name], begin, period) for name in of}
            values.append(self._combined(found))
            latest = [each for each in values[-periods:] if each is not None]
            if sum(map(self._is_breaching, latest)) >= (points or periods):
                return begin + period
            tells_of_silence = "InsufficientDataActions" in self.properties
            if len(values) >= periods and not latest and tells_of_silence:
                return begin + period
        return LIMIT

    def _value(
        self, fault: dict[str, Values], metric: dict[str, Any], stat: str, begin: int, period: int
    ) -> float | None:
        (dimension,) = metric["Dimensions"]
        published = fault.get(metric["MetricName"]) or fault.get(f"{metric['MetricName']} {dimension['Value']}")
        seconds = range(begin, begin + period, 30) if published else ()
        found = [value for second in seconds if (value := published(second)) is not None]  # type: ignore[misc]
        return STATISTICS[stat](found) if found else None

    def _combined(self, found: dict[str, float | None]) -> float | None:
        expressions = [each["Expression"] for each in self.properties.get("Metrics", ()) if "Expression" in each]
        if not expressions:
            return found["it"]
        functions = {"FILL": lambda value, other: other if value is None else value, "MAX": max}
        functions["IF"] = lambda holds, one, other: one if holds else other
        text = expressions[0].replace(" AND ", " and ")
        return float(eval(text, functions, found))  # noqa: S307 - our own template

    def _is_breaching(self, value: float) -> bool:
        threshold = float(self.properties["Threshold"])
        is_equal_enough = "OrEqual" in self.properties["ComparisonOperator"] and value == threshold
        return value > threshold or is_equal_enough


@pytest.fixture(scope="module")
def alarms() -> dict[str, Alarm]:
    """Every alarm that a stack can have, with functions under their logical ids."""
    template = Template.load({"EventQueue": "yes", "DataManagerAccountId": "m"})
    for name in (*template.resources("AWS::Serverless::Function"), "Alarms", "Api"):
        template.name(name, name)
    for name in template.resources("AWS::SQS::Queue"):
        template.name(name, name, QueueName=name)
    found = template.resources("AWS::CloudWatch::Alarm").items()
    return {name: Alarm(template.resolve(properties)) for name, properties in found}


def told_after(findings: FindingsHarness, fault: str, name: str) -> int:
    """Return the seconds from the fault until the audit tells it, in the words of that finding."""
    begin = (findings.today - 2) * DAY + 4 * HOUR  # of the fault; the last audit was just before
    cloud, tables = findings.cloud, findings.cloud.client("dynamodb")
    is_renewed, is_overdue = replace(AUDIENCE, settings={"renew": True}), fault.startswith("Renew")
    cloud.audiences.put(is_renewed if is_overdue else AUDIENCE, created=0)
    if is_overdue:  # the run that is due now fails, stops early, or does not begin
        row = Checkpoint(tables, cloud.name_of("MembershipTable"), RENEWAL)
        row.save({"completed": str(begin - DAY)})
    findings.put(5_000, range(-60, -4))
    stops = {"RefreshStopped": "refreshes", "DatasetsErrors": "revoked", "DatasetsStopped": "revoked"}.get(fault, "")
    for hours in range(-6, LIMIT // HOUR):
        at = begin + hours * HOUR
        if fault == "AudiencesShrunk" and hours == 0:
            findings.put(1_000, range(-4, -1))
        if hours > 0:
            for metric, values in FAULTS[fault].items():
                for second in range((hours - 1) * HOUR, hours * HOUR, 30):
                    if (value := values(second)) is not None:
                        findings.count(metric, begin + second, value)
        if hours <= 0 or stops != "revoked":
            findings.count("SharesRevoked", at - HOUR, 0)
        refreshes = hours <= 0 or stops != "refreshes"
        told = findings.audit((at - findings.today * DAY) / HOUR, refreshes=refreshes, READS_DATASETS="yes")
        assert hours > 0 or told[0] == "OK", told
        if any(each.startswith(f"{name}: ") for each in told):
            return hours * HOUR
    return LIMIT


@pytest.fixture
def findings(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> FindingsHarness:
    return FindingsHarness(cloud, monkeypatch)


def test_the_runbook_has_a_row_for_each_fault() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(FAULTS)


def _heard_by(*, of_a_finding: bool) -> list[Any]:
    units = {"minutes": MINUTE, "hour": HOUR, "hours": HOUR}
    return [
        pytest.param(was, alarm or finding, int(number) * units[unit], id=was)
        for was, alarm, finding, number, unit in ROWS
        if bool(finding) == of_a_finding
    ]


@pytest.mark.parametrize(("fault", "alarm", "after"), _heard_by(of_a_finding=False))
def test_a_fault_sets_off_the_alarm_of_its_row_within_its_time(
    alarms: dict[str, Alarm], fault: str, alarm: str, after: int
) -> None:
    assert alarms[alarm].heard_after(FAULTS[fault]) == after


QUEUES = {
    "WorkerFunction": ("ChangeQueue", "OldestMessageAge"),
    "JobsFunction": ("JobQueue", "OldestMessageAge"),
    "EventsFunction": ("EventsQueue", "OldestEventAge"),
}
STOPPED = {  # for want of requests or runs; off, throttled and missing look alike, and each is a row of the runbook
    "IngestFunction": "IngestErrors",
    "AudiencesFunction": "IngestErrors",
    "RefreshFunction": "RefreshStopped",
    "AuditFunction": "AuditStopped",
    "RenewFunction": "RenewStopped",
    "DatasetsFunction": "DatasetsStopped",
}


def test_it_is_heard_of_every_function_that_it_does_not_run() -> None:
    functions = Template.load({"EventQueue": "yes", "DataManagerAccountId": "m"}).resources("AWS::Serverless::Function")
    assert QUEUES.keys() | STOPPED.keys() == {*functions}
    assert {*STOPPED.values()} <= {row[0] for row in ROWS}


@pytest.mark.parametrize("function", QUEUES)
@pytest.mark.parametrize("polled", [False, True], ids=["event source off or missing", "throttled or not allowed"])
@pytest.mark.parametrize("interval", [MINUTE, 7 * MINUTE, LIMIT], ids=["busy", "quiet", "one message"])
def test_a_function_behind_a_queue_that_does_not_run_sets_off_its_alarm(
    alarms: dict[str, Alarm], function: str, interval: int, polled: bool
) -> None:
    queue, alarm = QUEUES[function]
    assert alarms[alarm].heard_after(unstarted(queue, interval, polled=polled)) <= 100 * MINUTE


def test_an_outage_at_amazon_is_heard_once_since_the_worker_is_started(alarms: dict[str, Alarm]) -> None:
    outage = unstarted("ChangeQueue", MINUTE, polled=True) | {f"Invocations {WORKER}": every(MINUTE)}
    assert alarms["OldestMessageAge"].heard_after(outage) == LIMIT
    assert alarms["DeliveryStalled"].heard_after(outage | FAULTS["DeliveryStalled"]) == HOUR


def test_single_changes_that_are_delivered_in_the_next_period_set_off_nothing(alarms: dict[str, Alarm]) -> None:
    late = 20 * MINUTE - 30
    single: dict[str, Values] = {
        "NumberOfMessagesReceived ChangeQueue": lambda second: 1.0 if second % (40 * MINUTE) == late else None,
        f"Invocations {WORKER}": lambda second: 1.0 if second % (40 * MINUTE) == late + 30 else None,
    }
    assert alarms["OldestMessageAge"].heard_after(single) == LIMIT


@pytest.mark.parametrize(("fault", "finding", "after"), _heard_by(of_a_finding=True))
def test_a_fault_is_told_as_the_finding_of_its_row_within_its_time(
    findings: FindingsHarness, fault: str, finding: str, after: int
) -> None:
    assert told_after(findings, fault, finding) == after
