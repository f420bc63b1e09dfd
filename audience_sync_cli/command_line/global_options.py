"""The options that every command takes, in front of its name or behind it: which stack, JSON, no questions."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer

from audience_sync_cli.errors import WrongUsage

DEFAULT_STACK = "audience-sync"  # the stack name in samconfig.toml
PANEL = "Global options"
TEXTS = ("stack", "local")
NAMES = (*TEXTS, "as_json", "yes")


def parameters(*, shows_yes: bool = True) -> list[inspect.Parameter]:
    """Return the options as parameters of a function. `--yes` is always taken, and shown where something is asked."""
    options: list[tuple[str, Any, Any, Any]] = [
        # A list each: of two different values, the second would otherwise take the place of the first without a word.
        (
            "stack",
            list[str],
            None,
            typer.Option(
                "--stack",
                help="Name of the deployed stack, in the account and region of your AWS credentials.",
                envvar="AUDIENCE_SYNC_STACK",
                metavar="NAME",
                show_default=DEFAULT_STACK,
                rich_help_panel=PANEL,
            ),
        ),
        (
            "local",
            list[str],
            None,
            typer.Option(
                "--local",
                help="Use a local stack instead: its `api` address, such as http://127.0.0.1:8080.",
                envvar="AUDIENCE_SYNC_LOCAL",
                metavar="URL",
                rich_help_panel=PANEL,
            ),
        ),
        ("as_json", bool, False, typer.Option("--json", help="Print one JSON document.", rich_help_panel=PANEL)),
        (
            "yes",
            bool,
            False,
            typer.Option(
                "--yes", "-y", help="Do not ask for confirmation.", rich_help_panel=PANEL, hidden=not shows_yes
            ),
        ),
    ]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
        for name, kind, default, option in options
    ]


def with_parameters(function: Callable[..., None], found: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """Give a function the parameters that Typer makes options of."""
    function.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    function.__annotations__ = {}
    return function


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the operator asks for JSON, also where the arguments are otherwise wrong."""
    before_names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before_names


def is_given(context: typer.Context, flag: str) -> bool:
    """Return whether `as_json` or `yes` is given anywhere."""
    return any(each.params.get(flag) for each in _levels(context))


def named_stack(context: typer.Context, note: Callable[[str], None]) -> tuple[str, str | None]:
    """Return the stack's name and, where a local one is meant, its address. The command line overrides the environment.

    Raises:
        WrongUsage: two stacks are named.
    """
    stack, local = _typed(context, "stack"), _typed(context, "local")
    if stack and local:
        raise WrongUsage("--stack names a deployed stack, --local one on this machine.", "Give one of them.")
    usual_stack, usual_local = _last(context.params["stack"]), _last(context.params["local"])
    if stack and usual_local:
        note("AUDIENCE_SYNC_LOCAL is ignored, because --stack is given.")
    name = stack or usual_stack or DEFAULT_STACK
    return name, local or (None if stack else usual_local)


def _typed(context: typer.Context, option: str) -> str | None:
    """Return the value that the command line gives an option. Raises WrongUsage where it is empty, or not the only one.

    An empty one must not mean the default: it comes from scripts in which a variable is not set.
    """
    values: set[str] = set()
    for each in _levels(context):
        source = each.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            values.update(each.params[option])
    if any(not each.strip() for each in values):
        raise WrongUsage(f"--{option} is empty.", "Give a value, or leave the option out.")
    if len(values) > 1:
        raise WrongUsage(f"--{option} is given more than once, with different values.", "Give it once.")
    return next(iter(values), None)


def _last(values: Sequence[str] | None) -> str | None:
    return values[-1] if values else None


def _levels(context: typer.Context) -> Iterator[typer.Context]:
    """Yield the context of the command, that of its group, and that of `audience-sync`."""
    level: Any = context
    while level is not None:
        yield level
        level = level.parent
