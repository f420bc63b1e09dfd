"""Counts the values of rows that normalization drops: not usable as identifiers, by field and reason."""

from collections.abc import Mapping
from typing import NamedTuple

from audience_sync_cli.frame.unusable import Unusable


class UnusableValue(NamedTuple):
    """A value of a row that is not used as an identifier; holds no part of it."""

    row: int
    field: str
    reason: Unusable


type UnusableCounts = Mapping[tuple[str, Unusable], int]  # values, by field and reason


def unusable_text(counts: UnusableCounts) -> str:
    """Format counts, most first: 4 phone (3 too short, 1 in scientific notation), 2 email (2 empty)."""
    by_field: dict[str, list[tuple[int, str]]] = {}
    for (field, reason), number in counts.items():
        by_field.setdefault(field, []).append((number, f"{number:,} {reason.means}"))
    fields = [(sum(number for number, _ in found), field, sorted(found)[::-1]) for field, found in by_field.items()]
    ordered = sorted(fields, key=lambda each: -each[0])
    return ", ".join(f"{total:,} {field} ({', '.join(text for _, text in found)})" for total, field, found in ordered)


def unusable_json(counts: UnusableCounts) -> dict[str, dict[str, int]]:
    """Return the counts for scripts: code of the reason to number, by field."""
    found: dict[str, dict[str, int]] = {}
    for (field, reason), number in counts.items():
        found.setdefault(field, {})[reason.code] = number
    return found
