"""`audience-sync`: the operator's command."""

import typer

from cli import audiences, checks, connect, connections, creation, keys, mappings, member, parked, restore, status

_HELP = """Keeps Amazon Ads audiences in step with Segment: set up, inspect, repair.

Uses the stack `audience-sync` and your AWS credentials; --stack names another, --local one on this machine.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or not connected, 4 not confirmed, 5 try again later.
"""
_SETUP, _OPERATE = "Set up", "Operate"


def build() -> typer.Typer:
    """Build the command with all its groups."""
    app = _group(_HELP)
    connect.register(app, panel=_SETUP)
    checks.register(app, panel=_SETUP)
    setup = {
        "keys": (keys.register, "Credentials that Segment sends: event key, audience key, signing secret."),
        "audiences": (_register_audiences, "Audiences that events may reach, and their state at Amazon."),
        "connections": (connections.register, "AMC instances and DSP advertisers that audiences are sent to."),
        "terms": (connections.register_terms, "The terms of Amazon Marketing Cloud."),
        "mappings": (mappings.register, "How a Segment event becomes an Amazon record."),
    }
    operate = {
        "member": (member.register, "Show what is known about one person, or erase them."),
        "parked": (parked.register, "Changes that could not be delivered, each with its reason."),
    }
    status.register(app, panel=_OPERATE)
    restore.register(app, panel=_OPERATE)
    for panel, groups in ((_SETUP, setup), (_OPERATE, operate)):
        for name, (register, help_text) in groups.items():
            group = _group(help_text)
            register(group)
            app.add_typer(group, name=name, rich_help_panel=panel)
    return app


def _register_audiences(app: typer.Typer) -> None:
    audiences.register(app)
    creation.register(app)


def _group(help_text: str) -> typer.Typer:
    # Typer's own tracebacks would show the variables of every frame, secrets among them.
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = build()


def main() -> None:
    """Run the command."""
    app(prog_name="audience-sync")
