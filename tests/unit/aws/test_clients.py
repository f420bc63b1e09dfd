"""Our boto3 clients give up quickly and repeat a call once."""

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from audience_sync.aws.clients import client
from local.resources import CREDENTIALS
from local.template import REGION
from tests.faults.proxy import Front, answer_after, hang_up, refuse

LIST = "ListQueues"


@pytest.fixture(autouse=True)
def environment(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": front.url}).items():
        monkeypatch.setenv(name, value)


def sqs(**options: Any) -> Any:
    return client("sqs", **{"read_timeout": 20} | options)


def test_region_endpoint_and_credentials_come_from_the_environment(front: Front) -> None:
    made = sqs()
    assert made.list_queues().get("QueueUrls", []) == []
    assert (made.meta.region_name, made.meta.endpoint_url) == (REGION, front.url)


def test_a_connection_that_was_closed_meanwhile_is_forgiven(front: Front) -> None:
    front.on(LIST, hang_up(), times=1)
    sqs().list_queues()
    assert front.count(LIST) == 2


def test_a_second_failure_is_not(front: Front) -> None:
    front.on(LIST, hang_up())
    with pytest.raises(BotoCoreError):
        sqs().list_queues()
    assert front.count(LIST) == 2


def test_one_attempt_means_one(front: Front) -> None:
    front.on(LIST, refuse("ThrottlingException"))
    with pytest.raises(ClientError, match="ThrottlingException"):
        sqs(attempts=1).list_queues()
    assert front.count(LIST) == 1


def test_a_silent_service_is_given_up_on(front: Front) -> None:
    front.on(LIST, answer_after(5))  # in time for a client that waits longer than it was told
    with pytest.raises(ReadTimeoutError):
        sqs(attempts=1, read_timeout=0.2).list_queues()
    assert front.count(LIST) == 1
