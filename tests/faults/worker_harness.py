"""Runs the worker as Lambda's poller does, and reads the results from AWS and Amazon."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.members.membership import Audience
from functions.worker import handler
from local.amazon import sandbox
from local.amazon.data_manager.accounts import Account
from local.amazon.data_manager.front_end import MANAGER
from local.amazon.exchange import SANDBOX
from local.resources import MANAGER_ACCOUNT
from tests.support.cloud import Cloud
from tests.support.invocations import GRANTED, body, dataset_body
from tests.support.long_timeouts import LONG_CONTEXT
from tests.support.proxy import FaultProxy
from tests.support.servers import Served

UPLOADS = {Api.AUDIENCES: "/amc/audiences/records", Api.DATA_MANAGER: "/adm/audiences/*/members"}
TOKENS = "/auth/o2/token"
POSTPONE = "ChangeMessageVisibilityBatch"
OTHER = 427760013398172655  # a second audience of the audience API
ACCOUNT = {"DATA_MANAGER_ACCOUNT_ID": MANAGER_ACCOUNT}
ONE_API = pytest.mark.parametrize("worker_harness", [Api.AUDIENCES], indirect=True)  # of tests about what both share
DATASET = pytest.mark.parametrize("worker_harness", [Api.DATA_MANAGER], indirect=True)


@dataclass
class Sandbox:
    """Amazon's sandbox: the requests it received, and the faults it is set to."""

    served: Served
    api: Api
    audience: Audience  # whose members are delivered

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def state(self) -> sandbox.Sandbox:
        return self.served.app[SANDBOX]

    @property
    def account(self) -> Account:
        """The account of Ads Data Manager."""
        return self.state.data_manager.account(MANAGER, MANAGER_ACCOUNT, time.time())

    def add_audience(self, name: str) -> Audience:
        """Add an audience of this API, or a dataset."""
        if self.api is Api.DATA_MANAGER:
            settings = {"name": name, "countryCode": "US"}
            made = self.state.data_manager.create_dataset(self.account, settings, time.time())
            return Audience(made.dataset_id, name, destination=ads_data_manager())
        target = {"targetResource": {"advertiserId": 590071284455661234}}
        self.state.seed(OTHER, target | {"name": name, "description": "", "metadata": {"externalAudienceId": name}})
        return Audience(str(OTHER), name)

    def fail(self, *rules: dict[str, Any]) -> None:
        requests.put(f"{self.url}/sandbox/faults", json=list(rules), timeout=60).raise_for_status()

    def upload_fails(self, do: dict[str, Any], *, times: int | None = None, **match: Any) -> dict[str, Any]:
        """A fault rule for uploads."""
        rule: dict[str, Any] = {"match": {"path": UPLOADS[self.api]} | match, "do": do}
        return rule if times is None else rule | {"times": times}

    def fail_uploads(self, do: dict[str, Any], *, times: int | None = None, **match: Any) -> None:
        self.fail(self.upload_fails(do, times=times, **match))

    def clear_faults(self) -> None:
        requests.delete(f"{self.url}/sandbox/faults", timeout=60).raise_for_status()

    def requests_to(self, path: str) -> list[dict[str, Any]]:
        log = requests.get(f"{self.url}/sandbox/requests", timeout=60).json()
        return [request for request in log if fnmatchcase(request["path"], path)]

    def request_count(self, path: str = "") -> int:
        """How many requests arrived, by default uploads."""
        return len(self.requests_to(path or UPLOADS[self.api]))

    def actions_sent(self, member: str) -> list[str]:
        log = requests.get(f"{self.url}/sandbox/ledger", params={"member": member}, timeout=60).json()
        return [record["action"] for record in log]

    def members(self, audience: Audience | None = None) -> set[str]:
        audience_id = (audience or self.audience).audience_id
        return set(requests.get(f"{self.url}/sandbox/audiences/{audience_id}", timeout=60).json()["members"])


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

    def message(self, *changes: dict[str, Any], audience: Audience | None = None) -> str:
        """Return a message as ingest makes it of this API: with consent if members enter a dataset."""
        audience_id = (audience or self.amazon.audience).audience_id
        if self.amazon.api is Api.AUDIENCES:
            return body(*changes, audience=audience_id)
        return dataset_body(audience_id, *map(_of_dataset, changes))

    def enter(self, **variables: str) -> None:
        """Begin a new execution environment."""
        self.cloud.enter("WorkerFunction", **ACCOUNT, **variables)
        self.is_warm = True

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
            self.enter()
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


def _of_dataset(change: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = dict(change["record"])
    if record["action"] == "DELETE":
        del record["userConsent"]  # the row has the consent under which the member was added
    else:
        record["userConsent"] = GRANTED
    return change | {"record": record}
