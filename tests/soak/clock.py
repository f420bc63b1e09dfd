"""The one clock of a simulation: it moves only when the simulation moves it."""

EPOCH = 1_800_000_000.0  # seconds; the time at which every simulation begins


class SimulatedClock:
    """Time for the functions and for everything around them."""

    def __init__(self) -> None:
        self.now = EPOCH  # epoch seconds

    def time(self) -> float:
        """Replaces time.time."""
        return self.now

    def time_ns(self) -> int:
        """Replaces time.time_ns."""
        return round(self.now * 1_000_000_000)

    def monotonic(self) -> float:
        """Replaces time.monotonic."""
        return self.now - EPOCH

    def milliseconds(self) -> int:
        """The time in epoch milliseconds."""
        return round(self.now * 1000)
