"""The newest log lines of a deployed stack."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from audience_sync_cli.dashboard.logs import SHOWN, UPLOADS, newest_lines, uploads

NOW = float(round(time.time()))  # CloudWatch takes no line that is older than two weeks
GROUP = "/aws/lambda/mine-worker"


@pytest.fixture
def logs() -> Iterator[Any]:
    with mock_aws():
        client: Any = boto3.client(
            "logs", region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )
        client.create_log_group(logGroupName=GROUP)
        client.create_log_stream(logGroupName=GROUP, logStreamName="one")
        yield client


def log(logs: Any, *lines: tuple[float, str]) -> None:
    events = [{"timestamp": round((NOW - ago) * 1000), "message": text} for ago, text in sorted(lines, reverse=True)]
    logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)


def newest(logs: Any, now: float = NOW) -> Any:
    return newest_lines(logs, "worker", GROUP, UPLOADS, now)


def upload(number: int) -> str:
    ids = {"audience_id": "418", "job_id": f"job-{number}", "records": number}
    return json.dumps({"level": "INFO", "message": "upload accepted"} | ids)


def test_uploads_are_found_newest_first_with_their_jobs(logs: Any) -> None:
    log(logs, (200, upload(1)), (100, "something else"), (10, upload(2)))
    found = uploads(newest(logs))
    assert [(each.job_id, each.records) for each in found] == [("job-2", 2), ("job-1", 1)]
    assert {each.audience_id for each in found} == {"418"}
    assert found[0].at == NOW - 10


def test_only_the_40_newest_lines_are_shown_and_the_search_widens_to_a_day(logs: Any) -> None:
    log(logs, (30_000, upload(1)))
    assert (len(newest(logs)), newest(logs, now=NOW + 86_400)) == (1, ())
    log(logs, *((number, upload(number)) for number in range(100)))
    found = newest(logs)
    assert (len(found), found[0].more["job_id"]) == (SHOWN, "job-0")


def test_a_line_that_is_not_json_is_shown_as_text(logs: Any) -> None:
    log(logs, (1, "Task timed out after 60.00 seconds"))
    (line,) = newest_lines(logs, "worker", GROUP, '"timed out"', NOW)
    assert (line.text, line.function, line.more) == ("Task timed out after 60.00 seconds", "worker", {})
