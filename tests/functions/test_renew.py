"""The renewal as Lambda runs it, and what becomes of its messages: backdated rows, the worker, and Amazon."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import KEEP_ACTIVE
from audience_sync.membership import Audience
from audience_sync.operations.renewal import MAX_WAITING
from functions.renew import handler
from local.amazon.exchange import SANDBOX
from tests.functions.conftest import AUDIENCE, CREDENTIALS, Cloud, Context
from tests.functions.test_worker import EMAIL, body, change, deliver
from tests.servers import Served

DAY = 86_400  # seconds
RENEWED = replace(AUDIENCE, settings={"renew": True})


@pytest.fixture
def listed(cloud: Cloud) -> Cloud:
    return list_(cloud, RENEWED)


def list_(cloud: Cloud, audience: Audience) -> Cloud:
    table = AudienceTable(cloud.client("dynamodb"), cloud.name_of("AudienceTable"), time.monotonic)
    table.put(audience, created=0)
    return cloud


def renew(cloud: Cloud, context: Context | None = None, **variables: str) -> Any:
    cloud.enter("RenewFunction", **variables)
    return handler.lambda_handler({"source": "aws.events"}, context or Context(milliseconds=900_000))


def age(cloud: Cloud, member: str, days: float) -> None:
    """Have Amazon been told of a member so many days ago."""
    cloud.client("dynamodb").update_item(
        TableName=cloud.name_of("MembershipTable"),
        Key=key(member),
        UpdateExpression="SET entered = :then, expiresAt = :end",
        ExpressionAttributeValues={
            ":then": {"N": str(int(time.time() - days * DAY))},
            ":end": {"N": str(int(time.time() - days * DAY) + KEEP_ACTIVE)},
        },
    )


def key(member: str) -> dict[str, Any]:
    return {"audienceId": {"S": AUDIENCE.audience_id}, "externalUserId": {"S": member}}


def row(cloud: Cloud, member: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("dynamodb").get_item(
        TableName=cloud.name_of("MembershipTable"), Key=key(member), ConsistentRead=True
    )["Item"]
    return found


def take(cloud: Cloud) -> list[str]:
    """Take everything out of the change queue."""
    bodies = [json.dumps(message) for message in cloud.messages()]
    cloud.client("sqs").purge_queue(QueueUrl=cloud.name_of("ChangeQueue"))
    return bodies


def told(cloud: Cloud, member: str) -> list[str]:
    log = requests.get(f"{cloud.amazon_url}/sandbox/ledger", params={"member": member}, timeout=5).json()
    return [entry["action"] for entry in log]


def counted(text: str, name: str) -> list[float]:
    """The values of one metric in what a function printed."""
    lines = [json.loads(line) for line in text.splitlines() if f'"{name}":[' in line.replace(" ", "")]
    return [value for line in lines for value in line[name]]


def test_a_member_whose_time_runs_out_is_told_again_and_counts_no_second_time(
    listed: Cloud, printed: Callable[[], str]
) -> None:
    deliver(listed, body(change("cust_1"), change("cust_2")))
    assert counted(printed(), "ChangesDelivered") == [2.0]
    age(listed, "cust_1", days=384)
    assert renew(listed) == {"renewed": 1, "reason": None}
    assert [each["record"]["externalUserId"] for each in listed.changes()] == ["cust_1"]
    assert counted(printed(), "MembersRenewed") == [1.0]

    assert deliver(listed) == []
    assert (told(listed, "cust_1"), told(listed, "cust_2")) == (["CREATE", "CREATE"], ["CREATE"])
    assert "ChangesDelivered" not in printed()
    found = row(listed, "cust_1")
    assert int(found["entered"]["N"]) == pytest.approx(time.time(), abs=30)
    assert int(found["expiresAt"]["N"]) == int(found["entered"]["N"]) + KEEP_ACTIVE

    assert renew(listed) == {"renewed": 0, "reason": None}


def test_who_leaves_while_the_renewal_waits_in_the_queue_stays_out(listed: Cloud) -> None:
    deliver(listed, body(change("cust_1")))
    age(listed, "cust_1", days=384)
    renew(listed)
    (waiting,) = take(listed)
    deliver(listed, body(change("cust_1", at=2, exits=True)))
    assert deliver(listed, waiting) == []
    assert told(listed, "cust_1") == ["CREATE", "DELETE"]
    assert listed.members() == {}


def test_who_has_left_is_not_told_again(listed: Cloud) -> None:
    deliver(listed, body(change("cust_1")))
    deliver(listed, body(change("cust_1", at=2, exits=True)))
    age(listed, "cust_1", days=384)
    assert renew(listed)["renewed"] == 0


def test_an_audience_is_left_alone_unless_it_says_otherwise(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    age(cloud, "cust_1", days=384)
    assert renew(cloud) == {"renewed": 0, "reason": None}


def test_the_next_run_sees_a_setting_at_once(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    age(cloud, "cust_1", days=384)
    renew(cloud)
    list_(cloud, RENEWED)
    assert handler.lambda_handler({}, Context(milliseconds=900_000))["renewed"] == 1  # the same environment


def test_a_run_on_top_of_a_full_queue_does_nothing_and_says_so(listed: Cloud, printed: Callable[[], str]) -> None:
    deliver(listed, body(change("cust_1")))
    age(listed, "cust_1", days=384)
    with depth(listed, MAX_WAITING + 1):
        assert renew(listed) == {"renewed": 0, "reason": "queue_behind"}
    text = printed()
    assert counted(text, "RenewalsUnfinished") == [1.0]
    assert '"message":"renewal stopped"' in text.replace(": ", ":")
    assert renew(listed)["renewed"] == 1


@contextmanager
def depth(cloud: Cloud, messages: int) -> Iterator[None]:
    """Have so many messages wait in the change queue."""
    sqs, url = cloud.client("sqs"), cloud.name_of("ChangeQueue")
    for start in range(0, messages, 10):
        few = range(start, min(start + 10, messages))
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(number), "MessageBody": "{}"} for number in few])
    yield
    sqs.purge_queue(QueueUrl=url)


def test_a_run_without_time_does_nothing_and_the_next_one_begins_where_it_stopped(listed: Cloud) -> None:
    deliver(listed, body(change("cust_1")))
    age(listed, "cust_1", days=384)
    assert renew(listed, Context(milliseconds=5_000)) == {"renewed": 0, "reason": "out_of_time"}
    checkpoint = Checkpoint(listed.client("dynamodb"), listed.name_of("MembershipTable"), RENEWAL)
    assert checkpoint.position() == {"audience": AUDIENCE.audience_id}
    assert renew(listed)["renewed"] == 1
    assert checkpoint.position() == {}


def test_without_the_ordering_guard_nobody_is_told_again(listed: Cloud) -> None:
    deliver(listed, body(change("cust_1")))
    age(listed, "cust_1", days=384)
    assert renew(listed, ORDERING_GUARD="no") == {"renewed": 0, "reason": "unguarded"}


def test_after_a_year_amazon_has_kept_who_was_told_again_and_dropped_who_was_not(
    listed: Cloud, amazon: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stand-in sees it: a repeated addition starts the count anew, which Amazon implies and does not state."""

    def after(days: float) -> None:
        monkeypatch.setattr(amazon.app[SANDBOX], "clock", lambda: time.time() + days * DAY)

    deliver(listed, body(change("cust_1"), change("cust_2")))
    after(days=384)
    age(listed, "cust_1", days=384)  # the row of cust_2 stays as young as it is, so that nobody thinks of them
    renew(listed)
    deliver(listed)
    assert set(listed.members()) == {"cust_1", "cust_2"}
    after(days=398)
    assert set(listed.members()) == {"cust_1"}


def test_logs_hold_counts_and_no_identifier(listed: Cloud, printed: Callable[[], str]) -> None:
    deliver(listed, body(change("cust_1")))
    age(listed, "cust_1", days=384)
    renew(listed)
    text = printed()
    assert '"renewed":1' in text.replace(": ", ":")
    assert not any(secret in text for secret in (EMAIL, "cust_1", *CREDENTIALS.values()))
