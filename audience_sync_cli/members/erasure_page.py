"""The report of an erasure as an HTML page to print: nothing outside it is loaded, and it runs no script."""

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from audience_sync_cli.frame.terminal_text import on_one_line
from audience_sync_cli.members.erasure_sentences import Part

HTML = Annotated[
    Path | None,
    typer.Option("--html", help="Also write the report to this new file, to print on A4.", metavar="FILE"),
]
_STYLE = Path(__file__).with_name("erasure_report.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(parts: Iterable[Part]) -> str:
    """Return the page; the heading of the first part is its title."""
    first, *others = parts
    title = _text(first.heading)
    body = "".join(f"<section><h2>{_text(each.heading)}</h2>{''.join(_inside(each))}</section>\n" for each in others)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{title}</title>\n'
        f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n<h1>{title}</h1>\n{''.join(_inside(first))}\n{body}</html>\n"
    )


def _inside(part: Part) -> Iterator[str]:
    yield from (f"<p>{_text(each)}</p>" for each in part.sentences)
    if part.facts:
        facts = "".join(f"<tr><th>{_text(name)}<td>{_text(value)}" for name, value in part.facts)
        yield f'<table class="facts">{facts}</table>'
    if part.table:
        head, *rows = ("".join(f"<td>{_text(cell)}" for cell in row) for row in part.table)
        yield f'<table class="list"><thead><tr>{head.replace("<td>", "<th>")}<tbody>{"<tr>".join(["", *rows])}</table>'


def _text(value: str) -> str:
    return escape(on_one_line(value))
