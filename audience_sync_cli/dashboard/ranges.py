"""The page's time ranges, by their names in its address. Pure."""

from typing import NamedTuple

from audience_sync_cli.frame.times import DAY, HOUR, MINUTE


class Range(NamedTuple):
    """One time range. All fields in seconds."""

    span: int  # of bars, warnings and rejections
    period: int  # of one bar
    history: int  # of the charts of audiences

    @property
    def bars(self) -> int:
        """Number of bars."""
        return self.span // self.period


USUAL = Range(DAY, 10 * MINUTE, 14 * DAY)
RANGES = {
    "": USUAL,  # for an address without a range
    "1h": Range(HOUR, MINUTE, HOUR),
    "24h": Range(DAY, 10 * MINUTE, DAY),
    "7d": Range(7 * DAY, HOUR, 7 * DAY),
    "14d": Range(14 * DAY, 2 * HOUR, 14 * DAY),
    "30d": Range(30 * DAY, 6 * HOUR, 30 * DAY),
}
LONGEST = max(each.history for each in RANGES.values())


def asked(name: str) -> str:
    """Return the range in an address; the usual one if there is no such range."""
    return name if name in RANGES else ""
