"""Connect a freshly deployed stack as an operator would, send one event, and check for the member at Amazon's sandbox.

python -m scripts.one_event STACK API_URL AMAZON_URL     or     STACK --queue AMAZON_URL     or     STACK --paused
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import requests

from local import resources
from scripts import stand_ins

EVENT = Path(__file__).parent.parent / "events/segment/01-track-entered-full-pii.json"
BY_QUEUE = "member-by-queue"
TIMEOUT = 120.0  # seconds for the queue, the worker and Amazon's job; on a busy machine the worker alone took 30


def main() -> None:
    """Run the check named on the command line; exit with 1 if the stack does not answer as it must."""
    stack, *rest = sys.argv[1:]
    outputs = outputs_of(stack)
    if rest == ["--paused"]:
        expect(_delivery_state(outputs) in {"Disabled", "Disabling"}, "delivery is paused")
        return
    api, amazon = rest
    if api == "--queue":
        body = _event(userId=BY_QUEUE).decode()
        boto3.client("sqs").send_message(QueueUrl=outputs["EventsQueueUrl"], MessageBody=body)
        expect(_arrives(amazon, BY_QUEUE), "a member whose event came through the event queue is at Amazon")
        return
    key = _connect(outputs)
    expect(_post(api, "no such key").status_code == 401, "an event with a wrong key is refused")
    answer = _post(api, key)
    expect(answer.status_code == 200 and answer.json()["accepted"] == 1, f"an event is accepted: {answer.text}")
    expect(_arrives(amazon, json.loads(EVENT.read_text())["userId"]), "the member is in the audience at Amazon")


def _connect(outputs: dict[str, str]) -> str:
    secrets = boto3.client("secretsmanager")
    secrets.put_secret_value(SecretId=outputs["CredentialsSecretArn"], SecretString=json.dumps(stand_ins.CREDENTIALS))
    resources.list_audience(boto3.client("dynamodb"), outputs["AudienceTableName"], stand_ins.AUDIENCE)
    refreshed = boto3.client("lambda").invoke(FunctionName=outputs["RefreshFunctionName"])["Payload"].read()
    state = json.loads(refreshed)
    # A stack connected earlier has a token that is still valid.
    expect(state.get("refreshed") is True or state.get("reason") == "fresh", f"there is a token: {refreshed.decode()}")
    ingest = json.loads(secrets.get_secret_value(SecretId=outputs["IngestSecretArn"])["SecretString"])
    expect(len(ingest["eventKey"]) == 48, "the stack made an event key of 48 characters")
    return str(ingest["eventKey"])


def _post(api: str, key: str) -> requests.Response:
    # The name of the API need not resolve: loopback answers, the Host header names the API.
    host = api.removeprefix("http://")
    return requests.post(
        f"http://127.0.0.1:{host.rpartition(':')[2]}/v1/events",
        data=_event(),
        headers={"Host": host, "Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=15,
    )


def _event(**changed: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")  # the example is too old to be accepted
    return json.dumps(json.loads(EVENT.read_bytes()) | {"timestamp": now} | changed).encode()


def _arrives(amazon: str, member: str) -> bool:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        shown = requests.get(f"{amazon}/sandbox/audiences/{stand_ins.AUDIENCE.audience_id}", timeout=5).json()
        if member in shown["members"]:
            return True
        time.sleep(0.2)
    return False


def _delivery_state(outputs: dict[str, str]) -> str:
    queue = outputs["ChangeQueueUrl"].rpartition("/")[2]
    mappings = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    states = [mapping["State"] for mapping in mappings if mapping["EventSourceArn"].endswith(f":{queue}")]
    expect(len(states) == 1, "the worker polls the queue")
    return str(states[0])


def outputs_of(stack: str) -> dict[str, str]:
    """The outputs of a stack by name."""
    described: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def expect(holds: bool, what: str) -> None:
    """Print a passed check. Exits with 1 if it fails."""
    sys.stdout.write(f"{'ok' if holds else 'FAILED'}: {what}\n")
    if not holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
