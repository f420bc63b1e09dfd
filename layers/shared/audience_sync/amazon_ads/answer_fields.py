"""Reads the fields of Amazon's answers, of which any may be absent or of another type. Pure."""

from collections.abc import Mapping
from typing import Any

from audience_sync.errors import OutcomeUnknown


def require_object(answer: Any) -> dict[str, Any]:
    """Return an answer that is a JSON object. Raises OutcomeUnknown for any other."""
    if not isinstance(answer, dict):
        raise OutcomeUnknown("Amazon's answer is not a JSON object")
    return answer


def object_or_empty(value: Any) -> Mapping[str, Any]:
    """Return an object, empty for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """Return a string, None for anything else."""
    return value if isinstance(value, str) else None


def number_or_none(value: Any) -> float | None:
    """Return a number of at least 0. A negative one means "not known yet"."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None


def count_or_none(value: Any) -> int | None:
    """Return a whole number of at least 0, also from a float."""
    number = number_or_none(value)
    return None if number is None or number % 1 else int(number)
