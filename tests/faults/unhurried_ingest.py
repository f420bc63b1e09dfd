"""The ingest function for a process of its own, in which no fixture can give it more time."""

from functions.ingest import handler
from tests.faults.unhurried import LONG, client

vars(handler).update(BUDGET=LONG, client=client)
lambda_handler = handler.lambda_handler
