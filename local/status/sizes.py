"""History of audience sizes at the sandbox: Amazon itself has none."""

import asyncio
from collections import defaultdict
from dataclasses import replace

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync_cli.dashboard.facts import AudienceFacts, Point, ShareFacts
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
        for audience in self._sandbox.audiences.values():
            sizes = audience.sizes(now)
            # -1, not known, before the first upload: it is empty
            self._add(str(audience.audience_id), now, sizes["receivedRecordSize"], sizes["idResolutionCount"])
        for dataset, _ in self._sandbox.data_manager.datasets():
            sizes = dataset.sizes(now)
            self._add(dataset.dataset_id, now, sizes["receivedRecordSize"], sizes["idResolutionCount"])

    def audiences(self, now: float) -> tuple[AudienceFacts, ...]:
        """Return all audiences with their history, the largest first."""
        self.note(now)
        found = [self._audience(str(each.audience_id), each.name) for each in self._sandbox.audiences.values()]
        for dataset, rules in self._sandbox.data_manager.datasets():
            read = tuple(filter(None, (Share.from_answer(each.described()) for each in rules)))
            # DSP shows the operator's name; that of the dataset may be derived from it.
            name = next((each.audience_name for each in read if each.audience_name), dataset.name)
            shares = tuple(map(ShareFacts.of, DatasetReport(dataset.dataset_id, shares=read).current_shares))
            found.append(replace(self._audience(dataset.dataset_id, name), shares=shares))
        return tuple(sorted(found, key=lambda each: (-(each.size or 0), each.name)))

    def _add(self, audience_id: str, now: float, size: int, matched: int) -> None:
        size, matched = max(0, size), max(0, matched)
        points = self._points[audience_id]
        if len(points) > 1 and all(each[1:] == (size, matched) for each in points[-2:]):
            points.pop()  # the middle of a flat part
        points.append((now, size, matched))
        if len(points) > KEPT:
            del points[1:-1:2]

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
