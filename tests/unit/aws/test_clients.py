"""Our boto3 clients give up quickly and repeat a call once."""

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from audience_sync.aws.clients import client
from local.resources import CREDENTIALS
from local.template import REGION
from tests.support.proxy import FaultProxy, answer_after, hang_up, refuse

LIST = "ListQueues"


@pytest.fixture(autouse=True)
def environment(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": proxy.url}).items():
        monkeypatch.setenv(name, value)


def sqs(**options: Any) -> Any:
    return client("sqs", **{"read_timeout": 20} | options)


def test_region_endpoint_and_credentials_come_from_the_environment(proxy: FaultProxy) -> None:
    made = sqs()
    assert made.list_queues().get("QueueUrls", []) == []
    assert (made.meta.region_name, made.meta.endpoint_url) == (REGION, proxy.url)


def test_a_call_is_repeated_once_after_a_closed_connection(proxy: FaultProxy) -> None:
    proxy.on(LIST, hang_up(), times=1)
    sqs().list_queues()
    assert proxy.count(LIST) == 2


def test_a_second_failure_is_raised(proxy: FaultProxy) -> None:
    proxy.on(LIST, hang_up())
    with pytest.raises(BotoCoreError):
        sqs().list_queues()
    assert proxy.count(LIST) == 2


def test_a_client_with_one_attempt_does_not_repeat_calls(proxy: FaultProxy) -> None:
    proxy.on(LIST, refuse("ThrottlingException"))
    with pytest.raises(ClientError, match="ThrottlingException"):
        sqs(attempts=1).list_queues()
    assert proxy.count(LIST) == 1


def test_a_silent_service_ends_in_a_read_timeout(proxy: FaultProxy) -> None:
    proxy.on(LIST, answer_after(5))  # soon enough for a client that ignores its read timeout
    with pytest.raises(ReadTimeoutError):
        sqs(attempts=1, read_timeout=0.2).list_queues()
    assert proxy.count(LIST) == 1
