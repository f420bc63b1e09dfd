"""The local AWS behind a proxy that can fail, and a clock that tests move."""

import time
from collections.abc import Iterator

import pytest

from local.sqs.queues import SqsQueues
from tests.support.doubles.clocks import ManualClock
from tests.support.proxy import FaultProxy, fault_proxy
from tests.support.servers import serve_aws


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture(scope="module")
def queues() -> SqsQueues:
    return SqsQueues(time.time)


@pytest.fixture(scope="module")
def aws_url(queues: SqsQueues) -> Iterator[str]:
    """One server for a whole module: building moto takes most of a second."""
    with serve_aws(queues) as url:
        yield url


@pytest.fixture
def proxy(aws_url: str) -> Iterator[FaultProxy]:
    with fault_proxy(aws_url) as made:
        yield made
