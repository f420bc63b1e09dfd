"""Prints the help of a command: one column of names, one of what they mean, and examples, readable at 80 columns.

Typer's own help spends half of that width on the types of Python, such as `<bool>`, which no setting takes out.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from audience_sync_cli.command_line.usage import label, usage
from audience_sync_cli.errors import EXIT_CODES

MAX_WIDTH = 100  # columns; longer lines are hard to read
EXAMPLE_WIDTH = 80  # columns, on every terminal, because what is copied must not be broken


def rendered(command: Any, context: Any, examples: Iterable[str]) -> str:
    """Return the help of a command or group as text, in colors if standard output is a terminal."""
    console = Console(highlight=False)
    console.width = min(console.width, MAX_WIDTH)
    with console.capture() as captured:
        console.print(Group(*_parts(command, context, examples)))
    text: str = captured.get()
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _parts(command: Any, context: Any, examples: Iterable[str]) -> Iterator[RenderableType]:
    yield Text(usage(context), style="bold")
    for paragraph in paragraphs(command.help or ""):
        yield Text("")
        yield Text(paragraph)
    for panel, inner in _by_panel(_inner_commands(command, context), "Commands"):
        yield from _section(panel, [(each.name, _first(each.help)) for each in inner])
    shown = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    yield from _section("Arguments", [(label(each), each.help or "") for each in arguments])
    options = [each for each in shown if each.param_type_name == "option"]
    for panel, inner in _by_panel(options, "Options"):
        yield from _section(panel, [(_names(each), _meaning(each)) for each in inner])
    listed = list(examples)
    if listed:
        yield from (Text(""), Text("Examples", style="bold"))
        yield from (Text(_folded(f"  {each}")) for each in listed)
    if context.parent is None:
        yield from _section("Exit codes", [(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def paragraphs(help_text: str) -> list[str]:
    """Return the paragraphs of a help text, each on one line, except that lists keep their lines."""
    found = inspect.cleandoc(help_text).strip().split("\n\n")
    return [re.sub(r"\n(?!- )", " ", each) for each in found if each]


def _folded(example: str) -> str:
    """Break an example that is too long in front of an option, as the shell reads it."""
    lines = [""]
    for part in re.split(r" (?=--)", example):
        if lines[-1] and len(f"{lines[-1]} {part} \\") > EXAMPLE_WIDTH:
            lines[-1] += " \\"
            lines.append(f"      {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return "\n".join(lines)


def _inner_commands(command: Any, context: Any) -> list[Any]:
    if not hasattr(command, "commands"):
        return []
    return [each for name in command.list_commands(context) if not (each := command.get_command(context, name)).hidden]


def _by_panel(parts: Iterable[Any], usual: str) -> list[tuple[str, list[Any]]]:
    """Group options or commands by the panel that the help shows them in; the usual one comes first."""
    found: dict[str, list[Any]] = {usual: []}
    for each in parts:
        found.setdefault(getattr(each, "rich_help_panel", None) or usual, []).append(each)
    return [(panel, inner) for panel, inner in found.items() if inner]


def _section(title: str, rows: list[tuple[str, str]]) -> Iterator[RenderableType]:
    if not rows:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, meaning in rows:
        table.add_row(Text(name), Text(meaning))
    yield from (Text(""), Text(title, style="bold"), Padding(table, (0, 0, 0, 2)))


def _first(help_text: str | None) -> str:
    return next(iter(paragraphs(help_text or "")), "")


def _names(option: Any) -> str:
    names = ", ".join(sorted([*option.opts, *option.secondary_opts], key=lambda name: not name.startswith("--")))
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: Any) -> str:
    """Return what stands for the value of an option: DAYS for `--ttl-days`."""
    if option.metavar:
        return str(option.metavar)
    kind = option.type_descriptor
    if kind.choices:
        return "|".join(str(each) for each in kind.choices)
    return "FILE" if kind.is_path else str(option.name).rpartition("_")[2].upper()


def _meaning(option: Any) -> str:
    notes = []
    match option.min, option.max:
        case ((None | 0), None):  # a negative one would not be tried
            pass
        case least, None:
            notes.append(f"[at least {least}]")
        case least, most:
            notes.append(f"[{least} to {most}]")
    if isinstance(option.show_default, str):
        notes.append(f"[default: {option.show_default}]")
    elif option.show_default and option.default and not option.is_flag:
        notes.append(f"[default: {option.default}]")
    if option.envvar:
        notes.append(f"[environment: {option.envvar}]")
    return " ".join([option.help or "", *notes]).strip()
