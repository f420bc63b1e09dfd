"""Lambda's context."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """As much of it as handlers use."""

    milliseconds: int = 60_000
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds
