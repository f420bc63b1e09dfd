"""The local AWS with a front that can fail, and clocks that tests move."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local.sqs.queues import SqsQueues
from tests.faults.proxy import Front, in_front_of
from tests.servers import serve_aws


@dataclass
class Clock:
    """Monotonic seconds, moved by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def queues() -> SqsQueues:
    return SqsQueues(time.time)


@pytest.fixture(scope="module")
def aws_url(queues: SqsQueues) -> Iterator[str]:
    """One server for a whole module: building moto takes most of a second."""
    with serve_aws(queues) as url:
        yield url


@pytest.fixture
def front(aws_url: str) -> Iterator[Front]:
    with in_front_of(aws_url) as made:
        yield made
