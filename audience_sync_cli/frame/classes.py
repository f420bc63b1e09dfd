"""Typer's commands and groups, which here also accept the global options and report wrong usage as JSON."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from audience_sync_cli.frame.global_options import shared, wants_json
from audience_sync_cli.frame.usage import wrong_usage


class _Common:
    """Accepts the global options beside its own; lays out the help in panels, at 80 columns, without Python's types."""

    left_out: Sequence[str] = ()  # global options that the help does not show

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, the required ones first."""
        everywhere = shared(ctx)
        own = [each for each in super().get_params(ctx) if each not in everywhere]  # type: ignore[misc]
        for each in own:
            each.metavar = each.metavar or _metavar(each)
        return [*sorted(own, key=lambda each: not each.required), *everywhere]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line."""
        arguments = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        words = [each.metavar if each.required else f"[{each.metavar}]" for each in arguments]
        return [*words, *(["COMMAND"] if hasattr(self, "commands") else []), "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, arguments and options, each in its panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for each in getattr(self, "commands", {}).values():
            first = (each.help or "").split("\n\n")[0]
            panels.setdefault(each.rich_help_panel or "Commands", []).append((each.name, first))
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if each.param_type_name == "argument":
                panels.setdefault("Arguments", []).append((each.metavar, each.help or ""))
            elif record and each.name not in self.left_out:
                panels.setdefault(each.rich_help_panel or "Options", []).append(record)
        for title, rows in panels.items():
            with formatter.section(typer.style(title, bold=True)):
                formatter.write_dl([(typer.style(name, fg="cyan"), meaning) for name, meaning in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the epilog with its line breaks: it has examples, which are copied."""
        formatter.write(f"\n{self.epilog}\n" if self.epilog else "")  # type: ignore[attr-defined]


class Command(_Common, TyperCommand):
    """A command that asks nothing, so that its help leaves out `--yes`."""

    left_out = ("yes",)


class AskingCommand(_Common, TyperCommand):
    """A command that asks for confirmation."""


class Group(_Common, TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options. Typer would load pydantic to read a missing default, as `--help` has."""
        options = super().get_params(ctx)
        for each in options:
            each.default = each.default or (None if each.multiple else False)
        return options

    def main(self, args: Sequence[str] | None = None, *others: Any, **extra: Any) -> Any:
        """Run, and report wrong usage as all other errors are reported, also as JSON."""
        try:
            exit_code = super().main(args, *others, **extra | {"standalone_mode": False})
        except typer.TyperException as error:
            from audience_sync_cli.frame.screen import Screen  # noqa: PLC0415 - loads Rich

            as_json = wants_json(sys.argv[1:] if args is None else args)
            context = getattr(error, "ctx", None)
            if context is not None and error.message == context.get_help():  # a group without arguments
                if not as_json:
                    typer.echo(error.message, err=True, color=context.color)
                    sys.exit(2)
                error.message = "Missing command."
            failure = wrong_usage(error)
            Screen(as_json=as_json).fail(failure)
            sys.exit(failure.exit_code)
        sys.exit(exit_code or 0)


def _metavar(parameter: Any) -> str:
    """Return the word for a value: KIND for an argument, DAYS for `--ttl-days`."""
    kind, name = parameter.type_descriptor, str(parameter.name)
    if parameter.param_type_name == "argument":
        return name.upper()
    if kind.choices:
        return "|".join(str(each) for each in kind.choices)
    return "FILE" if kind.is_path else name.rpartition("_")[2].upper()
