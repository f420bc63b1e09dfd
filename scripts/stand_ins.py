"""Stand-ins for Amazon Ads and, on request, for AWS: just enough for a function in a container to do its work.

    python -m scripts.stand_ins --host 172.17.0.1 [--aws]

Prints one JSON line when ready: {"amazon": url}, with --aws also "aws": url, and "environment" and "credentials", each
{function: {variable: value}}. Tells every request that Amazon gets in one line on standard error. Ends on SIGTERM.
A whole sandbox, with members and jobs, is part of `local`.
"""

import argparse
import json
import logging
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import requests
import yaml
from moto.server import ThreadedMotoServer

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.membership import Audience

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
TABLE_SHAPE = {"BillingMode", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes"}
EVENT_KEY = "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j0a1b2c3d4"  # as in events/lambda/
AUDIENCE = Audience("418273650912345678", "Lapsed premium buyers", "US", "590071284455661234")  # as in events/segment/
THROTTLED = 418273650912345679  # an audience for which Amazon takes nothing
NEW_AUDIENCE = 418273650912345680  # the one that is created
METADATA, RECORDS = "/amc/audiences/metadata", "/amc/audiences/records"
REJECTED = {"audienceId": AUDIENCE.audience_id, "externalId": "cust_48121", "error": "Record could not be processed"}
JOBS: dict[str, dict[str, Any]] = {  # of events/lambda/jobs-partial.json; Amazon does not answer for any other
    "job-1": {"jobState": "PARTIALLYSUCCEEDED", "invalidRecords": [REJECTED]},
    "job-2": {"jobState": "PENDING"},
}
CREDENTIALS = {"clientId": "client", "clientSecret": "client-secret", "refreshToken": "refresh-token"}


class Amazon(BaseHTTPRequestHandler):
    """Gives a token to anyone and accepts every audience and upload, but for uploads to one throttled audience."""

    def do_GET(self) -> None:
        """Answer questions about the example audience and about jobs."""
        path, _, name = self.path.rpartition("/")
        if path == METADATA:
            self._answer(200, {"audienceId": int(name), "name": AUDIENCE.name})
            self._tell(f"about audience {name}")
            return
        report = JOBS.get(name) if path == RECORDS else None
        self._answer(200 if report else 503, {"jobRequestId": name} | report if report else {})
        self._tell(f"about {name}: {report['jobState'] if report else 503}")

    def do_POST(self) -> None:
        """Answer the login, the creation of an audience and the upload of records; all are POST."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/auth/o2/token":
            self._answer(200, {"access_token": "Atza|stand-in", "token_type": "bearer", "expires_in": 3600})
            self._tell("a token")
            return
        if self.path == METADATA:
            self._answer(201, {"audienceId": NEW_AUDIENCE})
            self._tell(f"to create an audience: {NEW_AUDIENCE}")
            return
        upload = json.loads(body)
        throttled = upload["audienceId"] == THROTTLED
        self._answer(429 if throttled else 202, {"message": "slow down"} if throttled else {"jobRequestId": "job-1"})
        actions = [record["action"] for record in upload["records"]]
        self._tell(f"{', '.join(actions)} for audience {upload['audienceId']}: {'429' if throttled else '202'}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing of one's own."""

    def _tell(self, what: str) -> None:
        sys.stderr.write(f"Amazon was asked: {what}\n")
        sys.stderr.flush()

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(text)


def list_audience(endpoint: str | None, table: str) -> None:
    """List the audience of the example events, as the operator does before events may reach it."""
    AudienceTable(_client("dynamodb", endpoint), table, time.monotonic).put(
        AUDIENCE, created=time.time_ns() // 1_000_000
    )


def fill_aws(endpoint: str) -> dict[str, dict[str, str]]:
    """Create what the template would and return each function's environment."""
    sqs, dynamodb, secrets = (_client(name, endpoint) for name in ("sqs", "dynamodb", "secretsmanager"))
    changes, dead_letters, jobs = (
        sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("changes", "dead-letters", "jobs")
    )
    for table, resource in {"audiences": "AudienceTable", "memberships": "MembershipTable"}.items():
        properties = _template()["Resources"][resource]["Properties"]
        dynamodb.create_table(TableName=table, **{name: properties[name] for name in properties.keys() & TABLE_SHAPE})
    list_audience(endpoint, "audiences")
    contents = {
        "ingest": {"eventKey": EVENT_KEY, "audienceKey": EVENT_KEY},
        "credentials": CREDENTIALS,
        "token": {"accessToken": "", "expiresAt": 0},
    }
    arns = {
        name: secrets.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
        for name, value in contents.items()
    }
    connection = {"CREDENTIALS_SECRET_ARN": arns["credentials"], "TOKEN_SECRET_ARN": arns["token"]}
    tracker = {"JOB_QUEUE_URL": jobs, "DEAD_LETTER_QUEUE_URL": dead_letters, "MEMBERSHIP_TABLE": "memberships"}
    reached = {"INGEST_SECRET_ARN": arns["ingest"], "AUDIENCE_TABLE": "audiences"}
    return {
        "IngestFunction": reached | {"CHANGE_QUEUE_URL": changes},
        "AudiencesFunction": reached | connection,
        "WorkerFunction": connection | tracker | {"CHANGE_QUEUE_URL": changes},
        "JobsFunction": connection | tracker,
    }


def assume_roles(endpoint: str) -> dict[str, dict[str, str]]:
    """Create the roles of the functions and return credentials; from then on, what a role does not allow is refused.

    Only actions are judged: moto does not tell the resources of most services apart.
    """
    iam, sts = _client("iam", endpoint), _client("sts", endpoint)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    credentials = {}
    for function in ("IngestFunction", "AudiencesFunction", "WorkerFunction", "JobsFunction"):
        role = function.replace("Function", "Role")
        (policy,) = _template()["Resources"][role]["Properties"]["Policies"]
        actions = {action for each in policy["PolicyDocument"]["Statement"] for action in _listed(each["Action"])}
        # AWS judges a batch by the permission for one, and a transaction by those for its parts; moto by their names.
        together = {f"{action}Batch" for action in actions if action.startswith("sqs:")}
        together |= {"dynamodb:TransactWriteItems"} if {"dynamodb:PutItem", "dynamodb:UpdateItem"} <= actions else set()
        allowed = {"Effect": "Allow", "Action": sorted(actions | together), "Resource": "*"}
        arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)
        assumed = sts.assume_role(RoleArn=arn, RoleSessionName=function)["Credentials"]
        credentials[function] = {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }
    requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=5).raise_for_status()
    return credentials


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _template() -> Any:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short forms as None: what is taken from the template here has none that matters."""

    Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)
    return yaml.load(TEMPLATE.read_text(), Loader)  # noqa: S506 - a safe loader's child


def _client(service: str, endpoint: str | None) -> Any:
    return boto3.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--aws", action="store_true", help="play AWS too, filled for events/lambda/")
    arguments = parser.parse_args()

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    amazon = ThreadingHTTPServer((arguments.host, 0), Amazon)
    threading.Thread(target=amazon.serve_forever, daemon=True).start()
    ready: dict[str, Any] = {"amazon": f"http://{arguments.host}:{amazon.server_port}"}
    if arguments.aws:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request otherwise
        aws = ThreadedMotoServer(arguments.host, 0, verbose=False)
        aws.start()
        ready["aws"] = f"http://{arguments.host}:{aws.get_host_and_port()[1]}"
        ready["environment"] = fill_aws(ready["aws"])
        ready["credentials"] = assume_roles(ready["aws"])
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    ended.wait()


if __name__ == "__main__":
    main()
