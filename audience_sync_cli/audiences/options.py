"""Options of an audience that several commands take, and checks of two of them while they can still be corrected."""

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.session import Session

DSP = Annotated[bool | None, typer.Option("--dsp/--no-dsp", help="With a connection: send members to Amazon DSP, too.")]
RENEW = Annotated[
    bool | None, typer.Option("--renew/--no-renew", help="Re-send active members before their TTL expires.")
]
_KEY = "The key is in the settings of the audience in Segment."


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an audience: an advertiser or a connection."""

    advertiser: Annotated[str, typer.Option(help="DSP advertiser id, for Amazon DSP.", metavar="ID")] = ""
    connection: Annotated[str, typer.Option(help="Connection id, for Amazon Marketing Cloud.", metavar="ID")] = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of an audience that are stored here, not at Amazon."""

    dsp: DSP = None
    renew: RENEW = None


def note_country(session: Session, text: str) -> None:
    """Say before anything is created that UK becomes GB: Amazon never changes a country."""
    if text.strip().upper() == "UK":
        session.screen.note("UK is taken as GB, the code of the United Kingdom.", style="yellow")


def country_code(text: str) -> str | None:
    """Return the code as Amazon writes it, None where the option is left out. Raises WrongUsage."""
    code = accepted_country(text) if text else None
    if text and code is None:
        raise WrongUsage("Amazon does not accept that --country.", "Give two letters, such as US or DE.")
    if code in NO_COUNTRY:
        raise WrongUsage("That --country is none.", "Give the country where most members are, such as US or DE.")
    return code


def check_key(session: Session, key: str) -> None:
    """Refuse a computation key that no event can carry, and warn about one that is unusual. Raises WrongUsage."""
    if not key or re.fullmatch(r"[a-z0-9_]+", key):
        return
    usual = "Segment makes keys of lowercase letters, digits and _, such as lapsed_premium_buyers"
    if re.search(r"\s", key):
        likely = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
        raise WrongUsage(f"No event carries such a --key: {usual}.", f"Did you mean {likely}? {_KEY}")
    session.screen.note(f"An unusual --key: {usual}. {_KEY}", style="yellow")
