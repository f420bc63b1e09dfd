"""Generates docs/cli-reference.md from the command."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from audience_sync_cli.app import PARTS, app, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli-reference.md"
HEAD = """# Commands and options

This page is made from the command's own help; [cli.md](cli.md) shows how the commands are used, and has the options
that every command takes.

These ask for confirmation, unless `--yes` is given: {asking}.
"""
_COMMON = ("stack", "local", "as_json", "yes", "help")
_ROOT: Any = typer.main.get_command(app)


def reference() -> str:
    """Return the document: every command, its arguments, its own options, and examples that add to its name."""
    asking = ", ".join(f"`{' '.join(path)}`" for path, each in commands() if "yes" not in each.left_out)
    described = (_described(" ".join(("audience-sync", *path)), each) for path, each in commands())
    return HEAD.format(asking=asking) + "".join(described)


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


def _described(path: str, command: Any) -> str:
    parameters = command.get_params(command.context_class(command, parent=_ROOT.context_class(_ROOT)))
    own = [each for each in parameters if each.name not in {*_COMMON, *command.left_out}]
    arguments = [each for each in own if each.param_type_name == "argument"]
    usage = " ".join(each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments)
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    items = "".join(f"* `{_name(each)}`: {each.help.strip()}\n" for each in own if each.help)
    typed = "".join(f"{each}\n" for each in examples(command) if each != path)
    block = typed and f"\n```sh\n{typed}```\n"
    return f"\n## `{f'{path} {usage}'.strip()}`\n\n{text}\n{items and f'\n{items}'}{block}"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return "`, `".join([*parameter.opts, *parameter.secondary_opts])
