"""Deletion notices on a table in memory: those of the contract tests that need no server."""

import pytest

from tests.contract import test_deletion_notices
from tests.contract.memory_stack import MemoryStack, without_a_server

globals().update(without_a_server(test_deletion_notices))


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(audiences=test_deletion_notices.AUDIENCES)
