"""Takes the speed of this machine out of a test that is about something else.

The functions give up quickly on AWS. The AWS of the tests shares a machine with them, and perhaps with much besides.
"""

from typing import Any

from audience_sync.aws import clients
from tests.functions.conftest import Context

LONG = 600.0  # seconds; far longer than anything takes here
PLENTY = Context(milliseconds=900_000)  # the longest that Lambda lets a function run


def client(service: str, **options: Any) -> Any:
    """As the functions build it, but for how long it waits for an answer."""
    return clients.client(service, **options | {"read_timeout": LONG})
