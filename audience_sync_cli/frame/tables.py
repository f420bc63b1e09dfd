"""Lays out tables so that no id is broken: an id in two halves cannot be copied."""

import re
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_GAP = 3  # columns between two columns of a table
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)")  # stays in one piece, like a word


def laid_out(names: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> list[RenderableType]:
    """Return a table that breaks lines only between words or, if that needs more columns than `width`, lists of facts.

    Rich alone would break words: it narrows the widest columns, whatever they hold.
    """
    cells = [[name, *(row[index].plain for row in rows)] for index, name in enumerate(names)]
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in cells]
    least = [max(map(cell_len, _TIME.sub(r"\1_\2", "\n".join(column)).split()), default=0) for column in cells]
    room = width - _GAP * (len(names) - 1)
    if rows and sum(least) > room:
        lists: list[RenderableType] = []
        for row in rows:
            lists += [Text(""), facts(dict(zip(names, row, strict=True)))]
        return lists[1:]
    while sum(widths) > max(room, sum(least)):
        can_shrink = [index for index, column in enumerate(widths) if column > least[index]]
        widths[max(can_shrink, key=widths.__getitem__)] -= 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name, column in zip(names, widths, strict=True):
        table.add_column(Text(name), width=column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return [table]


def facts(values: dict[str, Text]) -> Table:
    """Return names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), value)
    return table
