"""What happens next on a simulation's clock."""

import heapq
from collections.abc import Callable

from tests.soak.clock import SimulatedClock


class Schedule:
    """Acts by the moment at which they are due. Moves the clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._steps = 0

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Act at an epoch second; acts of one moment keep their order."""
        self._steps += 1
        heapq.heappush(self._heap, (moment, self._steps, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Act some seconds from now."""
        self.at(self._clock.now + seconds, act)

    def run_while(self, goes_on: Callable[[], bool]) -> None:
        """Run until the condition no longer holds, or nothing is due any more."""
        while self._heap and goes_on():
            moment, _, act = heapq.heappop(self._heap)
            self._clock.now = max(self._clock.now, moment)
            act()

    def run_for(self, seconds: float) -> None:
        until = self._clock.now + seconds
        self.at(until, _nothing)
        self.run_while(lambda: self._clock.now < until)


def _nothing() -> None:
    return None
