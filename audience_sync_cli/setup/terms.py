"""`audience-sync terms`: the terms of Amazon Marketing Cloud, and those of Ads Data Manager."""

import html
import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from audience_sync.amazon_ads.destination import Api
from audience_sync_cli.audiences.options import API
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
    from audience_sync.amazon_ads.data_manager.client import DataManager

app = typer.Typer()
ACCEPTANCE, ACCEPTANCE_OF_DATA_MANAGER = "I accept the AMC terms", "I accept the terms of Ads Data Manager"
_TAG = re.compile(r"<[^>]*>")


class _Terms(NamedTuple):
    """The terms of one API."""

    name: str
    accept: str  # the command
    acceptance: str  # to be typed
    client: "Callable[[Session], AmazonAds | DataManager]"


TERMS = {
    Api.AUDIENCES: _Terms("AMC terms", "audience-sync terms accept", ACCEPTANCE, lambda session: session.amazon),
    Api.DATA_MANAGER: _Terms(
        "terms of Ads Data Manager",
        "audience-sync terms accept --api data-manager",
        ACCEPTANCE_OF_DATA_MANAGER,
        lambda session: session.data_manager,
    ),
}


@command(app, "show", "terms show --text", "terms show --api data-manager --text")
def show_terms(
    session: Session,
    api: API = Api.AUDIENCES,
    *,
    text: Annotated[bool, typer.Option("--text", help="Also print the whole text.")] = False,
) -> None:
    """Show whether the AMC terms are accepted. Otherwise Amazon rejects uploads to AMC. DSP needs no terms.

    With --api data-manager, the terms of Ads Data Manager, without which Amazon refuses everything there.
    """
    ours = TERMS[api]
    terms = ours.client(session).terms()
    if text:
        session.screen.say(readable(terms.agreement) or "Amazon did not send the text.")
    session.screen.say(
        f"The {ours.name} are accepted."
        if terms.accepted
        else f"The {ours.name} are not accepted. Read them with --text. To agree for the company, run `{ours.accept}`."
    )
    session.screen.result({"accepted": terms.accepted} | ({"agreement": terms.agreement} if text else {}))


@command(app, "accept", "terms accept", "terms accept --api data-manager")
def accept_terms(
    session: Session,
    confirm: Annotated[
        str,
        typer.Option(
            help=f"Confirm without a question by passing '{ACCEPTANCE}' or, with --api data-manager, "
            f"'{ACCEPTANCE_OF_DATA_MANAGER}'.",
            metavar="TEXT",
        ),
    ] = "",
    api: API = Api.AUDIENCES,
) -> None:
    """Accept the AMC terms for the company of the login. Prints the terms, and asks to type a sentence.

    With --api data-manager, the terms of Ads Data Manager for the account that the stack names.
    """
    ours = TERMS[api]
    if confirm and confirm != ours.acceptance:
        raise WrongUsage("--confirm does not match.", f"To agree, use --confirm '{ours.acceptance}'.")
    client = ours.client(session)
    terms = client.terms()
    if terms.accepted:
        session.screen.say(f"The {ours.name} are already accepted.")
        session.screen.result({"accepted": True})
        return
    session.screen.say(readable(terms.agreement))
    if not confirm:
        session.screen.confirm_by_typing("These terms bind the company of this login.", ours.acceptance)
    with session.log.line(ours.accept.removeprefix("audience-sync ")):
        client.accept_terms(terms)
    session.screen.say(f"The {ours.name} are accepted.", style="green")
    session.screen.result({"accepted": True})


def readable(agreement: str) -> str:
    """Return Amazon's HTML as text, without markup or control characters."""
    text = html.unescape(_TAG.sub("\n", agreement))
    printable = "".join(each for each in text if each == "\n" or each.isprintable())
    return re.sub(r"\s*\n\s*", "\n", printable).strip()
