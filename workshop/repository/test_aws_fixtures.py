"""The local AWS that tests share: a receive that waits ends with its test."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from tests.support.aws_fixtures import AwsServer, template_resources
from tests.support.waiting import wait_until

SECRETS: dict[str, dict[str, Any]] = {"IngestSecret": {}, "CredentialsSecret": {}, "TokenSecret": {}}


def test_a_pending_long_poll_receives_no_message_of_the_next_test(aws_server: AwsServer) -> None:
    ended = threading.Event()

    def receive(queue: str) -> None:
        with pytest.raises(ConnectionClosedError):
            aws_server.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)
        ended.set()

    with template_resources(aws_server, SECRETS) as template:
        queue = template.resolve({"Ref": "ChangeQueue"})
        thread = threading.Thread(target=receive, args=[queue])
        thread.start()
        wait_until(lambda: aws_server.queues.find(queue).arrivals._waiters, bool)
    assert ended.wait(60)
    thread.join()
