"""The operator's command against the local AWS and Amazon's sandbox, all within the process of the tests."""

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
from aiohttp import web

from audience_sync.amazon_ads.login import Login
from audience_sync.amazon_ads.regions import Hosts
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.secrets import JsonSecret
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import pack
from audience_sync.reasons import Reason
from audience_sync.runtime.metric_names import NAMESPACE
from audience_sync_cli.frame.errors import NotConfirmed
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from local.logs import LogGroups
from local.sqs.queues import SqsQueues
from local.template import Template
from tests.support import builders
from tests.support.aws_fixtures import AUDIENCE, CREDENTIALS, EVENT_KEY, AwsServer, build_sandbox, template_resources
from tests.support.servers import Served, serve

if TYPE_CHECKING:
    from tests.command.every_command import Ran

CLIENT_ID, CLIENT_SECRET = CREDENTIALS["clientId"], CREDENTIALS["clientSecret"]
NOW = 1_800_000_000.0  # epoch seconds


class RefreshOnly:
    """The part of Lambda that the command uses: invoking refresh, and reading whether functions are active."""

    def __init__(self, login: Login, token: JsonSecret) -> None:
        self.event_source = "Enabled"
        self.states: list[str] = []  # of the next calls, before that; the first may be out of date
        self.filters: dict[str, list[dict[str, str]]] = {}  # by function
        self._login = login
        self._token = token

    def list_event_source_mappings(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        state = self.states.pop(0) if self.states else self.event_source
        found: dict[str, Any] = {"UUID": "uuid-1", "FunctionArn": FunctionName, "State": state}
        if FunctionName in self.filters:
            found["FilterCriteria"] = {"Filters": self.filters[FunctionName]}
        return {"EventSourceMappings": [found]}

    def update_event_source_mapping(self, *, UUID: str, Enabled: bool) -> None:  # noqa: N803 - boto3's names
        assert (UUID, self.states) == ("uuid-1", []), "Lambda refuses a change while it makes another"
        before, self.event_source = self.event_source, "Enabled" if Enabled else "Disabled"
        self.states = [before, "Enabling" if Enabled else "Disabling"]

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803, ARG002 - boto3's names
        if self._token.value().get("accessToken"):
            return {"Payload": io.BytesIO(json.dumps({"reason": Reason.FRESH}).encode())}
        self._token.write(self._login.fetch().as_json())
        return {"Payload": io.BytesIO(json.dumps({"refreshed": True}).encode())}

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"FunctionName": FunctionName, "State": "Active"}


class Printed(NamedTuple):
    """What a command has printed."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Deployment:
    """A stack on this machine, and what tests put into it and read from it."""

    stack: Stack
    queues: SqsQueues
    template: Template
    amazon: str
    logs: LogGroups
    answers: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def session(self, *, as_json: bool = False, yes: bool = False, now: float | None = None) -> Session:
        """Return a session whose operator gives `answers`, one after the other."""
        screen = Screen(as_json=as_json, assume_yes=yes, answers=self._answer)
        return Session(screen, lambda: self.stack, now=time.time if now is None else lambda: now)

    def printed(
        self,
        command: Callable[..., object],
        *arguments: Any,
        raises: type[BaseException] | None = None,
        as_json: bool = False,
        yes: bool = False,
        now: float | None = None,
        **options: Any,
    ) -> Printed:
        """Run a command in a session of its own, and return what it prints, also before an error."""
        ended = pytest.raises(raises) if raises else nullcontext()
        with ended, redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            command(self.session(as_json=as_json, yes=yes, now=now), *arguments, **options)
        return Printed(out.getvalue(), err.getvalue())

    def json(self, command: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        """Run a command with --json, and return its document."""
        return self.printed(command, *arguments, as_json=True, **options).json

    def refusal[E: BaseException](
        self, kind: type[E], command: Callable[..., object], *arguments: Any, **options: Any
    ) -> E:
        """Run a command that must end with this kind of error, and return the error."""
        with pytest.raises(kind) as caught:
            self.printed(command, *arguments, **options)
        return caught.value

    def declined(self, command: Callable[..., object], *arguments: Any, **options: Any) -> str:
        """Answer no to a command, which must then end, and return its question."""
        self.answers.append("n")
        self.printed(command, *arguments, raises=NotConfirmed, **options)
        return self.questions[-1]

    def secret(self, logical_id: str) -> dict[str, Any]:
        text = self.stack.service("secretsmanager").get_secret_value(SecretId=self.stack[logical_id])["SecretString"]
        value: dict[str, Any] = json.loads(text)
        return value

    def put_secret(self, logical_id: str, value: dict[str, Any]) -> None:
        text = json.dumps(value)
        self.stack.service("secretsmanager").put_secret_value(SecretId=self.stack[logical_id], SecretString=text)

    def connect(self) -> None:
        """Store the authorization that the sandbox accepts."""
        self.put_secret("CredentialsSecret", CREDENTIALS)

    def list_audience(self, audience: Audience = AUDIENCE) -> None:
        table = AudienceTable(self.stack.service("dynamodb"), self.stack["AudienceTable"])
        table.put(audience, created=7)

    def record(self, *changes: MembershipChange) -> None:
        """Bring changes into the membership table, as the worker does."""
        table = self.session().members
        for change in changes:
            known = table.read([change.member]).get(change.member)
            state = apply_changes(known, [change], now=int(time.time()), timing=Timing(0)).state  # nothing waits
            (result,) = table.write([state])
            assert isinstance(result, MemberState)

    def damage(self, *member: str) -> None:
        """Replace the row of a member, named by audience and id, by one that cannot be read."""
        row = {**Sharding().key_of((member[0], member[1])), "member": {"B": b"damaged"}}
        self.stack.service("dynamodb").put_item(TableName=self.stack["MembershipTable"], Item=row)

    def park(self, *changes: MembershipChange, reason: str = "request_rejected", at: float = NOW, **more: Any) -> None:
        """Put a dead letter for each change, as the worker does."""
        for body in (pack([change])[0] for change in changes):
            failure = {"reason": reason, "status": 400, "detail": "refused", "attempts": 1, "lastAt": round(at * 1000)}
            self.send("DeadLetterQueue", json.dumps(json.loads(body) | {"failure": failure | more}))

    def send(self, logical_id: str, body: str, **attributes: str) -> None:
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        url = self.stack[logical_id]
        self.stack.service("sqs").send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)

    def log(self, function: str, message: str, **fields: Any) -> None:
        """Log a line as a function does, at this moment."""
        line = {"level": "INFO", "message": message, "service": "tests"} | fields
        self.logs.add(self.stack[f"{function}LogGroup"], json.dumps(line))

    def reject(self, *pairs: tuple[str, str]) -> None:
        """Log the rejections of one request, as ingest does: reasons and message ids."""
        for reason, message_id in pairs:
            self.log("Ingest", "event rejected", reason=reason, message_id=message_id)
        by_reason = dict(Counter(reason for reason, _ in pairs))
        self.log("Ingest", "events rejected", rejected=len(pairs), by_reason=by_reason)

    def publish(self, at: float, about: Mapping[str, str] = MappingProxyType({}), /, **metrics: float) -> None:
        """Publish metrics as the functions do, at an epoch second; `about` are dimensions beside the stack's name."""
        named = {"service": self.stack.name, **about}
        dimensions = [{"Name": name, "Value": value} for name, value in named.items()]
        moment = datetime.fromtimestamp(at, UTC)
        points = [
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": moment, "Unit": "Count"}
            for name, value in metrics.items()
        ]
        self.stack.service("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=points)

    def fail(self, call: str, error: BaseException) -> None:
        """Have calls of AWS fail from now on: all of a service, as in "sqs", or one, as in "sqs.SendMessageBatch"."""

        def failing(**_: Any) -> None:
            raise error

        self.stack.service(call.partition(".")[0]).meta.events.register(f"before-call.{call}", failing)

    def rows(self, logical_id: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.stack.service("dynamodb").scan(TableName=self.stack[logical_id])["Items"]
        return rows

    def bodies(self, logical_id: str) -> list[dict[str, Any]]:
        name = self.template.resolve({"Fn::GetAtt": [logical_id, "QueueName"]})
        return [json.loads(message.body) for message in self.queues.peek(name)]

    def changes(self, logical_id: str = "ChangeQueue") -> list[dict[str, Any]]:
        """Return the changes of the messages in a queue."""
        return [change for body in self.bodies(logical_id) for change in body["changes"]]

    def operator_log(self) -> list[dict[str, Any]]:
        """Return the lines that commands have written about themselves."""
        return [json.loads(each["message"]) for each in self.logs.filter("OperatorLogGroup", 0, None)["events"]]

    def _answer(self, question: str) -> str:
        self.questions.append(question)
        assert self.answers, f"an unexpected question: {question}"
        return self.answers.pop(0)


def change(member: str, **options: Any) -> MembershipChange:
    usual = {"message_id": f"message-{member}", "audience_id": AUDIENCE.audience_id}
    return builders.change(member, "0" * 64, **{"at": 1_000, **usual, **options})


@pytest.fixture(scope="session")
def amazon() -> Iterator[Served]:
    with serve(build_sandbox) as served:
        yield served


@contextmanager
def deployed(amazon: Served, aws_server: AwsServer) -> Iterator[Deployment]:
    """Have a stack on this machine, with an event key and nothing else."""
    requests.post(f"{amazon.url}/sandbox/reset", timeout=5).raise_for_status()
    secrets: dict[str, dict[str, Any]] = {
        "IngestSecret": {"eventKey": EVENT_KEY, "previousEventKey": "", "other": "kept"},
        "CredentialsSecret": {"clientId": "", "clientSecret": "", "refreshToken": "", "other": "kept"},
        "TokenSecret": {"accessToken": "", "expiresAt": 0},
    }
    with template_resources(aws_server, secrets) as template:
        stack = _stack(template, aws_server, amazon.url)
        yield Deployment(stack, aws_server.queues, template, amazon.url, aws_server.logs)


@pytest.fixture
def deployment(amazon: Served, aws_server: AwsServer) -> Iterator[Deployment]:
    with deployed(amazon, aws_server) as found:
        yield found


@pytest.fixture
def connected(deployment: Deployment) -> None:
    """Amazon is connected."""
    deployment.connect()


@pytest.fixture
def event_queue(deployment: Deployment) -> None:
    deployment.stack.parameters = {**deployment.stack.parameters, "EventQueue": "yes"}


@pytest.fixture(scope="session")
def every_command(amazon: Served, aws_server: AwsServer, tmp_path_factory: pytest.TempPathFactory) -> "list[Ran]":
    """One session in which every command has run."""
    from tests.command.every_command import run_every_command  # noqa: PLC0415 - it imports from here

    with deployed(amazon, aws_server) as found:
        return list(run_every_command(found, tmp_path_factory.mktemp("session")))


def _stack(template: Template, aws: AwsServer, amazon_url: str) -> Stack:
    parts = ("ChangeQueue", "JobQueue", "DeadLetterQueue", "EventsQueue", "EventsDeadLetterQueue", *_TABLES, *_SECRETS)
    names = {each: template.resolve({"Ref": each}) for each in parts}
    names |= {each: each for each in ("IngestFunction", "WorkerFunction", "JobsFunction", "RefreshFunction")}
    names |= {each: each for each in template.resources("AWS::Logs::LogGroup")}
    hosts = Hosts(amazon_url, f"{amazon_url}/auth/o2/token", f"{amazon_url}/ap/oa")

    def client(service: str) -> Any:
        if service != "lambda":
            return aws.client(service)
        manager = aws.client("secretsmanager")
        credentials = JsonSecret(manager, names["CredentialsSecret"], time.monotonic)
        login = Login(requests.Session(), hosts.login, credentials, time.time)
        return RefreshOnly(login, JsonSecret(manager, names["TokenSecret"], time.monotonic))

    # A local stack looks nothing up in CloudFormation; no server listens on this port.
    return Stack("tests", client, "http://127.0.0.1:9", hosts, {"Region": "NA"}, 0, "http://127.0.0.1:9", names)


@pytest.fixture
def gateway(deployment: Deployment) -> Iterator[list[Any]]:
    """A gateway that gives the last answer in the list, a status and a body; requests are kept in front of it."""
    kept: list[Any] = []

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def events(request: web.Request) -> web.Response:
        kept.insert(0, (request.headers["authorization"], await request.json()))
        status, body = kept[-1]
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers={"Location": "/v1/health"})

    def build() -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/events", events)
        app.router.add_get("/v1/health", health)
        return app

    with serve(build) as served:
        deployment.stack.api = served.url
        yield kept


_TABLES = ("AudienceTable", "MembershipTable")
_SECRETS = ("IngestSecret", "CredentialsSecret", "TokenSecret")
