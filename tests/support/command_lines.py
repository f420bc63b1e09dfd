"""Every command, and a parser of command lines that runs nothing: for documents and messages that name commands."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from audience_sync_cli.app import PARTS, app, load

# What stands for a value of the reader: AUDIENCE_ID, [KIND], $TABLE, mappings.json. Files in a folder are ours.
PLACEHOLDER = re.compile(r"\[?[A-Z][A-Z_]+\]?|\$.+|[\w-]+\.\w+", re.ASCII)
_GROUP: Any = typer.main.get_command(app)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return every command, with the words that call it."""
    for name in PARTS:
        part = load(name)
        for inner, each in getattr(part, "commands", {}).items():
            yield (name, inner), each
        if not hasattr(part, "commands"):
            yield (name,), part


def examples(command: Any) -> list[str]:
    """Return the examples at the end of a command's help, each on one line."""
    return [line.strip() for line in command.epilog.replace("\\\n      ", "").splitlines()[1:]]


def check_command_line(words: list[str], *, is_complete: bool = True) -> str:
    """Return the name of the command. Raise unless it has these options and arguments, with values that it takes.

    Args:
        words: behind `audience-sync`. Our own files are named from the root of the repository.
        is_complete: whether a required argument must be there; a sentence may name a command without it.
    """
    context, options, rest = _parsed(_GROUP, words)
    if not rest:
        assert not is_complete or any(options.values()), "a line to run names a command"
        return ""
    name = rest.pop(0)
    command = load(name)
    if hasattr(command, "commands"):
        if not rest and not is_complete:
            return name  # a sentence about the group
        command = command.commands[rest[0]]
        name = f"{name} {rest.pop(0)}"
    context, found, left = _parsed(command, rest, context)
    assert left == [], "the command takes fewer arguments"
    for parameter in command.params:
        value = found.get(parameter.name)
        if isinstance(value, str) and not PLACEHOLDER.fullmatch(value):
            parameter.process_value(context, value)
        if is_complete and parameter.required:
            assert isinstance(value, str), f"the command needs {parameter.name}"
    return name


def _parsed(command: Any, words: list[str], parent: Any = None) -> tuple[Any, dict[str, Any], list[str]]:
    """Return the command's context, the options and arguments found, and the words that are left."""
    context = command.context_class(command, parent=parent)
    options, rest, _ = command.make_parser(context).parse_args(list(words))
    return context, options, rest
