"""Lays out tables so that no id is broken: an id in two halves cannot be copied."""

import re
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 3  # columns between two columns of a table
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)")  # of one piece, too


def laid_out(names: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> list[RenderableType]:
    """Return a table that breaks lines only between words or, if that needs more columns than `width`, lists of facts.

    Args:
        names: of the columns.
        rows: a text for each column.
        width: of the screen, in columns.
    """
    if not rows or _least(names, rows) <= width:
        return [_table(names, rows, width)]
    parts: list[RenderableType] = []
    for row in rows:
        parts += [*([Text("")] if parts else []), facts(dict(zip(names, row, strict=True)))]
    return parts


def facts(values: dict[str, Text]) -> Table:
    """Return names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), value)
    return table


def _table(names: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name, column in zip(names, _widths(names, rows, width), strict=True):
        table.add_column(Text(name), width=column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _widths(names: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Return the widths of the columns: those of their texts, or where that is too much, less for the widest ones."""
    widths = [max(_lines(each)) for each in _columns(names, rows)]
    least = [max(_words(each)) for each in _columns(names, rows)]
    while sum(widths) + _GAP * (len(widths) - 1) > width:
        can_shrink = [index for index, column in enumerate(widths) if column > least[index]]
        if not can_shrink:
            break
        widths[max(can_shrink, key=lambda index: widths[index])] -= 1
    return widths


def _least(names: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Return how wide a table must be at least."""
    return sum(max(_words(each)) for each in _columns(names, rows)) + _GAP * (len(names) - 1)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[list[str]]:
    return [[name, *(row[index].plain for row in rows)] for index, name in enumerate(names)]


def _lines(texts: Sequence[str]) -> list[int]:
    return [cell_len(line) for text in texts for line in text.split("\n")]


def _words(texts: Sequence[str]) -> list[int]:
    return [cell_len(word) for text in texts for word in _TIME.sub(r"\1_\2", text).split() or [""]]
