"""The one clock of a simulation: it moves only when the simulation moves it. Each environment may read it wrongly."""

from tests.soak.calls import current

EPOCH = 1_800_000_000.0  # seconds; the time at which every simulation begins


class SimulatedClock:
    """Time for the functions and for everything around them."""

    def __init__(self) -> None:
        self.now = EPOCH  # epoch seconds

    def time(self) -> float:
        return self.now + _offset()

    def time_ns(self) -> int:
        return round(self.time() * 1_000_000_000)

    def monotonic(self) -> float:
        """Replaces time.monotonic."""
        return self.now - EPOCH

    def milliseconds(self) -> int:
        """The time in epoch milliseconds, outside of the functions."""
        return round(self.now * 1000)


def _offset() -> float:
    invocation = current()
    return invocation.environment.clock_offset if invocation else 0.0
