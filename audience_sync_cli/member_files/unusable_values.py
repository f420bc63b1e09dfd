"""Counts the values of rows that normalization drops: not usable as identifiers, by field and reason."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from audience_sync.amazon_ads.unusable import Unusable


class UnusableValue(NamedTuple):
    """A value of a row that is not used as an identifier; holds no part of it."""

    row: int
    field: str
    reason: Unusable


type UnusableCounts = Mapping[tuple[str, Unusable], int]  # values, by field and reason


def unusable_text(counts: UnusableCounts) -> str:
    """Format counts, most first: 4 phone (3 too short, 1 in scientific notation), 2 email (not an e-mail address)."""
    by_field: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (field, reason), number in counts.items():
        by_field[field][reason.means] += number
    ordered = sorted(by_field.items(), key=lambda each: -each[1].total())
    return ", ".join(f"{reasons.total():,} {field} ({_listed(reasons)})" for field, reasons in ordered)


def unusable_json(counts: UnusableCounts) -> dict[str, dict[str, int]]:
    """Return the counts for scripts: reason to number, by field."""
    found: dict[str, dict[str, int]] = {}
    for (field, reason), number in counts.items():
        found.setdefault(field, {})[reason] = number
    return found


def unusable_table(counts: UnusableCounts) -> tuple[tuple[str, ...], list[tuple[str, int, str]]]:
    """Return columns and rows of a table with the remedies, most first."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    rows = [(f"{field}: {reason.means}", number, reason.remedy) for (field, reason), number in ordered]
    return ("not usable", "values", "remedy"), rows


def _listed(reasons: Counter[str]) -> str:
    if len(reasons) == 1:
        return next(iter(reasons))
    return ", ".join(f"{number:,} {means}" for means, number in reasons.most_common())
