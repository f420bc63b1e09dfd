"""The services in memory behave as AWS documents, as far as the functions depend on it."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.doubles.expressions import Row, holds, updated
from tests.soak import clock, dynamodb, sqs
from tests.soak.calls import Environment
from tests.soak.clock import SimulatedClock

INSERT = "INSERT INTO \"members\" VALUE {'shard': ?, 'user': ?, 'revision': ?, 'digest': ?}"
UPDATE = 'UPDATE "members" SET revision=?, digest=? WHERE shard=? AND user=? AND revision=?'


@pytest.fixture
def fails() -> set[str]:
    """Holds "partly" where parts of a batch are to fail."""
    return set()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, fails: set[str]) -> dynamodb.DynamoDbClient:
    monkeypatch.setattr(dynamodb, "make", lambda call: call.act())
    clock = SimulatedClock()
    store = dynamodb.DynamoDb(Random(1), lambda: "partly" in fails)
    store.tables["members"] = dynamodb.Table("members", ("shard", "user"), clock, Random(1))
    return dynamodb.DynamoDbClient(store, 3.0, 1)


def insert(user: str, revision: str, digest: bytes) -> dict[str, Any]:
    parameters = [{"S": "1#0"}, {"S": user}, {"N": revision}, {"B": digest}]
    return {"Statement": INSERT, "Parameters": parameters, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def update(user: str, revision: str, digest: bytes, *, of: str) -> dict[str, Any]:
    parameters = [{"N": revision}, {"B": digest}, {"S": "1#0"}, {"S": user}, {"N": of}]
    return {"Statement": UPDATE, "Parameters": parameters, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def codes(answer: Any) -> list[str | None]:
    return [response.get("Error", {}).get("Code") for response in answer["Responses"]]


def test_each_statement_has_a_result_of_its_own(client: dynamodb.DynamoDbClient) -> None:
    assert codes(client.batch_execute_statement(Statements=[insert("a", "1", b"x")])) == [None]
    answer = client.batch_execute_statement(
        Statements=[insert("a", "1", b"y"), insert("b", "1", b"z"), update("c", "2", b"z", of="1")]
    )
    assert codes(answer) == ["DuplicateItem", None, "ConditionalCheckFailed"]
    assert answer["Responses"][0]["Error"]["Item"]["digest"] == {"B": b"x"}


def test_parts_of_a_batch_can_fail_by_themselves(client: dynamodb.DynamoDbClient, fails: set[str]) -> None:
    fails.add("partly")
    assert codes(client.batch_execute_statement(Statements=[insert("a", "1", b"x")])) == ["ThrottlingError"]
    keys = [{"shard": {"S": "1#0"}, "user": {"S": "a"}}]
    answer = client.batch_get_item(RequestItems={"members": {"Keys": keys, "ConsistentRead": True}})
    assert answer["UnprocessedKeys"]["members"]["Keys"] == keys


def test_a_condition_that_does_not_hold_returns_the_row(client: dynamodb.DynamoDbClient) -> None:
    row = {"shard": {"S": "1#0"}, "user": {"S": "a"}, "revision": {"N": "7"}}
    client.put_item(TableName="members", Item=row)
    with pytest.raises(ClientError) as refused:
        client.put_item(
            TableName="members",
            Item=row,
            ConditionExpression="attribute_not_exists(#user) OR revision < :revision",
            ExpressionAttributeNames={"#user": "user"},
            ExpressionAttributeValues={":revision": {"N": "7"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    response: Any = refused.value.response
    assert (response["Error"]["Code"], response["Item"]) == ("ConditionalCheckFailedException", row)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("n = :two AND (attribute_exists(s) OR n > :two)", True),
        ("NOT n = :two", False),
        ("begins_with(s, :prefix)", True),
        ("missing < :two", False),
        ("n < :ten", True),
    ],
)
def test_conditions(condition: str, expected: bool) -> None:
    row = {"n": {"N": "2"}, "s": {"S": "#circuit"}}
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":ten": {"N": "10"}, ":prefix": {"S": "#"}}
    assert holds(condition, row, {}, values) is expected


def test_updates_set_remove_and_add() -> None:
    before: Row = {"n": {"N": "2"}, "set": {"SS": ["a"]}, "gone": {"S": "x"}}
    after = updated(
        "SET n = :one, #kept = :one REMOVE gone ADD #set :more",
        before,
        {},
        {"#set": "set", "#kept": "kept"},
        {":one": {"N": "1"}, ":more": {"SS": ["b"]}},
    )
    assert after == {"n": {"N": "1"}, "kept": {"N": "1"}, "set": {"SS": ["a", "b"]}}


def test_a_message_received_too_often_moves_to_the_dead_letters() -> None:
    clock = SimulatedClock()
    queue, dead = (sqs.StoredQueue(name, clock, visibility=30.0, retention=86_400.0) for name in ("queue", "dead"))
    queue.dead_letters, queue.max_receives = dead, 2
    queue.put("body", 5.0)
    assert queue.receive(Random(1), 10, 0.0) == []  # delayed
    clock.now += 5.0
    for _ in range(2):
        assert [message.body for message in queue.receive(Random(1), 10, 0.0)] == ["body"]
        assert queue.receive(Random(1), 10, 0.0) == []  # invisible
        clock.now += 30.0
    assert queue.receive(Random(1), 10, 0.0) == []
    assert [message.body for message in dead.messages.values()] == ["body"]


def test_a_duplicate_reaches_two_consumers() -> None:
    queue = sqs.StoredQueue("queue", SimulatedClock(), visibility=30.0, retention=86_400.0)
    queue.put("body")
    assert len(queue.receive(Random(1), 10, 1.0)) == len(queue.receive(Random(1), 10, 1.0)) == 1


def test_copies_of_a_message_are_delivered_although_it_was_deleted_or_hidden() -> None:
    clock = SimulatedClock()
    queue = sqs.StoredQueue("queue", clock, visibility=30.0, retention=86_400.0)
    queue.put("body")
    first, second = (queue.receive(Random(1), 10, 1.0, copies=3)[0].handle for _ in range(2))
    queue.change_visibility(first, 600.0)
    queue.delete(second)
    third = queue.receive(Random(1), 10, 0.0)[0]
    assert queue.receive(Random(1), 10, 0.0) == []  # three are all
    queue.delete(third.handle)
    assert not queue.messages


def test_each_environment_has_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = SimulatedClock()
    invocation = SimpleNamespace(environment=Environment(1, "WorkerFunction", clock_offset=-1.5))
    monkeypatch.setattr(clock, "current", lambda: invocation)
    assert simulated.time() == simulated.now - 1.5
    assert simulated.time_ns() == round(simulated.time() * 1e9)
    assert simulated.monotonic() == 0.0  # what has passed is the same everywhere
