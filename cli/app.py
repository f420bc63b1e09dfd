"""`audience-sync`: the operator's command."""

import typer

from cli import audiences, checks, connect, connections, creation, keys, mappings, member, parked, status

_HELP = """Keeps Amazon Ads audiences in step with Segment: set up, look into, mend.

Works on the stack `audience-sync` with your AWS credentials; --stack names another, --local a stack on this machine.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or not connected, 4 not confirmed, 5 try again later.
"""
_SETUP, _ROUTINE = "Set up", "Look into and mend"


def build() -> typer.Typer:
    """Put the command together."""
    app = _group(_HELP)
    connect.register(app, panel=_SETUP)
    checks.register(app, panel=_SETUP)
    setup = {
        "keys": (keys.register, "What Segment shows to be let in: event key, audience key, signing secret."),
        "audiences": (_register_audiences, "Which audiences events may reach, and how Amazon sees them."),
        "connections": (connections.register, "AMC instances and DSP advertisers, as targets of audiences."),
        "terms": (connections.register_terms, "The terms of Amazon Marketing Cloud."),
        "mappings": (mappings.register, "From Segment's event to Amazon's record."),
    }
    routine = {
        "member": (member.register, "One person: what is known of them, and forgetting them."),
        "parked": (parked.register, "Changes that could not be delivered, each with its reason."),
    }
    status.register(app, panel=_ROUTINE)
    for panel, groups in ((_SETUP, setup), (_ROUTINE, routine)):
        for name, (register, about) in groups.items():
            group = _group(about)
            register(group)
            app.add_typer(group, name=name, rich_help_panel=panel)
    return app


def _register_audiences(app: typer.Typer) -> None:
    audiences.register(app)
    creation.register(app)


def _group(about: str) -> typer.Typer:
    # Typer's own tracebacks would show the variables of every frame, secrets among them.
    return typer.Typer(
        help=about,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = build()


def main() -> None:
    """Run the command."""
    app(prog_name="audience-sync")
