"""The options that every command accepts, in front of its name or behind it: which stack, JSON, no questions."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from audience_sync_cli.frame.errors import WrongUsage

_STACK, _LOCAL = "AUDIENCE_SYNC_STACK", "AUDIENCE_SYNC_LOCAL"
_DEFAULT_STACK = "audience-sync"  # the stack name in samconfig.toml
_PANEL = "Global options"


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - takes 13 ms, and only this needs it

        typer.echo(f"audience-sync {version('audience-sync')}")
        raise typer.Exit


def declare(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    # A list each: of two different values, the second would otherwise take the place of the first without a word.
    stack: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of the deployed stack, in the account and region of your AWS credentials.",
            envvar=_STACK,
            metavar="NAME",
            show_default=_DEFAULT_STACK,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    local: Annotated[
        list[str] | None,
        typer.Option(
            help="Use a local stack instead: its `api` address, such as http://127.0.0.1:8080.",
            envvar=_LOCAL,
            metavar="URL",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_PANEL)] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.", rich_help_panel=_PANEL)
    ] = False,
) -> None:
    """Declares the options of `audience-sync` itself."""


def shared(context: Any) -> list[Any]:
    """Return the options of `audience-sync` that every group and command accepts.

    Their values are kept in `context.meta`, which a command shares with its groups. Typer is not asked to convert
    them, because it loads pydantic for that.
    """
    options = [each for each in context.find_root().command.params if each.rich_help_panel == _PANEL]
    for each in options:
        each.expose_value = False
        each.process_value = partial(_keep, each.name)
    return options


def _keep(name: str, context: typer.Context, value: Any) -> None:
    source = context.get_parameter_source(name)
    if source is not None and source.name == "COMMANDLINE":
        context.meta.setdefault(name, set()).update(value if isinstance(value, list) else [value])


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the operator asks for JSON, also if the arguments are otherwise wrong."""
    before_names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before_names


def named_stack(context: typer.Context, note: Callable[[str], None]) -> tuple[str, str | None]:
    """Return the stack's name and the address of a local one, if that is meant. Raises WrongUsage if two are named.

    Options override the environment.
    """
    stack, local = _only_value(context, "stack"), _only_value(context, "local")
    if stack and local:
        raise WrongUsage("--stack names a deployed stack, --local one on this machine.", "Give one of them.")
    usual_stack, usual_local = (os.environ.get(each, "").strip() for each in (_STACK, _LOCAL))
    if stack and usual_local:
        note(f"{_LOCAL} is ignored, because --stack is given.")
    return stack or usual_stack or _DEFAULT_STACK, local or (None if stack else usual_local or None)


def _only_value(context: typer.Context, option: str) -> str | None:
    """Return the value of an option on the command line. Raises WrongUsage if it is empty, or not the only one.

    An empty one must not mean the default: it comes from scripts in which a variable is not set.
    """
    values = context.meta.get(option, set())
    if any(not each.strip() for each in values):
        raise WrongUsage(f"--{option} is empty.", "Give a value, or leave the option out.")
    if len(values) > 1:
        raise WrongUsage(f"--{option} is given more than once, with different values.", "Give it once.")
    return next(iter(values), None)
