"""The template's tables, queues and secrets on the local AWS, and a sandbox of Amazon Ads with one audience."""

import asyncio
import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from moto.cloudwatch.models import Alarm, cloudwatch_backends
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.secretsmanager.models import SecretsStore, secretsmanager_backends

from audience_sync.amazon_ads.destination import advertiser_of, dsp_advertiser
from audience_sync.members.membership import Audience, FilledBy
from local import aws, resources
from local.amazon.app import DEFAULTS
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.amazon.options import Options
from local.logs import LogGroups
from local.metrics import Metrics
from local.sqs.queue import SqsQueue
from local.sqs.queues import SqsQueues
from local.sqs.settings import QueueSettings
from local.template import ACCOUNT, REGION, Template
from tests.support.servers import Served, serve

EVENT_KEY = "event-key-for-the-tests-1"
CREDENTIALS = {"clientId": "client-1", "clientSecret": "made-up-client-secret", "refreshToken": "Atzr|made-up-refresh"}
AUDIENCE = Audience(
    audience_id="418273650912345678",
    name="Lapsed premium buyers",
    country="US",
    destination=dsp_advertiser("590071284455661234"),
    computation_key="lapsed_premium_buyers",
    filled_by=FilledBy.STACK,
)


class _Created(NamedTuple):
    """What `resources.create` has made, with nothing in it yet but the secrets."""

    template: Template  # with the names
    queues: dict[str, QueueSettings]
    tables: dict[str, Table]
    secrets: SecretsStore
    alarms: dict[str, Alarm]


@dataclass(frozen=True)
class AwsServer:
    """A local AWS for many tests, since it and boto3's clients take longer to make than most tests to run."""

    served: Served
    queues: SqsQueues
    logs: LogGroups
    metrics: Metrics
    _clients: dict[str, Any] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)  # services whose clients have handlers of the test
    _created: dict[str, _Created] = field(default_factory=dict)  # by the secrets' values

    @property
    def url(self) -> str:
        return self.served.url

    def client(self, service: str) -> Any:
        """Return a client, the same for all tests until one registers a handler with it."""
        if service not in self._clients:
            client = self._clients[service] = resources.client(service, self.url)
            for name in ("register", "register_first", "register_last"):
                setattr(client.meta.events, name, self._noting(service, getattr(client.meta.events, name)))
        return self._clients[service]

    def create(self, secrets: Mapping[str, Mapping[str, Any]]) -> Template:
        """Create everything that the template declares; but for the first time as a copy, for a thirtieth of the cost.

        The examples of events/segment are months old, so that events of any age are accepted.
        """
        dynamodb, manager = dynamodb_backends[ACCOUNT][REGION], secretsmanager_backends[ACCOUNT][REGION]
        cloudwatch = cloudwatch_backends[ACCOUNT][REGION]
        values = json.dumps(secrets)
        if values not in self._created:
            template = Template.load({"AcceptOldEvents": "yes", "EventQueue": "yes", "DataManagerAccountId": "m"})
            resources.create(template, self.client, secrets)
            queues = {name: self.queues.find(name).settings for name in self.queues.names()}
            stored = copy.deepcopy((dynamodb.tables, manager.secrets, cloudwatch.alarms))
            self._created[values] = _Created(template, queues, *stored)
            return template
        created = self._created[values]
        self.queues._queues.update({name: SqsQueue(name, settings) for name, settings in created.queues.items()})
        copied = copy.deepcopy((created.tables, created.secrets, created.alarms))
        dynamodb.tables, manager.secrets, cloudwatch.alarms = copied
        return created.template

    def reset(self) -> None:
        """Forget everything, and end the receives that wait for a message."""

        async def reset() -> None:
            await self.served.app.shutdown()  # ends no more than the receives; the server goes on
            for name in self.queues.names():
                self.queues.remove(name)
            self.logs.clear()
            self.metrics.clear()
            await self.served.app[aws.MOTO].reset()

        asyncio.run_coroutine_threadsafe(reset(), self.served.loop).result(60)
        for service in self._changed:
            del self._clients[service]
        self._changed.clear()

    def _noting(self, service: str, register: Callable[..., None]) -> Callable[..., None]:
        def noting(*arguments: Any, **options: Any) -> None:
            self._changed.add(service)
            register(*arguments, **options)

        return noting


@contextmanager
def serve_aws() -> Iterator[AwsServer]:
    queues, logs, metrics = SqsQueues(time.time), LogGroups(), Metrics()
    with serve(lambda: aws.build_app(queues, logs, metrics)) as served:
        yield AwsServer(served, queues, logs, metrics)


@contextmanager
def template_resources(server: AwsServer, secrets: Mapping[str, Mapping[str, Any]]) -> Iterator[Template]:
    """Yields the resources that the template declares, for one test. `secrets` are the values by logical id."""
    try:
        yield server.create(secrets)
    finally:
        server.reset()


def build_sandbox(options: Options = DEFAULTS) -> Any:
    """Build Amazon's sandbox, which accepts CREDENTIALS and has AUDIENCE. Jobs end at once."""
    app = build_amazon(
        client_id=CREDENTIALS["clientId"],
        client_secret=CREDENTIALS["clientSecret"],
        refresh_token=CREDENTIALS["refreshToken"],
        job_delay=0.0,
        options=options,
    )
    app[SANDBOX].seed(
        int(AUDIENCE.audience_id),
        {
            "name": AUDIENCE.name,
            "description": "",
            "countryCode": AUDIENCE.country,
            "targetResource": {"advertiserId": int(advertiser_of(AUDIENCE.destination) or 0)},
            "metadata": {"externalAudienceId": "lapsed"},
        },
    )
    return app


def create_table(dynamodb: Any, name: str, *keys: str) -> None:
    """Create a table with a key of one or two strings."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
    )


def create_membership_table(dynamodb: Any, name: str) -> None:
    """Create a membership table with the template's keys."""
    template = Template.load()
    properties = template.resources("AWS::DynamoDB::Table")["MembershipTable"]
    known = ("KeySchema", "AttributeDefinitions", "BillingMode")
    dynamodb.create_table(TableName=name, **{key: template.resolve(properties[key]) for key in known})


def recreate_tables(dynamodb: Any, logical_id: str) -> str:
    """Drop all tables, create those of the template, and return the name of one."""
    for name in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=name)
    template = Template.load()
    resources._tables(template, dynamodb)
    table: str = template.resolve({"Ref": logical_id})
    return table
