"""Publishes the sizes of audiences at the sandbox as they change. The functions do so about once a day."""

import asyncio

from audience_sync.runtime.metric_names import AUDIENCE_MATCH_RATE, AUDIENCE_RECEIVED, NAMESPACE
from local.amazon.sandbox import Sandbox
from local.metrics import Metrics
from local.template import STACK

INTERVAL = 1.0  # seconds between two readings

type _Sizes = dict[str, int]


class Sizes:
    """Reads the sizes, and publishes each twice: a function may publish an earlier one in the same second."""

    def __init__(self, sandbox: Sandbox, metrics: Metrics) -> None:
        self._sandbox = sandbox
        self._metrics = metrics
        self._newest: dict[str, tuple[_Sizes, ...]] = {}  # at most two of each audience

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self.publish(self._sandbox.now())
            await asyncio.sleep(INTERVAL)

    def publish(self, now: float) -> None:
        """Publish what has changed. `now` is in epoch seconds."""
        sizes = {str(each.audience_id): each.sizes(now) for each in self._sandbox.audiences.values()}
        sizes |= {each.dataset_id: each.sizes(now) for each, _ in self._sandbox.data_manager.datasets()}
        for audience_id, found in sizes.items():
            before = self._newest.get(audience_id, ())
            self._newest[audience_id] = (*before[-1:], found)
            if before == (found, found):
                continue
            about = {"service": STACK, "audience": audience_id}
            received = max(0, found["receivedRecordSize"])  # -1 before the first upload: it is empty
            self._metrics.add(NAMESPACE, AUDIENCE_RECEIVED, about, now, received)
            if received:
                rate = 100 * found["idResolutionCount"] / received
                self._metrics.add(NAMESPACE, AUDIENCE_MATCH_RATE, about, now, rate)
