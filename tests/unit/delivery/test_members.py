"""The newest change of a member wins, on a table in memory: the tests of the protocol that need no server."""

import pytest

from tests.contract import test_member_protocol
from tests.contract.memory_stack import MemoryStack, without_a_server

globals().update(without_a_server(test_member_protocol))


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()
