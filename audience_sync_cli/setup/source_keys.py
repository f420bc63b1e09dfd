"""`audience-sync keys add` and `remove`: a separate key for each source, so that a leaked one identifies its source."""

import re
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from audience_sync.access.credentials import StoredKey, expiry_date, source_entries, source_entry, utc_date
from audience_sync_cli.command_line.usage import did_you_mean, shown
from audience_sync_cli.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.session import Session, command
from audience_sync_cli.setup.keys import NEXT, KeyKind, expiry_json, new_value, value_json

app = typer.Typer()
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # it is part of log lines


class SourceKind(StrEnum):
    """Kinds of keys that a source can have. A signature would have to be tried with each secret."""

    EVENT = "event"
    AUDIENCE = "audience"


_KIND = Annotated[SourceKind, typer.Argument(help="Kind: event or audience.")]
_SOURCE = Annotated[str, typer.Argument(help="Name of the source: up to 40 lowercase letters, digits and -.")]


@command(app, "add", "keys add event emea-web", "keys add event emea-web --expires 2027-03-31")
def add(
    session: Session,
    kind: _KIND,
    source: _SOURCE,
    *,
    expires: Annotated[
        str, typer.Option(help="Last valid day, in UTC. By default it does not expire.", metavar="DATE")
    ] = "",
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the value itself.")] = False,
) -> None:
    """Generate a key for one source, such as a Segment workspace. The other keys stay valid.

    The logs show which source's key a request used, and `keys remove` ends it without affecting the others. To rotate
    it, add one under a new name, and remove the old one once Segment sends the new one. Requests with an expired key
    are rejected, and Segment does not resend them; the alarm SourceKeyExpiring goes off 14 days before.
    """
    if not _NAME.fullmatch(source):
        raise WrongUsage("SOURCE must be 1 to 40 lowercase letters, digits and -.", "For instance: emea-web.")
    expires_on = _last_day(expires, session.now())
    secret, of_kind = session.secret("IngestSecret"), KeyKind(kind.value)
    stored, entry = session.read_or_reset(secret), source_entry(of_kind.current, source)
    if stored.get(entry):
        raise OperatorError(f"{source} already has an {of_kind.label}.", "Choose another name, or remove it first.")
    key = StoredKey(new_value(), expires_on)
    with session.log.line("keys add", key=kind.value, source=source):
        secret.write(stored | {entry: key.as_json()})
    session.screen.say(f"New {of_kind.label} for {source} stored, with effect within a minute.", style="green")
    if expires_on:
        session.screen.say(f"It is valid through {expires_on} (UTC).")
    session.screen.say(key.value if reveal else f"To see it: `audience-sync keys show {kind} --reveal`.")
    session.screen.say(f"Next: {NEXT[of_kind]}")
    shown_key = {**value_json(key.value, reveal=reveal), **expiry_json(key, session.now())}
    session.screen.result({"kind": kind.value, "source": source, **shown_key})


@command(app, "remove", "keys remove event emea-web", asks=True)
def remove(session: Session, kind: _KIND, source: _SOURCE) -> None:
    """End the key of one source. Requests that still use it are rejected."""
    secret, of_kind = session.secret("IngestSecret"), KeyKind(kind.value)
    stored = session.read_or_reset(secret)
    sources = source_entries(stored, of_kind.current)
    entry = source_entry(of_kind.current, source)
    if entry not in sources:
        raise NotThere(
            f"There is no source {shown(source)} with an {of_kind.label}.",
            f"{did_you_mean(source, sources.values())}`audience-sync keys show {kind}` lists them.",
        )
    session.screen.confirm(f"Requests with the {of_kind.label} of {source} will be refused. Continue?")
    with session.log.line("keys remove", key=kind.value, source=source):
        secret.write({name: value for name, value in stored.items() if name != entry})
    session.screen.say(f"The {of_kind.label} of {source} is no longer valid.", style="green")
    session.screen.result({"kind": kind.value, "source": source, "removed": True})


def _last_day(text: str, now: float) -> date | None:
    if not text:
        return None
    try:
        day = expiry_date(text)
    except ValueError:
        raise WrongUsage("--expires is not a date.", "For instance: 2027-03-31.") from None
    if day < utc_date(now):
        raise WrongUsage("--expires is in the past.", "The key would be rejected at once.")
    return day
