"""Reads and writes of rows at the local AWS, which skip moto's HTTP layer: they answer as they do with it."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import aws, resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_table
from tests.servers import serve

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
KEY = {name: ROW[name] for name in ("shard", "id")}


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


def read(dynamodb: Any, *keys: dict[str, Any], table: str = "rows", **options: Any) -> list[dict[str, Any]]:
    answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": list(keys), "ConsistentRead": True, **options}})
    assert answer["UnprocessedKeys"] == {}
    rows: list[dict[str, Any]] = answer["Responses"][table]
    return rows


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


def test_a_row_is_read_as_it_was_written_and_as_get_item_reads_it(dynamodb: Any) -> None:
    assert read(dynamodb, KEY) == [ROW] == [dynamodb.get_item(TableName="rows", Key=KEY)["Item"]]


def test_a_projection_leaves_the_other_attributes_out(dynamodb: Any) -> None:
    assert read(dynamodb, KEY, ProjectionExpression="id, packed") == [{name: ROW[name] for name in ("id", "packed")}]


def test_a_consistent_read_returns_the_latest_write(dynamodb: Any) -> None:
    for revision in ("1", "2"):
        row = key("m3") | {"revision": {"N": revision}}
        dynamodb.put_item(TableName="rows", Item=row)
        assert read(dynamodb, key("m3")) == [row]


@pytest.mark.parametrize(
    ("keys", "table", "code"),
    [
        pytest.param([key(str(number)) for number in range(101)], "rows", "ValidationException", id="101 keys"),
        pytest.param([KEY, KEY], "rows", "ValidationException", id="a key twice"),
        pytest.param([{"shard": KEY["shard"]}], "rows", "ValidationException", id="half a key"),
        pytest.param([KEY], "others", "ResourceNotFoundException", id="an unknown table"),
    ],
)
def test_what_dynamodb_refuses_is_refused(dynamodb: Any, keys: list[dict[str, Any]], table: str, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        read(dynamodb, *keys, table=table)


def test_a_batch_reads_a_hundred_keys_and_omits_missing_rows(dynamodb: Any) -> None:
    assert read(dynamodb, KEY, *(key(f"none{number}") for number in range(99))) == [ROW]


def test_each_region_has_tables_of_its_own(dynamodb: Any) -> None:
    elsewhere = boto3.client(
        "dynamodb",
        endpoint_url=dynamodb.meta.endpoint_url,
        region_name="eu-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        read(elsewhere, KEY)
