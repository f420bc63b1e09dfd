"""Finds the audience that the operator means."""

from collections.abc import Sequence
from typing import Annotated

import typer

from audience_sync.membership import Audience
from audience_sync_cli.command_line.usage import is_similar
from audience_sync_cli.errors import NotThere, WrongUsage
from audience_sync_cli.session import Session

AUDIENCE = Annotated[str, typer.Argument(help="Amazon's audience id, the computation key, or the external id.")]


def find(session: Session, name: str, *, with_unlinked: bool = False) -> Audience:
    """Return the listed audience with Amazon's id, the computation key or the external id. Raises NotThere, WrongUsage.

    An unlinked one has Amazon's id only.
    """
    listed = session.audiences.with_unlinked() if with_unlinked else session.audiences.all()
    for field in ("audience_id", "computation_key", "external_audience_id"):
        found = [each for each in listed if getattr(each, field) == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise WrongUsage("Several audiences have that key or external id.", "Give Amazon's audience id.")
    raise NotThere(
        "That audience is not listed here.",
        f"{_suggestion(name, listed)}`audience-sync audiences list` shows the listed ones.",
    )


def the_only_audience(session: Session) -> Audience:
    """Return the audience where one is listed. Raises NotThere, WrongUsage."""
    listed = session.audiences.all()
    if not listed:
        raise NotThere(
            "No audience is listed.",
            "Link one with `audience-sync audiences link`, or create one with `audience-sync audiences create`.",
        )
    if len(listed) > 1:
        raise WrongUsage(f"{len(listed):,} audiences are listed.", "Name one with --audience.")
    return listed[0]


def _suggestion(typed: str, listed: Sequence[Audience]) -> str:
    """Return the question whether a similar audience was meant; empty where there is none, or several are."""
    found = set()
    for each in listed:
        known = {each.audience_id, each.computation_key, each.external_audience_id, each.name} - {None, ""}
        if is_similar(typed, [str(text) for text in known]):
            found.add(f"{each.computation_key or each.audience_id} ({each.name or each.audience_id})")
    return f"Did you mean {found.pop()}? " if len(found) == 1 else ""
