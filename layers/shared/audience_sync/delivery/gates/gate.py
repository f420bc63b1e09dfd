"""Checks whether uploads to an audience may be tried now, before the worker writes anything."""

from typing import Protocol

from audience_sync.amazon_ads.upload import Target
from audience_sync.delivery.gates.circuit_breaker import CircuitBreakers
from audience_sync.delivery.gates.retry_budget import RetryBudget


class Gate(Protocol):
    """Stops work that could not be sent."""

    def check(self, target: Target) -> bool:
        """Return whether the next upload tests if Amazon answers again. Raises TransientError if none may be tried."""


class UploadGate:
    """Shut while a circuit breaker is open or the retry budget is used up."""

    def __init__(self, circuit_breakers: CircuitBreakers, budget: RetryBudget) -> None:
        self._circuit_breakers = circuit_breakers
        self._budget = budget

    def check(self, target: Target) -> bool:
        """Return whether the next upload is a test. Raises CircuitOpen or RetryBudgetUsedUp if none may be tried."""
        self._budget.check(target.audience_id)  # costs nothing; the other check may read the table
        return self._circuit_breakers.check(target)
