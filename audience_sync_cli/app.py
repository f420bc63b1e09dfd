"""`audience-sync`: the operator's command. It knows name and help of every part, and imports the one that is used."""

import os
from importlib import import_module
from typing import Any, NamedTuple

import typer

from audience_sync_cli.frame.classes import Group
from audience_sync_cli.frame.errors import EXIT_CODES
from audience_sync_cli.frame.global_options import declare

_HELP = """Keeps Amazon Ads audiences in step with Segment: set up, inspect, repair.

Uses the stack `audience-sync` and your AWS credentials; --stack names another, --local one on this machine.
The global options may stand in front of the command or behind it.
"""
_SETUP, _OPERATE = "Set up", "Operate"


class Part(NamedTuple):
    """A command, or a group of commands."""

    panel: str  # under which the help lists it
    modules: str  # by name, each with an `app` that has its commands
    help: str  # of a command, the first paragraph of its own help


PARTS = {
    "connect": Part(
        _SETUP,
        "setup.connect",
        "Connect Amazon Ads: log in, allow access, and store the authorization in the stack's secret.",
    ),
    "test": Part(
        _SETUP,
        "checks.check_all",
        "Check that everything is connected: secrets, token, Amazon, tables, queues, functions, gateway.",
    ),
    "keys": Part(
        _SETUP,
        "setup.keys",
        "Credentials that Segment sends: event key, audience key, signing secret.",
    ),
    "audiences": Part(
        _SETUP,
        "audiences.list_and_show audiences.linking audiences.creation audiences.shares moves.moving moves.ending",
        "Audiences that events may reach, and their state at Amazon.",
    ),
    "connections": Part(_SETUP, "setup.connections", "AMC instances and DSP advertisers that audiences are sent to."),
    "terms": Part(_SETUP, "setup.terms", "The terms of Amazon Marketing Cloud and of Ads Data Manager."),
    "mappings": Part(
        _SETUP,
        "mappings.show_and_check mappings.trial mappings.versions",
        "How a Segment event becomes an Amazon record.",
    ),
    "status": Part(
        _OPERATE,
        "checks.status",
        "Show queue depths, counts, and whether they add up: accepted = delivered + superseded + parked + waiting.",
    ),
    "diagnose": Part(
        _OPERATE,
        "checks.diagnose",
        "Find out why an audience is empty or small, from Segment's events to the size at Amazon.",
    ),
    "dashboard": Part(
        _OPERATE,
        "dashboard.command",
        "Serve a page with flow, counts, audiences, rejections, dead letters and alarms, on this machine only.",
    ),
    "send": Part(_OPERATE, "watch.send", "Send an event to the stack as Segment does, and print the answer."),
    "tail": Part(
        _OPERATE,
        "watch.tail",
        "Print accepted, rejected, uploaded and parked changes as they happen. Ctrl-C ends it.",
    ),
    "rejections": Part(
        _OPERATE,
        "watch.rejections",
        "Show rejected events by reason, each with its remedy. Segment does not send them again.",
    ),
    "pause": Part(
        _OPERATE,
        "parked.pause",
        "Pause delivery to Amazon. The API keeps accepting events, and changes wait, for seven days at most.",
    ),
    "resume": Part(
        _OPERATE,
        "parked.pause",
        "Resume delivery after `pause`, and wait until the worker's event source is enabled.",
    ),
    "operator-log": Part(
        _OPERATE,
        "watch.operator_log",
        "Show who has changed what with this command, the newest first. Kept for 400 days.",
    ),
    "import": Part(
        _OPERATE,
        "member_files.import_members",
        "Add the members of a file to an audience, as if Segment had sent them. Safe to repeat.",
    ),
    "compare": Part(
        _OPERATE,
        "member_files.compare",
        "Compare the members in a file with those in an audience, as stored in the membership table, and repair it.",
    ),
    "member": Part(
        _OPERATE,
        "members.find members.member members.erasing members.proof",
        "Find a person by e-mail address or phone number, show what is stored, erase it, and prove that.",
    ),
    "parked": Part(_OPERATE, "parked.parked_commands", "Changes that could not be delivered, each with its reason."),
    "restore-members": Part(
        _OPERATE,
        "members.restore_members",
        "Copy the members of an older table into the stack's membership table. Safe to repeat.",
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
    app = _typer(PARTS[name].help, name=name)
    for module in PARTS[name].modules.split():
        app.add_typer(import_module(f"audience_sync_cli.{module}").app)
    group = typer.main.get_group(app)
    return group.commands.get(name, group)  # a command is registered under the name of its part


def build() -> typer.Typer:
    """Build the command."""
    exit_codes = "".join(f"\n  {code:<3}  {meaning}" for code, meaning in EXIT_CODES.items())
    app = _typer(_HELP, cls=_LoadedOnUse, epilog=f"Exit codes:{exit_codes}")
    app.callback()(declare)
    for name, part in PARTS.items():
        app.command(name, help=part.help, rich_help_panel=part.panel)(_listed)
    return app


def _typer(help_text: str, *, cls: type[Group] = Group, **more: Any) -> typer.Typer:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    # Typer's own tracebacks would show the variables of every frame, secrets among them.
    return typer.Typer(
        cls=cls,
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # Rich takes four times as long to load as Typer
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,  # columns; longer lines are hard to read
            "color": False if plain else None,  # None: on a terminal
        },
        **more,
    )


def _listed() -> None:
    """Stand for a part in the help; `load` gives what is run."""


app = build()


def main() -> None:
    """Run the command."""
    app(prog_name="audience-sync")
