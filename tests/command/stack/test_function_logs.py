"""Log lines are read from CloudWatch Logs: moto's, and the local stack's own."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from audience_sync.amazon_ads.regions import HOSTS
from audience_sync.errors import Unavailable
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.stack.function_logs import Follower, FunctionLogs, LogLine, parsed
from local import aws, logs
from local.logs import LogGroups
from local.resources import client
from local.sqs.queues import SqsQueues
from tests.support.servers import serve

GROUPS = {"WorkerLogGroup": "/aws/lambda/tests-worker", "JobsLogGroup": "/aws/lambda/tests-jobs"}
NOW = time.time()

type Put = Callable[[str, float, str], None]  # log group, epoch seconds, line
UPLOAD = json.dumps({"level": "INFO", "message": "upload accepted", "job_id": "job-1", "request_id": "r1"})
METRICS = json.dumps({"_aws": {"CloudWatchMetrics": []}, "UploadsSent": [2.0, 1.0], "service": "tests"})


def stack(cloudwatch: Any) -> Stack:
    return Stack("tests", lambda _: cloudwatch, "https://api.example", HOSTS["NA"], {}, 0, None, dict(GROUPS))


@pytest.fixture(params=["moto", "local"])
def cloudwatch(request: pytest.FixtureRequest) -> Iterator[tuple[Stack, Put]]:
    """A stack whose logs are at moto, or at the local AWS; and what adds a line."""
    if request.param == "moto":
        with mock_aws():
            yield _moto()
        return
    clock = [NOW]
    groups = LogGroups(lambda: clock[0])

    def put(group: str, at: float, line: str) -> None:
        clock[0] = at
        groups.add(GROUPS[group], line)

    with serve(lambda: aws.build_app(SqsQueues(time.time), groups)) as served:
        yield stack(client("logs", served.url)), put


def _moto() -> tuple[Stack, Put]:
    found: Any = boto3.client(
        "logs", region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )
    for group in GROUPS.values():
        found.create_log_group(logGroupName=group)
        found.create_log_stream(logGroupName=group, logStreamName="one")

    def put(group: str, at: float, line: str) -> None:
        event = {"timestamp": round(at * 1000), "message": line}
        found.put_log_events(logGroupName=GROUPS[group], logStreamName="one", logEvents=[event])

    return stack(found), put


def test_lines_of_several_functions_are_sorted_by_time(cloudwatch: tuple[Stack, Put]) -> None:
    stack, put = cloudwatch
    put("JobsLogGroup", NOW - 3, json.dumps({"message": "job checked"}))
    put("WorkerLogGroup", NOW - 2, UPLOAD)
    put("WorkerLogGroup", NOW - 1, "Traceback (most recent call last):")
    lines = FunctionLogs(stack).read(["Worker", "Jobs"], NOW - 10)
    assert [(line.function, line.message) for line in lines] == [("Jobs", "job checked"), ("Worker", "upload accepted")]
    assert (lines[1].at, lines[1].request_id) == (round((NOW - 2) * 1000), "r1")


def test_lines_before_and_after_the_time_asked_for_are_left_out(cloudwatch: tuple[Stack, Put]) -> None:
    stack, put = cloudwatch
    for ago in (30, 20, 10):
        put("WorkerLogGroup", NOW - ago, json.dumps({"message": f"{ago} seconds ago"}))
    lines = FunctionLogs(stack).read(["Worker"], NOW - 25, NOW - 15)
    assert [line.message for line in lines] == ["20 seconds ago"]


def test_only_lines_with_the_messages_asked_for_are_returned(cloudwatch: tuple[Stack, Put]) -> None:
    stack, put = cloudwatch
    for ago, line in enumerate((json.dumps({"message": "credential used"}), METRICS, UPLOAD)):
        put("WorkerLogGroup", NOW - 3 + ago, line)
    lines = FunctionLogs(stack).read(["Worker"], NOW - 10, messages=["upload accepted"])
    assert [line.message for line in lines] == ["upload accepted"]


def test_a_log_group_that_does_not_exist_is_unavailable() -> None:
    with mock_aws():
        found, _ = _moto()
        found._names["WorkerLogGroup"] = "/aws/lambda/deleted"
        with pytest.raises(Unavailable, match="CloudWatch Logs does not answer: ResourceNotFoundException"):
            FunctionLogs(found).read(["Worker"], NOW)


def test_the_follower_returns_late_lines_and_each_line_once(cloudwatch: tuple[Stack, Put]) -> None:
    stack, put = cloudwatch
    follower = Follower(FunctionLogs(stack), ["Worker"], NOW - 60)
    put("WorkerLogGroup", NOW - 5, json.dumps({"message": "first"}))
    assert [line.message for line in follower.new()] == ["first"]
    put("WorkerLogGroup", NOW - 9, json.dumps({"message": "late"}))
    put("WorkerLogGroup", NOW - 1, json.dumps({"message": "second"}))
    assert [line.message for line in follower.new()] == ["late", "second"]
    assert follower.new() == []


def test_metrics_in_a_line_are_summed_and_counts_by_reason_read_where_there_are_some() -> None:
    line = LogLine(0, "Worker", json.loads(METRICS))
    assert (line.count("UploadsSent"), line.count("UploadsFailed"), line.message) == (3, 0, "")
    assert LogLine(0, "Worker", {"message": "text", "UploadsSent": 3}).count("UploadsSent") == 0
    line = LogLine(0, "Worker", {"by_reason": {"throttled": 2}, "deferred": ["throttled"]})
    assert (line.counts("by_reason"), line.counts("deferred"), line.counts("missing")) == ({"throttled": 2}, {}, {})


@pytest.mark.parametrize("message", ["Traceback", "[1]", "3", '"text"'])
def test_a_line_that_is_not_a_json_object_is_skipped(message: str) -> None:
    assert parsed("Worker", {"timestamp": 1, "eventId": "e", "message": message}) is None


def test_local_log_groups_return_their_newest_lines_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = LogGroups(lambda: NOW)
    for number in range(logs.KEPT + 2):
        groups.add("group", str(number))
    monkeypatch.setattr(logs, "PAGE", logs.KEPT - 1)
    first = groups.filter("group", 0)
    second = groups.filter("group", 0, skipped=int(first["nextToken"]))
    assert [first["events"][0]["message"], second["events"][-1]["message"]] == ["2", str(logs.KEPT + 1)]
    assert (len(first["events"]), len(second["events"]), "nextToken" in second) == (logs.KEPT - 1, 1, False)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("", [0, 1, 2, 3], id="none"),
        pytest.param('"upload accepted"', [0], id="a term"),
        pytest.param('"Traceback"', [3], id="a term, in a line without JSON"),
        pytest.param('{ $.message = "upload accepted" }', [0], id="a field"),
        pytest.param('{ $.message = "upload" }', [], id="not the whole field"),
        pytest.param('{ ($.message = "event rejected") || ($.message = "upload accepted") }', [0, 1], id="one of two"),
        pytest.param('{ $.message = "*rejected" || $.level = "NONE" }', [1], id="a wildcard"),
    ],
)
def test_local_log_groups_filter_as_cloudwatch_documents(pattern: str, found: list[int]) -> None:
    groups = LogGroups(lambda: NOW)
    lines = [UPLOAD, json.dumps({"message": "event rejected"}), METRICS, "Traceback: upload"]
    for line in lines:
        groups.add("group", line)
    events = groups.filter("group", 0, pattern=pattern)["events"]
    assert [lines.index(each["message"]) for each in events] == found


@pytest.mark.parametrize("pattern", ["ERROR", "{ $.records > 5 }", '{ $.a = "x" && $.b = "y" }', '["x", y]'])
def test_another_filter_pattern_is_refused_rather_than_misread(pattern: str) -> None:
    with pytest.raises(logs.InvalidPattern):
        LogGroups().filter("group", 0, pattern=pattern)
