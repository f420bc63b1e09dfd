"""History of audience sizes at the sandbox: Amazon itself has none."""

import asyncio
from collections import defaultdict

from audience_sync_cli.dashboard.facts import AudienceFacts, Point
from local.amazon.audiences import Audience
from local.amazon.data_manager.datasets import Dataset
from local.amazon.sandbox import Sandbox

INTERVAL = 2.0  # seconds between two readings
KEPT = 600  # points of an audience; beyond, every other one is dropped, so that the plot covers the whole run


class SizeHistory:
    """Sizes and match rates of all audiences and datasets since the start."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._points: defaultdict[str, list[tuple[float, int, int]]] = defaultdict(list)  # time, size, matched

    async def run(self) -> None:
        """Read the sizes until cancelled."""
        while True:
            self.note(self._sandbox.now())
            await asyncio.sleep(INTERVAL)

    def note(self, now: float) -> None:
        """Record the present sizes. Only changes become points."""
        for audience_id, audience in self._held().items():
            sizes = audience.sizes(now)
            # -1, not known, before the first upload: it is empty
            size, matched = max(0, sizes["receivedRecordSize"]), max(0, sizes["idResolutionCount"])
            points = self._points[audience_id]
            if len(points) > 1 and all(each[1:] == (size, matched) for each in points[-2:]):
                points.pop()  # the middle of a flat part
            points.append((now, size, matched))
            if len(points) > KEPT:
                del points[1:-1:2]

    def audiences(self, now: float) -> tuple[AudienceFacts, ...]:
        """Return all audiences with their history, the largest first."""
        self.note(now)
        found = [self._audience(audience_id, audience.name) for audience_id, audience in self._held().items()]
        return tuple(sorted(found, key=lambda each: (-(each.size or 0), each.name)))

    def _held(self) -> dict[str, Audience | Dataset]:
        audiences = {str(audience_id): audience for audience_id, audience in self._sandbox.audiences.items()}
        return audiences | {dataset.dataset_id: dataset for dataset in self._sandbox.data_manager.datasets}

    def _audience(self, audience_id: str, name: str) -> AudienceFacts:
        points = self._points[audience_id]
        at, size, _ = points[-1]
        rates: tuple[Point, ...] = tuple((then, 100 * matched / held) for then, held, matched in points if held)
        return AudienceFacts(
            audience_id=audience_id,
            name=name,
            size=size,
            match_rate=rates[-1][1] if rates and size else None,
            at=at,
            sizes=tuple((then, held) for then, held, _ in points),
            match_rates=rates,
        )
