"""Reads and writes of rows at the local AWS, which skip moto's HTTP layer: they answer as they do with it."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import aws, resources
from local.sqs.queues import SqsQueues
from tests.support.aws_fixtures import create_table
from tests.support.servers import serve

ROW = {
    "shard": {"S": "1#00"},
    "id": {"S": "m1"},
    "revision": {"N": "7"},
    "packed": {"B": bytes(range(256))},
    "digests": {"L": [{"B": b"\0"}, {"M": {"of": {"B": b"\xff"}, "at": {"N": "1"}}}]},
    "B": {"S": "named like a type"},
    "empty": {"NULL": True},
}
METADATA = "ResponseMetadata"
KEY: dict[str, Any] = {name: ROW[name] for name in ("shard", "id")}


def key(member: str) -> dict[str, Any]:
    return KEY | {"id": {"S": member}}


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client of a server with a table of one row."""
    with serve(lambda: aws.build_app(SqsQueues(time.time))) as served:
        client = resources.client("dynamodb", served.url)
        create_table(client, "rows", "shard", "id")
        client.put_item(TableName="rows", Item=ROW)
        yield client


def batch(*keys: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"RequestItems": {"rows": {"Keys": list(keys), "ConsistentRead": True, **options}}}


ONE = {"TableName": "rows", "Key": KEY}
IF_FIRST = {
    "ConditionExpression": "#revision = :first",
    "ExpressionAttributeNames": {"#revision": "revision"},
    "ExpressionAttributeValues": {":first": {"N": "1"}},
}
OF_SHARD = {
    "TableName": "rows",
    "KeyConditionExpression": "shard = :shard",
    "ExpressionAttributeValues": {":shard": ROW["shard"]},
}


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        pytest.param("get_item", ONE, id="a row"),
        pytest.param("get_item", ONE | {"ProjectionExpression": "id, packed"}, id="part of a row"),
        pytest.param("get_item", {"TableName": "rows", "Key": key("none")}, id="no row"),
        pytest.param("batch_get_item", batch(KEY, *(key(f"none{number}") for number in range(99))), id="100 keys"),
        pytest.param("batch_get_item", batch(KEY, ProjectionExpression="id, packed"), id="parts of rows"),
        pytest.param("batch_get_item", batch(*(key(str(number)) for number in range(101))), id="101 keys"),
        pytest.param("batch_get_item", batch(KEY, KEY), id="a key twice"),
        pytest.param("batch_get_item", batch({"shard": KEY["shard"]}), id="half a key"),
        pytest.param("query", OF_SHARD, id="rows of a partition"),
        pytest.param("query", OF_SHARD | {"Select": "COUNT"}, id="their number"),
        pytest.param("query", OF_SHARD | {"Limit": 1}, id="a page of them"),
        pytest.param("scan", {"TableName": "rows"}, id="all rows"),
        pytest.param("scan", {"TableName": "rows", "Limit": 1, "ReturnConsumedCapacity": "TOTAL"}, id="a page of all"),
        pytest.param("put_item", {"TableName": "rows", "Item": ROW, "ReturnValues": "ALL_OLD"}, id="a row replaced"),
        pytest.param("put_item", {"TableName": "rows", "Item": ROW} | IF_FIRST, id="a condition of a write"),
        pytest.param(
            "update_item",
            ONE
            | {"UpdateExpression": "SET revision = :first", "ExpressionAttributeValues": {":first": {"N": "7"}}}
            | {"ReturnValues": "ALL_NEW"},
            id="a row changed",
        ),
        pytest.param("update_item", ONE | {"UpdateExpression": "ADD shard :first"} | IF_FIRST, id="an invalid change"),
        pytest.param("delete_item", {"TableName": "rows", "Key": key("none")}, id="no row deleted"),
        pytest.param("delete_item", ONE | IF_FIRST, id="a condition of a delete"),
        pytest.param("scan", {"TableName": "others"}, id="an unknown table"),
    ],
)
def test_every_call_answers_as_it_does_with_motos_http_layer(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, call: str, asked: dict[str, Any]
) -> None:
    def answer() -> Any:
        try:
            return {name: value for name, value in getattr(dynamodb, call)(**asked).items() if name != METADATA}
        except ClientError as error:
            return error.response["Error"]

    dynamodb.put_item(TableName="rows", Item=ROW)
    dynamodb.put_item(TableName="rows", Item=key("m2"))
    without = answer()
    assert dynamodb.get_item(TableName="rows", Key=KEY)["Item"] == ROW
    monkeypatch.setattr(aws, "OPERATIONS", {})
    assert without == answer()


def test_each_region_has_tables_of_its_own(dynamodb: Any) -> None:
    elsewhere = boto3.client(
        "dynamodb",
        endpoint_url=dynamodb.meta.endpoint_url,
        region_name="eu-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        elsewhere.get_item(TableName="rows", Key=KEY)
