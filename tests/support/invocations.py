"""Messages of the change queue and of the job queue, and the functions that Lambda's poller hands them to."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from audience_sync.members.messages import change_as_json
from functions.jobs import handler as jobs
from functions.worker import handler as worker
from tests.support import builders
from tests.support.cloud import AUDIENCE, Cloud, Context

EMAIL = hashlib.sha256(b"ada@example.com").hexdigest()
GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}}
EVERYONE = {"v": 1, "audienceId": "*", "connectionId": None}


def change(member: str, *, at: int = 1, exits: bool = False) -> dict[str, Any]:
    return change_as_json(builders.change(member, EMAIL, at=at, exits=exits, message_id=f"personas_{at}", country="US"))


def body(*changes: dict[str, Any], audience: str = AUDIENCE.audience_id) -> str:
    return json.dumps({"v": 1, "audienceId": audience, "connectionId": None, "changes": changes})


def dataset_body(audience_id: str, *changes: dict[str, Any]) -> str:
    return json.dumps(
        {"v": 1, "audienceId": audience_id, "destination": {"api": "data-manager"}, "changes": list(changes)}
    )


def notice(member: str, at: int) -> str:
    record = {"externalUserId": member, "action": "DELETE", "hashedPII": [], "userConsent": {}}
    return json.dumps(EVERYONE | {"changes": [{"at": at, "id": f"id-{at}", "record": record, "erase": True}]})


def deliver(cloud: Cloud, *bodies: str, context: Context | None = None, **variables: str) -> list[str]:
    """Send messages, receive them and hand them to the worker. Returns the bodies that stay in the queue."""
    sqs, url = cloud.client("sqs"), cloud.name_of("ChangeQueue")
    for each in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=each)
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])[
        "Messages"
    ]
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": cloud.template.resolve({"Fn::GetAtt": ["ChangeQueue", "Arn"]}),
            "awsRegion": "us-east-1",
        }
        for message in received
    ]
    cloud.enter("WorkerFunction", **variables)
    answer = worker.lambda_handler({"Records": records}, context or Context())
    failed = {entry["itemIdentifier"] for entry in answer["batchItemFailures"]}
    for record in records:
        if record["messageId"] not in failed:  # as the poller does
            sqs.delete_message(QueueUrl=url, ReceiptHandle=record["receiptHandle"])
    return [record["body"] for record in records if record["messageId"] in failed]


def take(cloud: Cloud, queue: str) -> list[str]:
    """Remove all messages from a queue, delayed ones too, and return their bodies."""
    bodies = [message.body for message in cloud.queues.peek(cloud.name_of(queue))]
    cloud.client("sqs").purge_queue(QueueUrl=cloud.name_of(queue))
    return bodies


def put(cloud: Cloud, queue: str, bodies: Iterable[str]) -> None:
    for each in bodies:
        cloud.client("sqs").send_message(QueueUrl=cloud.name_of(queue), MessageBody=each)


def check_jobs(cloud: Cloud, *, milliseconds: int = 180_000, **variables: str) -> list[str]:
    """Hand the waiting job messages to the function. Returns the bodies of those that stay in the queue."""
    waiting = take(cloud, "JobQueue")
    records = [
        {"messageId": str(number), "receiptHandle": "h", "body": each, "attributes": {}}
        for number, each in enumerate(waiting)
    ]
    cloud.enter("JobsFunction", **variables)
    answer = jobs.lambda_handler({"Records": records}, Context(milliseconds))
    failed = [waiting[int(entry["itemIdentifier"])] for entry in answer["batchItemFailures"]]
    put(cloud, "JobQueue", failed)
    return failed
