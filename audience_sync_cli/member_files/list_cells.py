"""Escapes the cells of our lists, so that a spreadsheet runs none as a formula.

Files come from others. A cell that begins with one of the characters below runs as a formula, so it is written with an
apostrophe in front, and read back without it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

REJECTS_HEAD = ("row", "reason", "remedy")  # then "field", of a value that is not used, and perhaps the row's values
DIFFERENCES_HEAD = ("externalUserId", "difference", "repaired by", "reason")  # for which a row is left out
# An apostrophe that was there already gets one more, so that reading back is exact.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def written(cells: Iterable[Any]) -> list[str]:
    """Return the cells of a row as written to a list."""
    texts = ["" if each is None else str(each) for each in cells]
    return [f"'{text}" if _FORMULA.match(text) else text for text in texts]


def read_back(cells: Iterable[str]) -> tuple[str, ...]:
    """Return the original cells of a row of a list."""
    return tuple([text[1:] if text.startswith("'") and _FORMULA.match(text) else text for text in cells])


def is_list(columns: Sequence[str]) -> bool:
    """Return whether a file with these columns is one of our lists."""
    return tuple(columns[:3]) in (REJECTS_HEAD, DIFFERENCES_HEAD[:3])
