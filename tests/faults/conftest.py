"""The handlers' cloud, with a front before AWS that fails on demand."""

from collections.abc import Iterator

import pytest

from tests.faults.proxy import Front, in_front_of
from tests.functions.conftest import Cloud, amazon, cloud, printed

__all__ = ["amazon", "cloud", "printed"]  # fixtures; the functions' tests use them too


@pytest.fixture
def front(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Between the functions and AWS. The cloud itself looks on from behind it."""
    with in_front_of(cloud.aws_url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        yield made
