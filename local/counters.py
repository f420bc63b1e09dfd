"""Counts what the functions count: reads the metrics out of their logs, as CloudWatch does."""

import json
from collections import Counter, deque

KEPT = 500  # log lines to look back on


class Counters:
    """Totals of all metrics since the start, and the latest log lines."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.lines: deque[tuple[str, str]] = deque(maxlen=KEPT)

    def tell(self, function: str, line: str) -> None:
        """Take one line that a function printed."""
        if line.startswith("{") and '"_aws"' in line and self._count(line):
            return
        self.lines.append((function, line))

    def _count(self, line: str) -> bool:
        """Add an embedded metric (EMF) to the totals. Dimension sets repeat a metric; it counts once."""
        try:
            metric = json.loads(line)
            names = {each["Name"] for set_ in metric["_aws"]["CloudWatchMetrics"] for each in set_["Metrics"]}
        except (ValueError, KeyError, TypeError):
            return False
        for name in names:
            value = metric[name]
            self.totals[name] += round(sum(value) if isinstance(value, list) else value)
        return True
