"""The local SQS, driven by the real boto3 over HTTP."""

import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.sqs.queues import SqsQueues
from local.template import REGION
from tests.support.servers import serve_aws
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MEBIBYTE = 1_048_576
ACCESS: dict[str, Any] = {"region_name": REGION, "aws_access_key_id": "local", "aws_secret_access_key": "local"}
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, read_timeout=25, max_pool_connections=20)


@dataclass
class Aws:
    url: str
    queues: SqsQueues
    sqs: "SQSClient"


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    queues = SqsQueues(time.time)
    with serve_aws(queues) as url:
        client = boto3.client("sqs", endpoint_url=url, config=ONE_ATTEMPT, **ACCESS)
        yield Aws(url, queues, client)
        client.close()


@pytest.fixture
def sqs(aws: Aws) -> "SQSClient":
    return aws.sqs


@pytest.fixture
def queue(sqs: "SQSClient") -> str:
    return sqs.create_queue(QueueName=f"queue-{uuid4()}")["QueueUrl"]


def take(sqs: "SQSClient", queue: str, **options: Any) -> list[Any]:
    options = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"], **options}
    return list(sqs.receive_message(QueueUrl=queue, **options).get("Messages", []))


def counts(sqs: "SQSClient", queue: str) -> list[int]:
    """Visible, in flight, delayed."""
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    return [int(found[f"ApproximateNumberOfMessages{each}"]) for each in ("", "NotVisible", "Delayed")]  # type: ignore[index]


def test_the_attributes_of_a_queue_are_its_counts_and_its_arn(sqs: "SQSClient", queue: str) -> None:
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    assert found == {"QueueArn": f"arn:aws:sqs:{REGION}:123456789012:{queue.rsplit('/', 1)[1]}"}
    assert counts(sqs, queue) == [0, 0, 0]
    with pytest.raises(sqs.exceptions.InvalidAttributeName):
        sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["FifoQueue"])


def test_a_message_arrives_with_its_checksums_times_and_count(sqs: "SQSClient", queue: str) -> None:
    before = int(time.time() * 1000)
    sent = sqs.send_message(QueueUrl=queue, MessageBody="Grüße \U0001f44b\n")
    [message] = take(sqs, queue)
    md5 = hashlib.md5("Grüße \U0001f44b\n".encode(), usedforsecurity=False).hexdigest()
    assert message["Body"] == "Grüße \U0001f44b\n"
    assert sent["MD5OfMessageBody"] == message["MD5OfBody"] == md5
    assert sent["MessageId"] == message["MessageId"]
    attributes = message["Attributes"]
    assert before <= int(attributes["SentTimestamp"]) <= int(attributes["ApproximateFirstReceiveTimestamp"])
    assert attributes["ApproximateReceiveCount"] == "1"
    assert attributes["SenderId"]


def test_only_requested_message_attributes_are_returned(sqs: "SQSClient", queue: str) -> None:
    sent: Any = {name: {"StringValue": "not_found", "DataType": "String"} for name in ("reason", "reason.of")}
    digest = sqs.send_message(QueueUrl=queue, MessageBody="a", MessageAttributes=sent)["MD5OfMessageAttributes"]

    def received(*names: str) -> Any:
        [message] = take(sqs, queue, VisibilityTimeout=0, MessageAttributeNames=list(names))
        return message

    assert received("All")["MessageAttributes"] == sent
    assert received("All")["MD5OfMessageAttributes"] == digest
    assert received("reason", "other")["MessageAttributes"].keys() == {"reason"}
    assert "MessageAttributes" not in received()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("", "MissingParameter", id="empty"),
        pytest.param("a\x00b", "InvalidMessageContents", id="NUL"),
        pytest.param("\x1b", "InvalidMessageContents", id="control character"),
        pytest.param("\ufffe", "InvalidMessageContents", id="not a character"),
        pytest.param("\ud800", "InvalidMessageContents", id="half a surrogate pair"),
        pytest.param("x" * (MEBIBYTE + 1), "InvalidParameterValue", id="one byte too many"),
        pytest.param("é" * (MEBIBYTE // 2 + 1), "InvalidParameterValue", id="too many bytes, not characters"),
    ],
)
def test_a_body_that_sqs_refuses_is_refused(sqs: "SQSClient", queue: str, body: str, code: str) -> None:
    with pytest.raises(ClientError) as refusal:
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert refusal.value.response["Error"]["Code"] == code
    assert counts(sqs, queue) == [0, 0, 0]


def test_a_message_holds_a_mebibyte_with_its_attributes(sqs: "SQSClient", queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x" * MEBIBYTE)
    with pytest.raises(ClientError, match="shorter than"):
        sqs.send_message(
            QueueUrl=queue,
            MessageBody="x" * (MEBIBYTE - 8),
            MessageAttributes={"a": {"StringValue": "bc", "DataType": "String"}},
        )


def batch(*bodies: str) -> Any:
    return [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]


def test_an_invalid_entry_fails_alone_in_its_batch(sqs: "SQSClient", queue: str) -> None:
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=batch("a", "b\x00", "", "c"))
    assert [each["Id"] for each in answer["Successful"]] == ["0", "3"]
    assert [(each["Id"], each["Code"], each["SenderFault"]) for each in answer["Failed"]] == [
        ("1", "InvalidMessageContents", True),
        ("2", "MissingParameter", True),
    ]
    assert counts(sqs, queue) == [2, 0, 0]


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        pytest.param([], "EmptyBatchRequest", id="empty"),
        pytest.param(batch(*"abcdefghijk"), "TooManyEntriesInBatchRequest", id="eleven"),
        pytest.param(batch("a") + batch("b"), "BatchEntryIdsNotDistinct", id="two of one id"),
        pytest.param([{"Id": "a b", "MessageBody": "a"}], "InvalidBatchEntryId", id="id with a space"),
        pytest.param(batch("x" * 600_000, "x" * 448_577), "BatchRequestTooLong", id="one byte too many in all"),
    ],
)
def test_a_batch_that_sqs_refuses_is_refused_as_a_whole(sqs: "SQSClient", queue: str, entries: Any, error: str) -> None:
    with pytest.raises(getattr(sqs.exceptions, error)):
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert counts(sqs, queue) == [0, 0, 0]


def test_messages_are_deleted_and_hidden_in_batches(sqs: "SQSClient", queue: str) -> None:
    sqs.send_message_batch(QueueUrl=queue, Entries=batch("a", "b"))
    entries: Any = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(take(sqs, queue))]
    bad: Any = {"Id": "bad", "ReceiptHandle": "bad"}

    timeouts: Any = [{**entries[0], "VisibilityTimeout": 0}, {**entries[1], "VisibilityTimeout": 43_201}]
    changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=timeouts)
    assert [each["Id"] for each in changed["Successful"]] == ["0"]
    assert [(each["Id"], each["Code"]) for each in changed["Failed"]] == [("1", "InvalidParameterValue")]
    assert counts(sqs, queue) == [1, 1, 0]

    deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[*entries, bad])
    assert [each["Id"] for each in deleted["Successful"]] == ["0", "1"]
    assert [(each["Id"], each["Code"]) for each in deleted["Failed"]] == [("bad", "ReceiptHandleIsInvalid")]
    assert counts(sqs, queue) == [0, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"MaxNumberOfMessages": 0}, id="none"),
        pytest.param({"MaxNumberOfMessages": 11}, id="eleven"),
        pytest.param({"WaitTimeSeconds": 21}, id="too long a wait"),
        pytest.param({"VisibilityTimeout": 43_201}, id="too long hidden"),
    ],
)
def test_a_receive_out_of_range_is_refused(sqs: "SQSClient", queue: str, options: dict[str, int]) -> None:
    with pytest.raises(ClientError) as refusal:
        take(sqs, queue, **options)
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_a_disconnected_receiver_takes_no_message(aws: Aws, queue: str) -> None:
    connection = http.client.HTTPConnection(aws.url.removeprefix("http://"))
    body = json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 20})
    connection.request("POST", "/", body, {"X-Amz-Target": "AmazonSQS.ReceiveMessage"})
    waiting = aws.queues.find(queue).arrivals._waiters
    wait_until(lambda: len(waiting), lambda receivers: receivers == 1)
    connection.close()
    wait_until(lambda: len(waiting), lambda receivers: receivers == 0)
    aws.sqs.send_message(QueueUrl=queue, MessageBody="a")
    assert counts(aws.sqs, queue) == [1, 0, 0]


def test_errors_of_visibility_and_deletion_have_the_classes_of_boto3(sqs: "SQSClient", queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="a")
    [message] = take(sqs, queue, VisibilityTimeout=0)
    with pytest.raises(sqs.exceptions.MessageNotInflight):
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=1)
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle="bad", VisibilityTimeout=1)
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle="bad")


def test_no_error_repeats_a_value_of_the_request(sqs: "SQSClient", queue: str) -> None:
    marker = "ada@example.com"
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=batch(marker + "\x00"))
    with pytest.raises(ClientError) as refusal:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=marker)
    assert marker not in json.dumps(answer["Failed"]) + json.dumps(refusal.value.response["Error"])


def test_the_server_stops_during_a_long_poll() -> None:
    with ThreadPoolExecutor(1) as threads:
        with serve_aws(SqsQueues(time.time)) as url:
            client = boto3.client("sqs", endpoint_url=url, config=ONE_ATTEMPT, **ACCESS)
            queue = client.create_queue(QueueName="short")["QueueUrl"]
            waiting = threads.submit(take, client, queue, WaitTimeSeconds=20)
            time.sleep(0.2)
        assert isinstance(waiting.exception(timeout=10), BotoCoreError)
        client.close()
