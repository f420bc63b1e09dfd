"""Circuit breakers that are not closed, as the worker stores them in the membership table."""

from typing import NamedTuple

from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitState

from audience_sync.delivery.gates.circuit_state import CircuitStates
from audience_sync.runtime.settings import WorkerSettings
from audience_sync_cli.frame.stacks import Stack

RECOVERY: float = WorkerSettings.model_fields["circuit_seconds"].default
"""Seconds for which a circuit breaker stays open, until a worker tries Amazon again. A local stack has its own."""


class OpenCircuits(NamedTuple):
    """Open circuit breakers, and half-open ones: a worker is trying Amazon."""

    audience_ids: tuple[str, ...]
    connection_ids: tuple[str, ...]
    next_try: float | None  # epoch seconds, of the one open for longest; None if all are half open


def open_circuits(stack: Stack, now: float) -> OpenCircuits | None:
    """Read them; None if all are closed. `now` in epoch seconds. Raises Unavailable."""
    states = CircuitStates(stack.service("dynamodb"), stack["MembershipTable"], lambda: now)
    records = states.not_closed()
    if not records:
        return None
    names = [record.name.partition(":") for record in records]
    opened = [each.opened_at for each in records if each.state == CircuitState.OPEN and each.opened_at is not None]
    return OpenCircuits(
        tuple(name for kind, _, name in names if kind == "audience"),
        tuple(name for kind, _, name in names if kind == "connection"),
        min(opened) + _recovery(stack) if opened else None,
    )


def _recovery(stack: Stack) -> float:
    configuration = stack.service("lambda").get_function_configuration(FunctionName=stack["WorkerFunction"])
    return float(configuration.get("Environment", {}).get("Variables", {}).get("CIRCUIT_SECONDS", RECOVERY))
