"""Escapes the cells of our lists, so that a spreadsheet runs none as a formula.

Files come from others. A cell that begins with one of the characters below runs as a formula, so it is written with an
apostrophe in front, and read back without it. So is what follows a separator inside a cell: in most of Europe, Excel
separates cells at semicolons, and text that is pasted at tabs, and neither then heeds our quotation marks.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

DIFFERENCES_HEAD = ("externalUserId", "difference", "repaired by", "reason")  # for which a row is left out
# An apostrophe that was there already gets one more, so that reading back is exact.
_BEGINS = r"(?:^|(?<=[,;|\t\r\n\"]))"
_FORMULA = "'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # full-width signs also
_UNESCAPED, _ESCAPED = re.compile(f"{_BEGINS}(?={_FORMULA})"), re.compile(f"{_BEGINS}'(?={_FORMULA})")


def written(cells: Iterable[Any]) -> list[str]:
    """Return the cells of a row as written to a list."""
    return ["" if each is None else _UNESCAPED.sub("'", str(each)) for each in cells]


def read_back(cells: Iterable[str]) -> tuple[str, ...]:
    """Return the original cells of a row of a list."""
    return tuple([_ESCAPED.sub("", text) for text in cells])


def is_list(columns: Sequence[str]) -> bool:
    """Return whether a file with these columns is one of our lists of members."""
    return tuple(columns[:3]) == DIFFERENCES_HEAD[:3]
