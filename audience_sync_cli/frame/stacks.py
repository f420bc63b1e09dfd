"""Finds a stack and its parts: a deployed one through CloudFormation, a local one at /local/resources."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from audience_sync.amazon_ads.regions import HOSTS, Hosts
from audience_sync.aws.client_errors import error_code
from audience_sync_cli.frame.errors import NotThere, TryLater, WrongUsage

LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts of this machine
PAUSE_LOCALLY = 0.3  # seconds
CALLS = Config(connect_timeout=5, read_timeout=70, retries={"mode": "standard", "total_max_attempts": 4})
_OUTPUTS = {  # output of the template: the logical id it names
    "IngestSecretArn": "IngestSecret",
    "CredentialsSecretArn": "CredentialsSecret",
    "TokenSecretArn": "TokenSecret",
    "EventsQueueUrl": "EventsQueue",
    "EventsDeadLetterQueueUrl": "EventsDeadLetterQueue",
    "ChangeQueueUrl": "ChangeQueue",
    "DeadLetterQueueUrl": "DeadLetterQueue",
    "AudienceTableName": "AudienceTable",
    "MembershipTableName": "MembershipTable",
    "RefreshFunctionName": "RefreshFunction",
    "AlarmTopicArn": "Alarms",  # or the operator's own topic
}

type Clients = Callable[[str], Any]


@dataclass
class Stack:
    """One stack: names of its parts, its parameters, and access to AWS and Amazon."""

    name: str
    client: Clients  # boto3's name of a service -> a client
    api: str  # base URL of the gateway; empty with PublicApi=no
    hosts: Hosts
    parameters: Mapping[str, str]
    created: float  # epoch seconds
    local: str | None = None  # base URL of a local stack
    _names: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    version: str | None = None  # of the deployed template; None for a local stack or an older template

    def __getitem__(self, logical_id: str) -> str:
        """Return the name, URL or ARN for a logical id in the template. Raises NotThere."""
        if logical_id not in self._names:
            self._names[logical_id] = self._look_up(logical_id)
        return self._names[logical_id]

    def __contains__(self, logical_id: str) -> bool:
        try:
            return bool(self[logical_id])
        except NotThere:
            return False

    @property
    def events_url(self) -> str | None:
        """The URL for events, the output EventsUrl. None with PublicApi=no."""
        return f"{self.api}/v1/events" if self.api else None

    @property
    def audiences_url(self) -> str | None:
        """The URL that creates audiences, the output AudiencesUrl. None with PublicApi=no."""
        return f"{self.api}/v1/audiences" if self.api else None

    @property
    def event_queue(self) -> str | None:
        """The URL of the event queue. None without EventQueue=yes."""
        return self["EventsQueue"] if self.parameters.get("EventQueue") == "yes" else None

    @property
    def accepts_old_additions(self) -> bool:
        """Whether additions of any age are accepted."""
        return self.parameters.get("AcceptOldEvents") == "yes"

    @property
    def batch_window(self) -> float:
        """The seconds for which Lambda collects messages before invoking the worker."""
        return float(self.parameters.get("BatchWindow", 0))

    def pause(self, seconds: float) -> float:
        """Return the seconds to wait for AWS or Amazon: as many as given, and a moment for a local stack."""
        return min(seconds, PAUSE_LOCALLY) if self.local else seconds

    def service(self, name: str) -> Any:
        """Return the boto3 client of a service; the same one each time."""
        if name not in self._clients:
            self._clients[name] = self.client(name)
        return self._clients[name]

    def _look_up(self, logical_id: str) -> str:
        missing = NotThere(f"The stack {self.name} has no {logical_id}.", "Update it: `make deploy`.")
        if self.local is not None:
            raise missing
        try:
            answer = self.service("cloudformation").describe_stack_resource(
                StackName=self.name, LogicalResourceId=logical_id
            )
        except ClientError as error:
            if error_code(error) == "ValidationError":
                raise missing from None
            raise
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])


def deployed(name: str, client: Clients) -> Stack:
    """Find a stack in the account and region of the operator's credentials. Raises NotThere."""
    try:
        (found,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error_code(error) == "ValidationError":
            raise NotThere(
                f"Stack {name} does not exist in this account and region.",
                "Name it with --stack or AUDIENCE_SYNC_STACK; AWS_PROFILE and AWS_REGION choose account and region.",
            ) from None
        raise
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}
    if "ChangeQueueUrl" not in outputs or parameters.get("Region") not in HOSTS:
        raise NotThere(f"The stack {name} is not an Audience Sync stack.", "Name one with --stack.")
    return Stack(
        name=name,
        client=client,
        api=outputs.get("EventsUrl", "").removesuffix("/v1/events"),
        hosts=HOSTS[parameters["Region"]],
        parameters=parameters,
        created=found["CreationTime"].timestamp(),
        version=outputs.get("Version"),
        _names={logical_id: outputs[output] for output, logical_id in _OUTPUTS.items() if output in outputs},
    )


def local(url: str) -> Stack:
    """Find the stack started by `python -m local`. Raises NotThere, WrongUsage."""
    url = url.rstrip("/")
    _check_loopback(url)
    try:
        answer = requests.get(f"{url}/local/resources", timeout=5, allow_redirects=False)
        if answer.status_code != 200:
            raise NotThere(f"{url} is not a local stack.", "Use the `api` address printed by `python -m local`.")
        found = answer.json()
    except requests.RequestException:
        raise TryLater(f"Nothing answers at {url}.", "Start the local stack: `.venv/bin/python -m local`.") from None
    for each in found["urls"].values():
        _check_loopback(each)  # receives credentials

    def client(service: str) -> Any:
        endpoint = f"{url}/local/lambda" if service == "lambda" else found["urls"]["aws"]
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=endpoint,
            region_name=found["awsRegion"],
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the local stack does not check it
            config=CALLS,
        )

    amazon = found["urls"]["amazon"]
    return Stack(
        name=found["stack"],
        client=client,
        api=url if found["parameters"].get("PublicApi") != "no" else "",
        hosts=Hosts(api=amazon, login=f"{amazon}/auth/o2/token", consent=f"{amazon}/ap/oa"),
        parameters=found["parameters"],
        created=0,
        local=url,
        _names=dict(found["names"]),
    )


def own_clients() -> Clients:
    """Return clients with the operator's credentials, found as the AWS CLI does."""
    # boto3 itself reads only AWS_DEFAULT_REGION; without either, the region of the profile is used.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    return lambda service: session.client(service, config=CALLS)  # type: ignore[call-overload]


def _check_loopback(url: str) -> None:
    if urlsplit(url).hostname not in LOOPBACK:
        raise WrongUsage("A local stack runs on this machine only.", "Use an address such as http://127.0.0.1:8080.")
