"""A worker on two tables: one in memory, and that of a local AWS."""

import time
from collections.abc import Iterator

import pytest

from local import resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_membership_table
from tests.contract.worker_stack import MemoryStack, WorkerStack
from tests.servers import serve_aws


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as served:
        yield served


@pytest.fixture(params=["memory", "local_aws"])
def stack(request: pytest.FixtureRequest) -> Iterator[WorkerStack]:
    if request.param == "memory":
        yield MemoryStack()
        return
    url = request.getfixturevalue("url")
    dynamodb = resources.client("dynamodb", url)
    create_membership_table(dynamodb, "members")
    yield WorkerStack(url, "members")
    dynamodb.delete_table(TableName="members")
