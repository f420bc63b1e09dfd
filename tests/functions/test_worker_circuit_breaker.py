"""What the worker gives its circuit breaker."""

from typing import Any

from functions.worker.handler import dependencies
from tests.functions.conftest import Cloud


def test_the_circuit_breaker_gives_up_early_on_its_table(cloud: Cloud) -> None:
    cloud.enter("WorkerFunction")
    config: Any = dependencies().circuit_breakers._states.client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 1.0, 1)
