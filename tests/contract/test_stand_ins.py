"""The stand-ins suffice for events/lambda/, of which scripts/sam-local.sh runs one for each function, in containers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from local.functions import Functions
from local.template import REGION, ROOT, Template

# Like Docker's bridge, no name of this machine. macOS has only the first address.
HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
INVOCATIONS = [  # in this order: one builds on the other
    ("IngestFunction", "ingest-health", '"statusCode": 200'),
    ("IngestFunction", "ingest-unauthorized", '"statusCode": 401'),
    ("IngestFunction", "ingest-accepted", r"\"accepted\":1"),
    ("IngestFunction", "ingest-deletion", r"\"accepted\":1"),
    ("WorkerFunction", "worker-delivered", '{"batchItemFailures": []}'),
    ("WorkerFunction", "worker-partial", '[{"itemIdentifier": "00000000-0000-4000-8000-000000000003"}]'),
    ("JobsFunction", "jobs-partial", '[{"itemIdentifier": "00000000-0000-4000-8000-000000000006"}]'),
    ("AudiencesFunction", "audiences-create", r"\"externalId\":\"372030298127311891\""),
    ("AudiencesFunction", "audiences-create", r"\"externalId\":\"372030298127311891\""),
    ("AudiencesFunction", "audiences-get", r"\"externalId\":\"418273650912345678\""),
]


@pytest.fixture(scope="module")
def ready() -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "scripts.stand_ins", "--aws", "--host", HOST]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
    assert process.returncode == 0


def variables(ready: dict[str, Any], function: str) -> dict[str, str]:
    environment: dict[str, str] = ready["environment"][function]
    return environment | {
        "AWS_ACCESS_KEY_ID": function,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": ready["aws"],
        "AMAZON_API_URL": ready["amazon"],
        "AMAZON_LOGIN_URL": f"{ready['amazon']}/auth/o2/token",
    }


def test_every_example_event_works_with_the_permissions_of_its_role(ready: dict[str, Any]) -> None:
    lines: list[str] = []

    async def answers() -> list[str]:
        functions = Template.load().functions()
        running = Functions(
            functions, {name: variables(ready, name) for name in functions}, lambda _, line: lines.append(line)
        )
        try:
            events = [
                (function, (ROOT / f"events/lambda/{event}.json").read_text()) for function, event, _ in INVOCATIONS
            ]
            return [json.dumps(await running.invoke(function, json.loads(event))) for function, event in events]
        finally:
            await running.close()

    for answer, (_, event, expected) in zip(asyncio.run(answers()), INVOCATIONS, strict=True):
        assert expected in answer, f"{event}: {answer}\n" + "\n".join(lines)
    asked = requests.get(f"{ready['amazon']}/sandbox/requests", params={"bodies": "no"}, timeout=5).json()
    created = [each for each in asked if (each["method"], each["path"]) == ("POST", "/amc/audiences/metadata")]
    assert len(created) == 1, "the second creation gives the same audience without asking Amazon"


def test_an_action_that_the_role_lacks_is_refused(ready: dict[str, Any]) -> None:
    access: dict[str, Any] = {
        "region_name": REGION,
        "aws_access_key_id": "IngestFunction",
        "aws_secret_access_key": "x",
    }
    sqs = boto3.client("sqs", endpoint_url=ready["aws"], **access)
    queue = ready["environment"]["IngestFunction"]["CHANGE_QUEUE_URL"]
    sqs.send_message(QueueUrl=queue, MessageBody="a")
    with pytest.raises(ClientError) as refusal:
        sqs.receive_message(QueueUrl=queue)
    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"
