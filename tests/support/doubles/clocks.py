"""A clock that tests move by hand."""

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Seconds, as they are set. Called, it returns them."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
