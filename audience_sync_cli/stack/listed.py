"""Finds the audience that the operator means."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from shlex import quote
from typing import Annotated

import typer

from audience_sync.audiences.names import meant
from audience_sync.members.membership import Audience, after_moves
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.screen import Screen, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.usage import shown

_LIST = "`audience-sync audiences list"
_MIN_BEGINNING = 4  # characters; fewer match too many names
NAMES = "Amazon's audience id, the computation key, or the external id"


def completions(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of listed audiences that begin like this, for the shell; none if the stack cannot be asked."""
    try:
        audiences = Session.of_command(context, Screen()).audiences.all()
    except Exception:  # noqa: BLE001 - an error would appear in the middle of what is typed
        return []
    names = [(not each.also and each.computation_key) or each.audience_id for each in audiences]
    # A shell that completes a word does not quote it.
    return [each for each in names if each.startswith(incomplete) and quote(each) == each]


AUDIENCE = Annotated[str, typer.Argument(help=f"{NAMES}.", autocompletion=completions)]


def same_key(audience: Audience, listed: Iterable[Audience]) -> list[Audience]:
    """Return the other audiences that events with the computation key of an audience reach; none if it is unlinked."""
    key, own = audience.computation_key if audience.unlinked_at is None else None, audience.audience_id
    return [each for each in listed if key and each.computation_key == key and each.audience_id != own]


def find(session: Session, name: str, *, with_unlinked: bool = False) -> Audience:
    """Return the listed audience by Amazon's id, computation key or external id. Raises NotThere, WrongUsage.

    A name that means several audiences is refused, even if only one of them is listed: see audiences/names.py.
    """
    contents = session.audiences.contents()
    listed, stored = contents.audiences, [*contents.audiences, *contents.unlinked]
    found = meant(name, stored)
    if len(found) > 1 and (with_unlinked or any(each.unlinked_at is None for each in found)):
        raise _ambiguous(name, found)
    if len(found) == 1:
        (audience,) = found
        if with_unlinked or audience.unlinked_at is None:
            return audience
        raise _taken_off(audience, stored)
    raise NotThere(
        f"No audience {shown(name)} is listed here.", f"{similar(name, listed)}{_LIST}` shows the listed ones."
    )


def _ambiguous(name: str, found: Iterable[Audience]) -> WrongUsage:
    first, *others = sorted(found, key=lambda each: (each.audience_id != name, each.audience_id))
    remedy = "Use one of these ids."
    if name == first.audience_id:
        unlink = " or ".join(f"`{to_paste('audiences unlink', each.audience_id)}`" for each in others)
        link = "`audience-sync audiences link ID --key KEY`"
        remedy = f"It is the id of the first. Give the other another key ({link}), or {unlink}."
    names = [each.audience_id + ("" if each.unlinked_at is None else " (unlinked)") for each in (first, *others)]
    return WrongUsage(f"Several audiences have the name {shown(name)}: {', '.join(names)}.", remedy)


def _taken_off(audience: Audience, stored: Iterable[Audience]) -> NotThere:
    replacement = after_moves(audience, {each.audience_id: each for each in stored}.get)
    how = "moved and ended" if replacement else "taken off the list"
    instead = f"Use {replacement.audience_id} ({replacement.name}) instead." if replacement else ""
    return NotThere(
        f"{audience.audience_id} was {how} at {moment(audience.unlinked_at)}.",
        instead or f"{_LIST} --unlinked` shows it.",
    )


def the_only_audience(session: Session) -> Audience:
    """Return the audience if exactly one is listed. Raises NotThere, WrongUsage."""
    listed = session.audiences.all()
    if not listed:
        raise NotThere(
            "No audience is listed.",
            "Link one with `audience-sync audiences link`, or create one with `audience-sync audiences create`.",
        )
    if len(listed) > 1:
        raise WrongUsage(f"{len(listed):,} audiences are listed.", "Name one with --audience.")
    return listed[0]


def similar(typed: str, listed: Sequence[Audience]) -> str:
    """Return a suggestion of the most similar audience; empty if there is none, or several begin like this."""
    named = {
        text.lower(): each
        for each in listed
        for text in (each.audience_id, each.computation_key, each.external_audience_id, each.name)
        if text
    }
    typed = typed.lower()
    found = [text for text in named if text.startswith(typed)] if len(typed) >= _MIN_BEGINNING else []
    if typed in named or not found:
        found = get_close_matches(typed, named, n=1, cutoff=0.8)
    several = {named[text].audience_id: named[text] for text in found}
    if len(several) != 1:
        return ""
    (meant,) = several.values()
    key = None if meant.also else meant.computation_key
    return f"Did you mean {key or meant.audience_id} ({meant.name or meant.audience_id})? "


def note_others_of_key(session: Session, audience: Audience, typed: str) -> None:
    """If the operator has typed a computation key, note the other audiences that share it."""
    if typed != audience.computation_key:
        return
    if others := same_key(audience, session.audiences.all()):
        names = ", ".join(f"{each.name or 'without a name'} ({each.audience_id})" for each in others)
        session.screen.note(f"For {audience.name or audience.audience_id} only; events of the key also reach {names}.")
