"""The handlers' cloud, with a front before AWS that fails on demand."""

from collections.abc import Iterator

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base

from tests.faults.proxy import Front, in_front_of
from tests.faults.unhurried import client
from tests.faults.worker_harness import Sandbox, WorkerHarness
from tests.functions.conftest import Cloud, amazon, cloud, printed

__all__ = ["amazon", "cloud", "printed"]  # fixtures; the functions' tests use them too


@pytest.fixture
def front(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Between the functions and AWS. The cloud itself looks on from behind it."""
    with in_front_of(cloud.aws_url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        yield made


@pytest.fixture
def worker_harness(cloud: Cloud, front: Front, monkeypatch: pytest.MonkeyPatch) -> WorkerHarness:
    """Brings messages to the worker, through the front. The worker's memory is empty, that of its circuits included."""
    monkeypatch.setattr("functions.worker.handler.client", client)
    base._LOCAL_FAILURES.clear()
    base._LAST_OBSERVED_STATE.clear()
    return WorkerHarness(cloud, front, Sandbox(cloud.amazon_url))
