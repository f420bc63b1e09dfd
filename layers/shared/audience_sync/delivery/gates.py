"""Asked before the worker writes anything: may uploads to an audience be tried now?"""

from typing import Protocol

from audience_sync.amazon_ads.record import Target
from audience_sync.delivery.circuit_breaker import CircuitBreakers
from audience_sync.delivery.retry_budget import RetryBudget


class Gate(Protocol):
    """Stops work that could not be sent."""

    def check(self, target: Target) -> None:
        """Return where an upload may be tried now. Raises TransientError with `retry_after` where none may."""


class UploadGate:
    """Shut while a circuit breaker is open or the retry budget is used up."""

    def __init__(self, circuit_breakers: CircuitBreakers, budget: RetryBudget) -> None:
        self._circuit_breakers = circuit_breakers
        self._budget = budget

    def check(self, target: Target) -> None:
        """Return where an upload may be tried now. Raises CircuitOpen or RetryBudgetUsedUp."""
        self._budget.check(target.audience_id)  # costs nothing, the other one may read the table
        self._circuit_breakers.check(target)
