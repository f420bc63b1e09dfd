"""Hypothesis sets no time limit for an example, as the machine may be busy, and Python rarely collects garbage."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

gc.disable()  # until all tests are collected

# On top of the profile in force: in CI Hypothesis chooses one of its own.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# For mutation tests: that a property fails is enough to know, without a search for the smallest example.
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False)

if TYPE_CHECKING:
    from tests.support.aws_fixtures import AwsServer


@pytest.fixture(scope="session")
def aws_server() -> Iterator["AwsServer"]:
    """The one local AWS of this process: what moto holds belongs to the process, so two servers would share it."""
    from tests.support.aws_fixtures import serve_aws  # noqa: PLC0415 - moto and boto3 take a second, and most tests need neither

    with serve_aws() as server:
        yield server


def pytest_collection_finish() -> None:
    """Have Python look for garbage rarely, and never among the objects that live as long as the process.

    Those are half a million: the tests themselves, and the models of boto3 and moto. With Python's own thresholds,
    tests took 3 to 8 percent more of the processor's time.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
