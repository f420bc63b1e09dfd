from collections.abc import Iterator

import pytest

from tests.support.sandbox_server import Amazon, sandbox


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    with sandbox() as running:
        yield running
