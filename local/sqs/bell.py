"""Waiting for messages without asking again and again."""

import asyncio


class Bell:
    """Wakes everyone who waits. Belongs to one event loop: ring it from that loop's thread only."""

    def __init__(self) -> None:
        self._sleepers: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake all who wait now; nobody who comes later."""
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return when the bell rings, or after `seconds`."""
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await asyncio.wait([sleeper], timeout=seconds)
        finally:
            self._sleepers.discard(sleeper)
            sleeper.cancel()
