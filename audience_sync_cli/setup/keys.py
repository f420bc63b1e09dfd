"""`audience-sync keys`: the credentials that Segment sends. Two of each kind are valid, so that a rotation is safe.

Those of single sources are in source_keys.py.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from audience_sync.credentials import Keyring, StoredKey, source_entries
from audience_sync_cli.errors import NotThere
from audience_sync_cli.screen import counted, iso_time
from audience_sync_cli.session import Session, command
from audience_sync_cli.setup.expiry import expiry_json
from audience_sync_cli.setup.key_use import Unknown, described, last_use, warning

app = typer.Typer()
LENGTH = 48  # characters: A-Z, a-z and 0-9, as the template generates them; they also fit into a URL


class Kind(StrEnum):
    """The three kinds of credentials."""

    EVENT = "event"
    AUDIENCE = "audience"
    SIGNING = "signing"

    @property
    def current(self) -> str:
        """Its entry in the ingest secret."""
        return {"event": "eventKey", "audience": "audienceKey", "signing": "signingSecret"}[self.value]

    @property
    def label(self) -> str:
        """Its name in sentences."""
        return "signing secret" if self is Kind.SIGNING else f"{self.value} key"

    @property
    def previous(self) -> str:
        """The entry of the previous value."""
        return f"previous{self.current[0].upper()}{self.current[1:]}"


_KIND = Annotated[Kind, typer.Argument(help="Which one: event, audience or signing.")]
_REVEAL = Annotated[bool, typer.Option("--reveal", help="Print the value itself.")]
NEXT = {
    Kind.EVENT: "Put the new key into the mapping's header in Segment: Authorization: Bearer <key>.",
    Kind.AUDIENCE: "Put the new key into the create and get URLs in Segment: https://segment:<key>@host/v1/audiences.",
    Kind.SIGNING: "Put the new secret into the destination's Shared Secret in Segment.",
}


@command(app, "show", "keys show", "keys show event --reveal")
def show(
    session: Session,
    kind: Annotated[Kind | None, typer.Argument(help="Only this one: event, audience or signing.")] = None,
    *,
    reveal: _REVEAL = False,
) -> None:
    """Show which keys are set and whether they are strong. Prints the values only with --reveal.

    The fingerprint is the beginning of the value's SHA-256, to compare values without showing them. For a previous
    key, the last use says when it last let a request in; CloudWatch shows it a few minutes later. The key of a source
    may expire: it is valid through that day (UTC).
    """
    stored = session.secret("IngestSecret").value()
    found: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for each in [kind] if kind else list(Kind):
        current, previous = (value_json(stored.get(entry), reveal=reveal) for entry in (each.current, each.previous))
        used = last_use(session, each.previous) if stored.get(each.previous) else None
        found += [
            {"kind": each.value, "slot": "current", **current},
            {"kind": each.value, "slot": "previous", **previous, "lastUse": _use_json(used)},
        ]
        rows += [found[-2], found[-1] | {"last use": described(used) if stored.get(each.previous) else None}]
        for entry, source in source_entries(stored, each.current).items():
            of_source = StoredKey.from_json(stored[entry])
            key = {"kind": each.value, "slot": "source", "source": source}
            key |= {**value_json(of_source.value, reveal=reveal), **expiry_json(of_source, session.now())}
            found.append(key)
            rows.append(key | {"slot": source, "expires": _expires(key)})
    # A line that is too long would break a value in two.
    expires = ("expires",) if any(row.get("expires") for row in rows) else ()
    columns = ("kind", "slot", "state", "characters", "fingerprint", *expires, "value" if reveal else "last use")
    session.screen.table(columns, [[row.get(column) for column in columns] for row in rows])
    session.screen.result(found)


@command(app, "rotate", "keys rotate event", asks=True)
def rotate(session: Session, kind: _KIND, *, reveal: _REVEAL = False) -> None:
    """Generate a new random value. The current value becomes the previous one and stays valid.

    In force within a minute. Once Segment sends the new value, run `audience-sync keys retire`.
    """
    secret = session.secret("IngestSecret")
    stored = session.read_or_reset(secret)
    if is_strong(stored.get(kind.previous)):
        session.screen.confirm(f"The previous {kind.label} is still valid and would stop working now. Go on?")
    value, had_one = new_value(), bool(stored.get(kind.current))
    with session.log.line("keys rotate", key=kind.value):
        secret.write(stored | {kind.current: value, kind.previous: stored.get(kind.current) or ""})
    session.screen.say(f"New {kind.label} stored{'; the previous one stays valid' if had_one else ''}.", style="green")
    if reveal:
        session.screen.say(value)
    else:
        session.screen.say(f"To see it: `audience-sync keys show {kind} --reveal`.")
    session.screen.say(f"Next: {NEXT[kind]}{f' Then: `audience-sync keys retire {kind}`.' if had_one else ''}")
    session.screen.result({"kind": kind.value, **value_json(value, reveal=reveal)})


@command(app, "retire", "keys retire event", asks=True)
def retire(session: Session, kind: _KIND) -> None:
    """End the previous value. Requests that still use it are refused.

    Warns if it let a request in within the last three days.
    """
    secret = session.secret("IngestSecret")
    stored = session.read_or_reset(secret)
    if not stored.get(kind.previous):
        raise NotThere(f"There is no previous {kind.label}.", "There is nothing to retire.")
    found = warning(last_use(session, kind.previous), session.now())
    if found:
        session.screen.note(found, style="yellow")
    session.screen.confirm(f"Does Segment use the new {kind.label}? The previous one will be refused. Go on?")
    with session.log.line("keys retire", key=kind.value):
        secret.write(stored | {kind.previous: ""})
    session.screen.say(f"The previous {kind.label} is no longer valid.", style="green")
    session.screen.result({"kind": kind.value, "retired": True})


def _expires(key: Mapping[str, Any]) -> str | None:
    return f"{key['expiresOn']}, {counted(max(key['daysLeft'], 0), 'day')} left" if key["expiresOn"] else None


def _use_json(used: float | Unknown | None) -> str | None:
    if isinstance(used, Unknown):
        return used.value
    return None if used is None else iso_time(used * 1000)


def is_strong(value: Any) -> bool:
    """Return whether the functions would accept a value as a key."""
    return Keyring.from_json({Kind.EVENT.current: value}).event_keys.is_usable


def new_value() -> str:
    """Return a random key."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(LENGTH))


def value_json(value: Any, *, reveal: bool) -> Mapping[str, Any]:
    """Return what may be known of a value: whether it is strong, its length, its fingerprint; itself if asked for."""
    if not isinstance(value, str) or not value:
        return {"state": "empty", "characters": 0, "fingerprint": None}
    strong = is_strong(value)
    # A weak value could be guessed from its digest.
    fingerprint = hashlib.sha256(value.encode()).hexdigest()[:8] if strong else None
    state = {"state": "strong" if strong else "too weak, not accepted", "characters": len(value)}
    return state | {"fingerprint": fingerprint} | ({"value": value} if reveal else {})
