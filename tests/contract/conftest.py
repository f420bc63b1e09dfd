"""A worker on two tables: one in memory, and that of a local AWS; and on an audience of each of Amazon's APIs."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from local import resources
from local.sqs.queues import SqsQueues
from tests.support.aws_fixtures import create_membership_table
from tests.support.servers import serve_aws
from tests.support.worker_stack import MemoryStack, WorkerStack, dataset_stack


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as served:
        yield served


@pytest.fixture
def dynamodb(url: str) -> Iterator[Any]:
    """A client, and a membership table."""
    client = resources.client("dynamodb", url)
    create_membership_table(client, "members")
    yield client
    client.delete_table(TableName="members")


@pytest.fixture(params=["memory", "local_aws", "dataset"])
def stack(request: pytest.FixtureRequest) -> WorkerStack:
    if request.param != "local_aws":
        return dataset_stack() if request.param == "dataset" else MemoryStack()
    request.getfixturevalue("dynamodb")
    return WorkerStack(request.getfixturevalue("url"), "members")
