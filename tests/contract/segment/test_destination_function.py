"""The example of a Segment destination function: what it sends to SQS is signed as botocore signs it.

Segment's own test harness (Functions/Preview) runs at Segment only. This runs in Node with what Segment's runtime has.
"""

import json
import shutil
import subprocess
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.template import ROOT
from tests.support.node import HERE, RUN_TIMEOUT

EVENT = json.loads((ROOT / "events/segment/01-track-entered-full-pii.json").read_text())
KEY, SECRET = "AKIAEXAMPLE", "made-up/secret+key"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/audience-sync-events"


def sent(handler: str, argument: Any, status: int = 200) -> dict[str, Any]:
    """Call a handler, and return the requests it made, with its error."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: the function cannot run")
    settings = {"queueUrl": QUEUE, "accessKeyId": KEY, "secretAccessKey": SECRET}
    case: dict[str, Any] = {"file": str(ROOT / "docs/examples/segment-destination-function.js"), "handler": handler}
    case |= {"argument": argument, "settings": settings, "status": status}
    finished = subprocess.run(
        [node, str(HERE / "destination_function.cjs")],
        input=json.dumps(case),
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_TIMEOUT,
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@pytest.mark.parametrize(
    ("handler", "argument"),
    [("onTrack", EVENT), ("onIdentify", EVENT | {"city": "Zürich ✓"}), ("onDelete", EVENT), ("onBatch", [EVENT] * 3)],
)
def test_a_message_is_the_body_of_a_request_and_its_signature_is_botocores(handler: str, argument: Any) -> None:
    answer = sent(handler, argument)
    (request,) = answer["requests"]
    payload, headers = request["body"], dict(request["headers"])
    assert (answer["error"], request["url"], request["method"]) == (
        None,
        "https://sqs.eu-west-1.amazonaws.com/",
        "POST",
    )
    assert json.loads(payload)["QueueUrl"] == QUEUE
    assert json.loads(json.loads(payload)["MessageBody"]) == argument
    authorization = headers.pop("authorization")
    same = AWSRequest("POST", request["url"], headers, payload.encode())
    same.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY, SECRET), "sqs", "eu-west-1")
    signature = signer.signature(signer.string_to_sign(same, signer.canonical_request(same)), same)
    names = "content-type;host;x-amz-date;x-amz-target"
    scope = f"{headers['x-amz-date'][:8]}/eu-west-1/sqs/aws4_request"
    given = f"Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    assert authorization == f"AWS4-HMAC-SHA256 {given}"


def test_a_batch_over_a_message_is_split_and_a_refusal_is_retried() -> None:
    events = [EVENT | {"n": number, "filler": "x" * 300_000} for number in range(5)]
    bodies = [json.loads(json.loads(each["body"])["MessageBody"]) for each in sent("onBatch", events)["requests"]]
    assert [event for body in bodies for event in body] == events
    assert all(len(json.dumps(body)) < 1_048_576 for body in bodies)
    assert sent("onTrack", EVENT, 403)["error"] == "RetryError: SQS answers 403: AccessDenied: sqs:SendMessage"
