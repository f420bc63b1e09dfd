"""Long timeouts, for tests whose result must not depend on the speed of this machine.

The functions give up quickly on AWS. In tests AWS shares a machine with them, and with other programs.
"""

from typing import Any

from audience_sync.aws import clients
from tests.support.cloud import Context

LONG_TIMEOUT = 600.0  # seconds; far longer than anything takes here
LONG_CONTEXT = Context(milliseconds=900_000)  # the longest that Lambda lets a function run


def client(service: str, **options: Any) -> Any:
    """Build a client as the functions do, but with a long read timeout."""
    return clients.client(service, **options | {"read_timeout": LONG_TIMEOUT})
