"""Finds the audience that the operator means."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from shlex import quote
from typing import Annotated

import typer

from audience_sync.members.membership import Audience, after_moves
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
    """Return the other audiences with the computation key of an audience."""
    key, own = audience.computation_key, audience.audience_id
    return [each for each in listed if key and each.computation_key == key and each.audience_id != own]


def find(session: Session, name: str, *, with_unlinked: bool = False) -> Audience:
    """Return the listed audience by Amazon's id, computation key or external id. Raises NotThere, WrongUsage.

    A key that several audiences share means the main one, linked without `--also`. Unlinked audiences are found by
    Amazon's id only. Whoever has the audience key chooses keys and external ids, but not Amazon's ids: an id is never
    ambiguous, and a name that is the key of one audience and the external id of another is refused.
    """
    contents = session.audiences.contents()
    listed: list[Audience] = [*contents.audiences, *(contents.unlinked if with_unlinked else ())]
    found = [each for each in listed if each.audience_id == name]
    if not found:
        named = [each for each in listed if name in (each.computation_key, each.external_audience_id)]
        found = [each for each in named if not (each.also and each.computation_key == name)] or named
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(each.audience_id for each in found))
        raise WrongUsage(f"Several audiences have that key or external id: {ids}.", "Use one of these ids.")
    stored = {each.audience_id: each for each in (*contents.audiences, *contents.unlinked)}
    if name in stored:
        replacement = after_moves(stored[name], stored.get)
        raise NotThere(
            f"{name} was {'moved and ended' if replacement else 'taken off the list'} "
            f"at {moment(stored[name].unlinked_at)}.",
            f"Use {replacement.audience_id} ({replacement.name}) instead."
            if replacement
            else f"{_LIST} --unlinked` shows it.",
        )
    raise NotThere(
        f"No audience {shown(name)} is listed here.", f"{similar(name, listed)}{_LIST}` shows the listed ones."
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
