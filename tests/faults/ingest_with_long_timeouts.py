"""The ingest function with long timeouts, for a process of its own, which no fixture reaches."""

from functions.ingest import handler
from tests.support.long_timeouts import LONG_TIMEOUT, client

vars(handler).update(BUDGET=LONG_TIMEOUT, client=client)
lambda_handler = handler.lambda_handler
