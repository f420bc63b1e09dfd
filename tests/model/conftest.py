"""Calls take no time here: no threads for them."""

import pytest

from tests.doubles.threads import SequentialExecutor


@pytest.fixture(autouse=True)
def sequential_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.aws.membership_table.ThreadPoolExecutor", SequentialExecutor)
