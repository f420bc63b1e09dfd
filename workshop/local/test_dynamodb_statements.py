"""Batches of PartiQL statements, as the membership table sends them, at the local AWS."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import aws, resources
from local.dynamodb_statements import MAX_STATEMENTS
from local.sqs.queues import SqsQueues
from tests.support.aws_fixtures import create_table
from tests.support.servers import serve

INSERT = """INSERT INTO "members" VALUE {'shard': ?, 'id': ?, 'revision': ?, 'packed': ?}"""
UPDATE = 'UPDATE "members" SET revision=?, "packed"=? WHERE shard=? AND id=? AND revision=?'
PACKED = bytes(range(256))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Any]:
    with serve(lambda: aws.build_app(SqsQueues(time.time))) as served:
        yield resources.client("dynamodb", served.url)


@pytest.fixture
def dynamodb(endpoint: Any) -> Iterator[Any]:
    create_table(endpoint, "members", "shard", "id")
    yield endpoint
    endpoint.delete_table(TableName="members")


def insert(member: str, *, revision: int = 1, packed: bytes = PACKED, statement: str = INSERT) -> dict[str, Any]:
    parameters = [{"S": "1#00"}, {"S": member}, {"N": str(revision)}, {"B": packed}]
    return {"Statement": statement, "Parameters": parameters}


def update(member: str, *, read: int, packed: bytes = PACKED) -> dict[str, Any]:
    parameters = [{"N": str(read + 1)}, {"B": packed}, {"S": "1#00"}, {"S": member}, {"N": str(read)}]
    return {"Statement": UPDATE, "Parameters": parameters}


def codes(dynamodb: Any, *statements: dict[str, Any]) -> list[str]:
    """Execute statements and return the error code of each, empty where there is none."""
    answers = dynamodb.batch_execute_statement(Statements=list(statements))["Responses"]
    return [each.get("Error", {}).get("Code", "") for each in answers]


def rows(dynamodb: Any) -> dict[str, Any]:
    found = dynamodb.scan(TableName="members")["Items"]
    return {row["id"]["S"]: (int(row["revision"]["N"]), row["packed"]["B"]) for row in found}


def test_an_insert_stores_binary_parameters(dynamodb: Any) -> None:
    assert codes(dynamodb, insert("m1")) == [""]
    assert rows(dynamodb) == {"m1": (1, PACKED)}


def test_each_statement_succeeds_or_fails_by_its_own_condition(dynamodb: Any) -> None:
    codes(dynamodb, insert("there"), insert("as read"), insert("changed since", revision=3))
    written = {
        "": (insert("new"), update("as read", read=1, packed=b"\0\xff")),
        "DuplicateItem": (insert("there", packed=b"other"),),
        "ConditionalCheckFailed": (update("changed since", read=2, packed=b"other"), update("missing", read=1)),
    }
    expected = [code for code, statements in written.items() for _ in statements]
    assert codes(dynamodb, *(each for statements in written.values() for each in statements)) == expected
    assert rows(dynamodb) == {
        "there": (1, PACKED),
        "as read": (2, b"\0\xff"),
        "changed since": (3, PACKED),
        "new": (1, PACKED),
    }


def test_a_batch_holds_at_most_25_statements(dynamodb: Any) -> None:
    full = [insert(f"m{number}") for number in range(MAX_STATEMENTS)]
    assert codes(dynamodb, *full) == [""] * 25
    with pytest.raises(ClientError, match="ValidationException"):
        codes(dynamodb, *full, insert("one more"))
    assert len(rows(dynamodb)) == 25


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param('SELECT * FROM "members"', id="a read"),
        pytest.param('DELETE FROM "members" WHERE shard=? AND id=?', id="a delete"),
        pytest.param(INSERT.replace("?}", "'x'}"), id="a value in the text"),
        pytest.param(INSERT.replace("'packed'", "'id'"), id="an attribute twice"),
        pytest.param(INSERT.replace(", 'packed': ?", ""), id="more parameters than question marks"),
        pytest.param('UPDATE "members" SET revision=? WHERE shard=? AND id=?', id="an update without a revision"),
        pytest.param('UPDATE "members" SET revision=revision WHERE shard=? AND revision=?', id="an expression"),
        pytest.param(UPDATE, id="fewer parameters than question marks"),
    ],
)
def test_an_unsupported_statement_rejects_the_whole_batch(dynamodb: Any, statement: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        codes(dynamodb, insert("m1"), insert("m2", statement=statement))
    assert rows(dynamodb) == {}


def test_a_statement_about_an_unknown_table_does_not_fail_the_others(dynamodb: Any) -> None:
    other = insert("m2", statement=INSERT.replace("members", "others"))
    assert codes(dynamodb, insert("m1"), other) == ["", "ResourceNotFound"]
