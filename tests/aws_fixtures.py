"""The template's tables, queues and secrets on the local AWS, and a sandbox of Amazon Ads with one audience."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audience_sync.membership import Audience
from local import aws, resources
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.logs import LogGroups
from local.sqs.queues import SqsQueues
from local.template import Template
from tests.servers import serve

EVENT_KEY = "event-key-for-the-tests-1"
CREDENTIALS = {"clientId": "client-1", "clientSecret": "made-up-client-secret", "refreshToken": "Atzr|made-up-refresh"}
AUDIENCE = Audience(
    audience_id="418273650912345678",
    name="Lapsed premium buyers",
    country="US",
    advertiser_id="590071284455661234",
    computation_key="lapsed_premium_buyers",
)


@dataclass(frozen=True)
class LocalAws:
    """A local AWS with everything that the template declares."""

    template: Template
    url: str
    queues: SqsQueues
    logs: LogGroups


@contextmanager
def local_aws(secrets: Mapping[str, Mapping[str, Any]]) -> Iterator[LocalAws]:
    """Serve it for one test. `secrets` are the values by logical id."""
    queues, logs = SqsQueues(time.time), LogGroups()
    with serve(lambda: aws.build_app(queues, logs)) as served:
        template = Template.load()
        resources.create(template, served.url, secrets)
        yield LocalAws(template, served.url, queues, logs)


def build_sandbox() -> Any:
    """Build Amazon's sandbox, which accepts CREDENTIALS and has AUDIENCE. Jobs end at once."""
    app = build_amazon(
        client_id=CREDENTIALS["clientId"],
        client_secret=CREDENTIALS["clientSecret"],
        refresh_token=CREDENTIALS["refreshToken"],
        job_delay=0.0,
    )
    app[SANDBOX].seed(
        int(AUDIENCE.audience_id),
        {
            "name": AUDIENCE.name,
            "description": "",
            "countryCode": AUDIENCE.country,
            "targetResource": {"advertiserId": int(AUDIENCE.advertiser_id or 0)},
            "metadata": {"externalAudienceId": "lapsed"},
        },
    )
    return app


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
