"""The handlers' cloud, with a proxy before AWS that fails on demand."""

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base

from audience_sync.amazon_ads.destination import Api
from tests.faults.worker_harness import Sandbox, WorkerHarness
from tests.support.cloud import AUDIENCE, Cloud, amazon, cloud, printed, proxy
from tests.support.long_timeouts import client
from tests.support.proxy import FaultProxy
from tests.support.servers import Served

__all__ = ["amazon", "cloud", "printed", "proxy"]  # fixtures; the functions' tests use them too


@pytest.fixture(params=Api)
def worker_harness(
    request: pytest.FixtureRequest,
    amazon: Served,
    cloud: Cloud,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> WorkerHarness:
    """Runs the worker behind the proxy, on an audience of each of Amazon's APIs.

    Its memory is empty, that of its circuit breakers included.
    """
    monkeypatch.setattr("functions.worker.handler.client", client)
    base._LOCAL_FAILURES.clear()
    base._LAST_OBSERVED_STATE.clear()
    sandbox = Sandbox(amazon, request.param, AUDIENCE)
    if request.param is Api.DATA_MANAGER:
        sandbox.audience = sandbox.add_audience("lapsed-buyers")
        cloud.audiences.put(sandbox.audience, created=0)
    return WorkerHarness(cloud, proxy, sandbox)
