"""`audience-sync`: the operator's command. It knows name and help of every part, and imports the one that is used."""

import inspect
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from audience_sync_cli.command_line.classes import Group
from audience_sync_cli.command_line.global_options import parameters, with_parameters

_HELP = """Keeps Amazon Ads audiences in step with Segment: set up, inspect, repair.

Uses the stack `audience-sync` and your AWS credentials; --stack names another, --local one on this machine.
The global options may stand in front of the command or behind it.
"""
_SETUP, _OPERATE = "Set up", "Operate"


class Part(NamedTuple):
    """A command, or a group of commands."""

    panel: str  # under which the help lists it
    modules: str  # whose `register` defines it, by name
    help: str  # of a command, the first paragraph of its own help
    is_group: bool = True


PARTS = {
    "connect": Part(
        _SETUP,
        "setup.connect",
        "Connect Amazon Ads: log in, allow access, and store the authorization in the stack's secret.",
        is_group=False,
    ),
    "test": Part(
        _SETUP,
        "health.checks",
        "Check that everything is connected: secrets, token, Amazon, tables, queues, functions, gateway.",
        is_group=False,
    ),
    "keys": Part(
        _SETUP,
        "setup.keys setup.source_keys",
        "Credentials that Segment sends: event key, audience key, signing secret.",
    ),
    "audiences": Part(
        _SETUP,
        "audiences.command audiences.linking audiences.creation",
        "Audiences that events may reach, and their state at Amazon.",
    ),
    "connections": Part(_SETUP, "setup.connections", "AMC instances and DSP advertisers that audiences are sent to."),
    "terms": Part(_SETUP, "setup.terms", "The terms of Amazon Marketing Cloud."),
    "mappings": Part(
        _SETUP, "mappings.command mappings.trial mappings.versions", "How a Segment event becomes an Amazon record."
    ),
    "status": Part(
        _OPERATE,
        "health.status",
        "Show queue depths, counts, and whether they add up: accepted = delivered + superseded + parked + waiting.",
        is_group=False,
    ),
    "diagnose": Part(
        _OPERATE,
        "diagnosis.command",
        "Find out why an audience is empty or small, from Segment's events to the size at Amazon.",
        is_group=False,
    ),
    "dashboard": Part(
        _OPERATE,
        "dashboard.command",
        "Serve a page with flow, counts, audiences, rejections, dead letters and alarms, on this machine only.",
        is_group=False,
    ),
    "send": Part(
        _OPERATE,
        "watch.send",
        "Send an event to the stack as Segment does, and print the answer.",
        is_group=False,
    ),
    "tail": Part(
        _OPERATE,
        "watch.tail",
        "Print accepted, rejected, uploaded and parked changes as they happen. Ctrl-C ends it.",
        is_group=False,
    ),
    "rejections": Part(
        _OPERATE,
        "watch.rejections",
        "Show rejected events by reason, each with its remedy. Segment does not send them again.",
        is_group=False,
    ),
    "operator-log": Part(
        _OPERATE,
        "watch.operator_log",
        "Show who has changed what with this command, the newest first. Kept for 400 days.",
        is_group=False,
    ),
    "import": Part(
        _OPERATE,
        "member_files.import_members",
        "Add the members of a file to an audience, as if Segment had sent them. Safe to repeat.",
        is_group=False,
    ),
    "compare": Part(
        _OPERATE,
        "member_files.compare",
        "Compare the members in a file with those in an audience, as stored in the membership table, and repair it.",
        is_group=False,
    ),
    "member": Part(_OPERATE, "members.member", "Show what is known about one person, or erase them."),
    "parked": Part(_OPERATE, "parked.command", "Changes that could not be delivered, each with its reason."),
    "restore-members": Part(
        _OPERATE,
        "members.restore_members",
        "Copy the members of an older table into the stack's membership table. Safe to repeat.",
        is_group=False,
    ),
}


class _LoadedOnUse(Group):
    """Lists its parts from the table above, and imports one to run it or to complete what follows it.

    Importing all of them takes longer than everything else that `--help` and completion do.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else listed, rest


def load(name: str) -> Any:
    """Import a part, and return it with its options or commands, as Typer runs it."""
    part = PARTS[name]
    app = _typer(part.help, name=name)
    app.callback()(with_parameters(_accepted(), parameters()))
    for module in part.modules.split():
        import_module(f"audience_sync_cli.{module}").register(app)
    group = typer.main.get_group(app)
    return group if part.is_group else group.commands[name]


def build() -> typer.Typer:
    """Build the command."""
    app = _typer(_HELP, group=_LoadedOnUse)
    app.callback()(with_parameters(_accepted(), [_VERSION, *parameters()]))
    for name, part in PARTS.items():
        app.command(name, help=part.help, rich_help_panel=part.panel)(_listed)
    return app


def _typer(help_text: str, group: type[Group] = Group, name: str | None = None) -> typer.Typer:
    # Typer's own tracebacks would show the variables of every frame, secrets among them.
    return typer.Typer(
        name=name,
        cls=group,
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # command_line/help.py prints it
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - takes 13 ms, and only this needs it

        typer.echo(f"audience-sync {version('audience-sync')}")
        raise typer.Exit


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ],
)


def _accepted() -> Any:
    """Return a function for the options in front of a name. The command reads them from the contexts of its groups."""

    def accept(**_: Any) -> None:
        pass

    return accept


def _listed() -> None:
    """Stand for a part in the help; `load` gives what is run."""


app = build()


def main() -> None:
    """Run the command."""
    app(prog_name="audience-sync")
