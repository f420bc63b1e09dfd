"""Creates the template's queues, tables and secrets at the local AWS endpoint, and names them in the template."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from audience_sync.amazon_ads.destination import advertiser_of
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.members.membership import Audience
from local.amazon.sandbox import Sandbox
from local.template import ACCOUNT, REGION, STACK, Template

MANAGER_ACCOUNT = "amzn1.ads1.ma1.local"  # of Ads Data Manager; the sandbox gives each account a data room
DATA_MANAGER_ACCOUNTS = {  # parameters of the stack
    "manager": {"DataManagerAccountId": MANAGER_ACCOUNT},
    "dsp": {"DataManagerAccountId": "ENTITY9LOCAL"},
    "none": {},
}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of the local endpoint."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
    )


def create(template: Template, clients: Callable[[str], Any], secrets: Mapping[str, Mapping[str, Any]]) -> None:
    """Create all resources of the functions.

    Args:
        template: receives the names and attributes of created resources.
        clients: boto3's name of a service -> a client.
        secrets: values by logical id.
    """
    create_queues(template, clients("sqs").create_queue)
    _tables(template, clients("dynamodb"))
    manager = clients("secretsmanager")
    for logical_id in template.resources("AWS::Serverless::Function"):
        template.name(logical_id, f"{STACK}-{logical_id}")
    for logical_id, properties in template.resources("AWS::Logs::LogGroup").items():
        template.name(logical_id, template.resolve(properties["LogGroupName"]))
    for logical_id in template.resources("AWS::SecretsManager::Secret"):
        value = json.dumps(secrets[logical_id])
        arn = manager.create_secret(Name=f"{STACK}-{logical_id}-{uuid4().hex[:8]}", SecretString=value)["ARN"]
        template.name(logical_id, arn)
    alarm = template.resources("AWS::CloudWatch::Alarm")["Findings"]  # whose state the audit sets
    without_topic: dict[str, Any] = {"AlarmActions": [], "OKActions": []}
    clients("cloudwatch").put_metric_alarm(**template.resolve(alarm | without_topic))


def list_audience(dynamodb: Any, table: str, audience: Audience) -> None:
    """Add an audience to the audience table, so that events may reach it."""
    AudienceTable(dynamodb, table).put(audience, created=time.time_ns() // 1_000_000)


def seed_audience(sandbox: Sandbox, audience: Audience) -> None:
    """Add an advertiser's audience to Amazon's sandbox from the start."""
    sandbox.seed(
        int(audience.audience_id),
        {
            "name": audience.name,
            "description": "",
            "countryCode": audience.country,
            "targetResource": {"advertiserId": int(advertiser_of(audience.destination) or 0)},
            "metadata": {"externalAudienceId": audience.external_audience_id},
        },
    )


def create_queues(template: Template, create: Callable[..., Mapping[str, Any]]) -> None:
    """Create the queues. `create` is CreateQueue, as boto3's clients have it."""
    known = ("VisibilityTimeout", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds")
    # Dead letter queues first: a redrive policy must name a queue that exists.
    queues = sorted(template.resources("AWS::SQS::Queue").items(), key=lambda entry: "RedrivePolicy" in entry[1])
    for logical_id, properties in queues:
        name = template.resolve(properties.get("QueueName", logical_id))
        attributes = {key: str(template.resolve(properties[key])) for key in known if key in properties}
        if "RedrivePolicy" in properties:
            attributes["RedrivePolicy"] = json.dumps(template.resolve(properties["RedrivePolicy"]))
        url = create(QueueName=name, Attributes=attributes)["QueueUrl"]
        template.name(logical_id, url, Arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", QueueName=name)


def _tables(template: Template, dynamodb: Any) -> None:
    known = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")
    for logical_id, properties in template.resources("AWS::DynamoDB::Table").items():
        name = template.resolve(properties.get("TableName", f"{STACK}-{logical_id}"))
        arguments = {key: template.resolve(properties[key]) for key in known if key in properties}
        dynamodb.create_table(TableName=name, **arguments)
        template.name(logical_id, name, Arn=f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
