"""Runs the worker as Lambda's poller does, and reads the results from AWS and Amazon."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from functions.worker import handler
from tests.faults.long_timeouts import LONG_CONTEXT
from tests.faults.proxy import FaultProxy
from tests.functions.conftest import AUDIENCE, Cloud

UPLOADS, TOKENS = "/amc/audiences/records", "/auth/o2/token"
POSTPONE = "ChangeMessageVisibilityBatch"


@dataclass
class Sandbox:
    """Amazon's sandbox: the requests it received, and the faults it is set to."""

    url: str

    def fail(self, *rules: dict[str, Any]) -> None:
        requests.put(f"{self.url}/sandbox/faults", json=list(rules), timeout=60).raise_for_status()

    def clear_faults(self) -> None:
        requests.delete(f"{self.url}/sandbox/faults", timeout=60).raise_for_status()

    def request_count(self, path: str = UPLOADS) -> int:
        log = requests.get(f"{self.url}/sandbox/requests", params={"bodies": "no"}, timeout=60).json()
        return sum(request["path"] == path for request in log)

    def actions_sent(self, member: str) -> list[str]:
        log = requests.get(f"{self.url}/sandbox/ledger", params={"member": member}, timeout=60).json()
        return [record["action"] for record in log]

    def members(self, audience: str = AUDIENCE.audience_id) -> set[str]:
        answer = requests.get(f"{self.url}/sandbox/audiences/{audience}", timeout=60)
        return set(answer.json()["members"])


@dataclass
class Run:
    """One invocation."""

    returned: list[str]  # bodies that return to the queue
    waits: list[int]  # seconds for which they stay invisible
    seconds: float


@dataclass
class WorkerHarness:
    """One change queue, its worker and Amazon."""

    cloud: Cloud
    proxy: FaultProxy
    amazon: Sandbox
    is_warm: bool = False  # the worker has its environment already

    @property
    def url(self) -> str:
        return self.cloud.name_of("ChangeQueue")

    def put(self, *bodies: str) -> None:
        sqs = self.cloud.client("sqs")
        for each in bodies:
            sqs.send_message(QueueUrl=self.url, MessageBody=each)

    def receive(self) -> list[dict[str, Any]]:
        """Take what is visible, as the records of a Lambda event."""
        sqs = self.cloud.client("sqs")
        request = {"QueueUrl": self.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in sqs.receive_message(**request, MessageSystemAttributeNames=["All"]).get("Messages", [])
        ]

    def run(self, *bodies: str) -> Run:
        """Send messages, have the worker deliver all that is visible, and make what returns visible at once."""
        self.put(*bodies)
        records = self.receive()
        if not self.is_warm:
            self.cloud.enter("WorkerFunction")
            self.is_warm = True
        seen = len(self.proxy.parameters(POSTPONE))
        began = time.monotonic()
        answer = handler.lambda_handler({"Records": records}, LONG_CONTEXT)
        seconds = time.monotonic() - began
        calls = self.proxy.parameters(POSTPONE)[seen:]
        waits = [entry["VisibilityTimeout"] for call in calls for entry in call["Entries"]]
        return Run(self.acknowledge(records, answer), waits, seconds)

    def acknowledge(self, records: Sequence[dict[str, Any]], answer: dict[str, Any]) -> list[str]:
        failed = {entry["itemIdentifier"] for entry in answer["batchItemFailures"]}
        sqs = self.cloud.client("sqs")
        for record in records:
            of_message = {"QueueUrl": self.url, "ReceiptHandle": record["receiptHandle"]}
            if record["messageId"] in failed:
                with suppress(sqs.exceptions.MessageNotInflight):  # the worker made it visible already
                    sqs.change_message_visibility(**of_message, VisibilityTimeout=0)
            else:
                sqs.delete_message(**of_message)
        return [record["body"] for record in records if record["messageId"] in failed]

    def dead_letters(self) -> dict[str, str]:
        """Reasons of the dead letters, by member; unreadable ones by their whole text."""
        found = {}
        for message in self.cloud.queues.peek(self.cloud.name_of("DeadLetterQueue")):
            try:
                dead_letter = json.loads(message.body)
                member, reason = dead_letter["changes"][0]["record"]["externalUserId"], dead_letter["failure"]["reason"]
            except (ValueError, LookupError, TypeError, RecursionError):
                member, reason = message.body, message.attributes["reason"]
            found[member] = reason
        return found


def upload_fails(do: dict[str, Any], *, times: int | None = None, **match: Any) -> dict[str, Any]:
    """A fault rule for uploads."""
    rule: dict[str, Any] = {"match": {"path": UPLOADS} | match, "do": do}
    return rule if times is None else rule | {"times": times}
