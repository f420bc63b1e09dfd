"""Options of an audience shared by several commands, and early checks of two of them."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.amazon_ads.destination import Api
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack import share_text

API = Annotated[
    Api, typer.Option("--api", help="Amazon's API: audiences, or data-manager for Ads Data Manager.", metavar="API")
]
DSP = Annotated[bool | None, typer.Option("--dsp/--no-dsp", help="With a connection: also send members to Amazon DSP.")]
CREATED_BY_SEGMENT = Annotated[
    bool | None,
    typer.Option("--created-by-segment/--no-created-by-segment", help="Whether Segment or others have filled it."),
]
ALSO = Annotated[
    bool | None,
    typer.Option("--also/--no-also", help="With --key: share it with another audience; events reach all that have it."),
]
RENEW = Annotated[
    bool | None, typer.Option("--renew/--no-renew", help="Re-send active members before their TTL expires.")
]
NO_TTL = "Its time to live is 0: Amazon does not keep its members."
_KEY = "The key is in the settings of the audience in Segment."


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an audience: an advertiser, a connection, or the stack's account of Ads Data Manager."""

    advertiser: Annotated[str, typer.Option(help="DSP advertiser id, for Amazon DSP.", metavar="ID")] = ""
    connection: Annotated[str, typer.Option(help="Connection id, for Amazon Marketing Cloud.", metavar="ID")] = ""
    api: API = Api.AUDIENCES


@dataclass(frozen=True, slots=True)
class NewTarget(Target):
    """The target of a new audience; of a dataset, the accounts that it is shared with."""

    share: Annotated[
        list[str] | None, typer.Option(help=f"For a dataset: {share_text.HELP} Repeat it for more.", metavar="SHARE")
    ] = None
    id_retention: Annotated[
        bool, typer.Option("--id-retention", help="For a dataset: let Amazon keep the hashes for 90 days.")
    ] = False

    def extras(self) -> dict[str, Any]:
        """Return the given options under the names of Segment's extras. Raises WrongUsage."""
        extras: dict[str, Any] = {"advertiserId": self.advertiser, "connectionId": self.connection}
        if self.api is Api.AUDIENCES:
            if self.share or self.id_retention:
                raise WrongUsage("Only datasets have --share and --id-retention.", "Add --api data-manager.")
            return extras
        shares = [share_text.share_entry(each) for each in self.share or ()]
        return extras | {"api": self.api, "shares": shares, "idRetention": self.id_retention or None}


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of an audience that are stored here, not at Amazon."""

    also: ALSO = None
    dsp: DSP = None
    renew: RENEW = None
    created_by_segment: CREATED_BY_SEGMENT = None


def note_country(session: Session, text: str) -> None:
    """Warn before creating anything that UK becomes GB: Amazon never changes a country."""
    if text.strip().upper() == "UK":
        session.screen.note("UK is read as GB, the code of the United Kingdom.", style="yellow")


def keeping(audience: str) -> str:
    """Return the command with which members of an audience stay as long as possible."""
    return to_paste("audiences update", audience, ttl_days=MAX_TTL // DAY)


def note_ttl(session: Session, audience_id: str, ttl: int | None) -> None:
    """Warn about an audience in which nobody stays, such as one that was ended and is linked again."""
    if ttl == 0:
        session.screen.note(f"{NO_TTL} `{keeping(audience_id)}` changes that.", style="yellow")


def country_code(text: str) -> str | None:
    """Return the code as Amazon writes it; None if the option is left out. Raises WrongUsage."""
    code = accepted_country(text) if text else None
    if text and code is None:
        raise WrongUsage(
            "Amazon does not accept that --country.",
            "Use a code, or its English or German name, such as 'United States'.",
        )
    if code in NO_COUNTRY:
        raise WrongUsage(
            "Amazon uses that --country code to mean no country.", "Use the country of most members, such as US or DE."
        )
    return code


def check_key(session: Session, key: str) -> None:
    """Reject a computation key that no event can have, and warn about an unusual one. Raises WrongUsage."""
    if not key or re.fullmatch(r"[a-z0-9_]+", key):
        return
    usual = "Segment's keys have lowercase letters, digits and _, such as lapsed_premium_buyers"
    if re.search(r"\s", key):
        likely = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
        raise WrongUsage(f"No event can have this --key: {usual}.", f"Did you mean {likely}? {_KEY}")
    session.screen.note(f"Unusual --key: {usual}. {_KEY}", style="yellow")
