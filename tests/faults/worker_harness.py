"""Brings messages to the worker as Lambda's poller does, and looks at what it did: at AWS and at Amazon."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from functions.worker import handler
from tests.faults.proxy import Front
from tests.faults.unhurried import PLENTY
from tests.functions.conftest import AUDIENCE, Cloud

UPLOADS, TOKENS = "/amc/audiences/records", "/auth/o2/token"
POSTPONE = "ChangeMessageVisibilityBatch"


@dataclass
class Sandbox:
    """Amazon: what was asked of it, and what shall go wrong."""

    url: str

    def fail(self, *rules: dict[str, Any]) -> None:
        requests.put(f"{self.url}/sandbox/faults", json=list(rules), timeout=60).raise_for_status()

    def mend(self) -> None:
        requests.delete(f"{self.url}/sandbox/faults", timeout=60).raise_for_status()

    def asked(self, path: str = UPLOADS) -> int:
        log = requests.get(f"{self.url}/sandbox/requests", params={"bodies": "no"}, timeout=60).json()
        return sum(entry["path"] == path for entry in log)

    def told(self, member: str) -> list[str]:
        log = requests.get(f"{self.url}/sandbox/ledger", params={"member": member}, timeout=60).json()
        return [entry["action"] for entry in log]

    def members(self, audience: str = AUDIENCE.audience_id) -> set[str]:
        answer = requests.get(f"{self.url}/sandbox/audiences/{audience}", timeout=60)
        return set(answer.json()["members"])


@dataclass
class Run:
    """One invocation."""

    back: list[str]  # bodies that must come back
    waits: list[int]  # seconds for which they shall not be seen
    seconds: float


@dataclass
class WorkerHarness:
    """One change queue, its worker and Amazon."""

    cloud: Cloud
    front: Front
    amazon: Sandbox
    is_warm: bool = False  # whether the worker has its environment already

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
        asked = {"QueueUrl": self.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in sqs.receive_message(**asked, MessageSystemAttributeNames=["All"]).get("Messages", [])
        ]

    def run(self, *bodies: str) -> Run:
        """Put messages, have the worker deliver all that is visible, and make what must come back visible at once."""
        self.put(*bodies)
        records = self.receive()
        if not self.is_warm:
            self.cloud.enter("WorkerFunction")
            self.is_warm = True
        seen = len(self.front.parameters(POSTPONE))
        began = time.monotonic()
        answer = handler.lambda_handler({"Records": records}, PLENTY)
        seconds = time.monotonic() - began
        calls = self.front.parameters(POSTPONE)[seen:]
        waits = [entry["VisibilityTimeout"] for call in calls for entry in call["Entries"]]
        return Run(self.acknowledge(records, answer), waits, seconds)

    def acknowledge(self, records: Sequence[dict[str, Any]], answer: dict[str, Any]) -> list[str]:
        failed = {entry["itemIdentifier"] for entry in answer["batchItemFailures"]}
        sqs = self.cloud.client("sqs")
        for record in records:
            of_message = {"QueueUrl": self.url, "ReceiptHandle": record["receiptHandle"]}
            if record["messageId"] in failed:
                with suppress(sqs.exceptions.MessageNotInflight):  # the worker asked for no wait at all
                    sqs.change_message_visibility(**of_message, VisibilityTimeout=0)
            else:
                sqs.delete_message(**of_message)
        return [record["body"] for record in records if record["messageId"] in failed]

    def letters(self) -> dict[str, str]:
        """Reasons of the dead letters, by member; under their whole text for those that nobody can read."""
        found = {}
        for message in self.cloud.queues.peek(self.cloud.name_of("DeadLetterQueue")):
            try:
                letter = json.loads(message.body)
                member, reason = letter["changes"][0]["record"]["externalUserId"], letter["failure"]["reason"]
            except (ValueError, LookupError, TypeError, RecursionError):
                member, reason = message.body, message.attributes["reason"]
            found[member] = reason
        return found


def upload_fails(do: dict[str, Any], *, times: int | None = None, **match: Any) -> dict[str, Any]:
    """A fault rule for uploads."""
    rule: dict[str, Any] = {"match": {"path": UPLOADS} | match, "do": do}
    return rule if times is None else rule | {"times": times}
