"""The handlers as Lambda runs them: environment from the template, AWS behind the real boto3, Amazon over HTTP."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.runtime import telemetry
from functions.audiences import handler as audiences
from functions.audit import handler as audit
from functions.datasets import handler as datasets
from functions.events import handler as events
from functions.ingest import handler as ingest
from functions.jobs import handler as jobs
from functions.refresh import handler as refresh
from functions.renew import handler as renew
from functions.worker import handler as worker
from local import resources
from local.sqs.queues import SqsQueues
from local.template import REGION, Template
from tests.support.api_description import assert_described
from tests.support.aws_fixtures import AUDIENCE, CREDENTIALS, EVENT_KEY, AwsServer, build_sandbox, template_resources
from tests.support.doubles.lambda_context import Context
from tests.support.proxy import FaultProxy, fault_proxy
from tests.support.servers import Served, serve

# Tests of functions, faults and privacy import these from here.
__all__ = ["AUDIENCE", "CREDENTIALS", "EVENT_KEY", "Context"]

ROOT = Path(__file__).parents[2]
SIGNING_SECRET = "signing-secret-for-the-tests-2"


@dataclass
class Cloud:
    """AWS and Amazon as the functions see them."""

    template: Template
    aws: AwsServer
    amazon_url: str
    monkeypatch: pytest.MonkeyPatch

    @property
    def queues(self) -> SqsQueues:
        return self.aws.queues

    @property
    def audiences(self) -> AudienceTable:
        return AudienceTable(self.client("dynamodb"), self.name_of("AudienceTable"))

    def rows(self) -> MembershipTable:
        return MembershipTable(self.client("dynamodb"), self.name_of("MembershipTable"), Sharding(), Clock())

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    def name_of(self, logical_id: str) -> str:
        name: str = self.template.resolve({"Ref": logical_id})
        return name

    def messages(self, logical_id: str = "ChangeQueue") -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self.queues.peek(self.name_of(logical_id))]

    def changes(self) -> list[dict[str, Any]]:
        return [change for message in self.messages() for change in message["changes"]]

    def put_secret(self, logical_id: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.client("secretsmanager").put_secret_value(SecretId=self.name_of(logical_id), SecretString=text)

    def secret(self, logical_id: str) -> Any:
        arn = self.name_of(logical_id)
        return json.loads(self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])

    def enter(self, function: str, **variables: str) -> None:
        """Set the environment of one function, as a new execution environment does."""
        declared = self.template.functions()[function].environment
        # The template has an account, for the sake of the datasets function.
        no_account = {"DATA_MANAGER_ACCOUNT_ID": "", "READS_DATASETS": "no"}
        for name, value in (self.template.resolve(dict(declared)) | no_account | variables).items():
            self.monkeypatch.setenv(name, str(value))
        for cached in (
            ingest.dependencies,
            events.dependencies,
            worker.dependencies,
            refresh.dependencies,
            refresh._report_unknown_consent,
            renew.dependencies,
            jobs.dependencies,
            audiences.dependencies,
            audit.dependencies,
            datasets.dependencies,
        ):
            cached.cache_clear()

    def fault(self, path: str, do: dict[str, Any], *, times: int = 1) -> None:
        rules = [{"match": {"path": path}, "do": do, "times": times}]
        requests.put(f"{self.amazon_url}/sandbox/faults", json=rules, timeout=60).raise_for_status()

    def members(self) -> dict[str, Any]:
        url = f"{self.amazon_url}/sandbox/audiences/{AUDIENCE.audience_id}"
        members: dict[str, Any] = requests.get(url, timeout=60).json()["members"]
        return members


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every answer of the API checked: docs/openapi.yaml has it."""
    for module in (ingest, audiences):
        monkeypatch.setattr(module, "lambda_handler", _checked(module.lambda_handler))


def _checked(handler: Callable[[dict[str, Any], Any], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def answer_as_described(event: dict[str, Any], context: Any) -> dict[str, Any]:
        answer = handler(event, context)
        assert_described(event["routeKey"], answer)
        return answer

    return answer_as_described


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Everything that a function has printed so far: log lines and metrics, as CloudWatch would get them."""
    lines = StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", lines)
    return lambda: lines.getvalue() + capsys.readouterr().out


@pytest.fixture(scope="session")
def amazon() -> Iterator[Served]:
    with serve(build_sandbox) as served:
        yield served


@pytest.fixture
def cloud(amazon: Served, aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    requests.post(f"{amazon.url}/sandbox/reset", timeout=60).raise_for_status()
    secrets: dict[str, dict[str, Any]] = {
        "IngestSecret": {"eventKey": EVENT_KEY, "signingSecret": SIGNING_SECRET},
        "CredentialsSecret": CREDENTIALS,
        "TokenSecret": {"accessToken": "", "expiresAt": 0},
    }
    with template_resources(aws_server, secrets) as template:
        for name, value in resources.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws_server.url)
        monkeypatch.setenv("AMAZON_API_URL", amazon.url)
        monkeypatch.setenv("AMAZON_LOGIN_URL", f"{amazon.url}/auth/o2/token")
        made = Cloud(template, aws_server, amazon.url, monkeypatch)
        made.audiences.put(AUDIENCE, created=0)
        yield made


@pytest.fixture
def proxy(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between the functions and AWS. The test itself reaches AWS without it."""
    with fault_proxy(cloud.aws.url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        yield made
