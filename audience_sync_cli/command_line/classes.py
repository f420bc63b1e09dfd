"""How commands and groups read their options and print their help: Typer's classes, with our help and our errors."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from audience_sync_cli.command_line.examples import EXAMPLES
from audience_sync_cli.command_line.global_options import TEXTS, wants_json
from audience_sync_cli.command_line.usage import no_such_command, wrong_usage
from audience_sync_cli.errors import INTERRUPTED, OperatorError


class Command(TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options and arguments."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            _add_context(error, ctx)
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_help(self, ctx))


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, so changed that Typer reads them without pydantic.

        It loads pydantic to read a text, and to read the missing default of its own options, such as `--help`.
        """
        options: list[Any] = super().get_params(ctx)
        for option in options:
            if option.name in TEXTS:
                option.process_value = lambda _, value: value
            elif option.default is None:
                option.default = False
        return options

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options in front of the command."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            _add_context(error, ctx)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is named. Raises WrongUsage."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise no_such_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_help(self, ctx))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and report what is wrong with the command line as all other errors are reported, also as JSON."""
        try:
            exit_code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (typer.TyperException, typer.Abort, OperatorError) as error:
            if not standalone_mode:
                raise
            _fail(error, as_json=wants_json(sys.argv[1:] if args is None else args))
        if standalone_mode:
            sys.exit(exit_code or 0)
        return exit_code


def _add_context(error: Any, context: Any) -> None:
    """Add to an error of Typer's in which command it arose; it leaves that out for some."""
    error.ctx = getattr(error, "ctx", None) or context


def _help(command: Any, context: Any) -> str:
    from audience_sync_cli.command_line.help import rendered  # noqa: PLC0415 - loads Rich

    words: list[str] = []
    level = context
    while level.parent is not None:
        words.insert(0, level.info_name)
        level = level.parent
    return rendered(command, context, EXAMPLES.get(" ".join(words), ()))


def _fail(error: Exception, *, as_json: bool) -> NoReturn:
    from audience_sync_cli.screen import Screen  # noqa: PLC0415 - loads Rich

    if isinstance(error, typer.Abort):  # the end of the input at a question of Typer's
        sys.exit(INTERRUPTED)
    if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
        typer.echo(str(error), err=True)  # the help
        sys.exit(error.exit_code)  # type: ignore[attr-defined]
    failure = error if isinstance(error, OperatorError) else wrong_usage(error)
    Screen(as_json=as_json).fail(failure)
    sys.exit(failure.exit_code)
