"""`audience-sync terms`: the terms of Amazon Marketing Cloud, and those of Ads Data Manager."""

import html
import re
from typing import TYPE_CHECKING, Annotated

import typer

from audience_sync.amazon_ads.destination import Api
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack.options import API

if TYPE_CHECKING:
    from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
    from audience_sync.amazon_ads.data_manager.client import DataManager

app = typer.Typer()
NAMES = {Api.AUDIENCES: "AMC terms", Api.DATA_MANAGER: "terms of Ads Data Manager"}
ACCEPTANCES = {api: f"I accept the {name}" for api, name in NAMES.items()}  # to be typed
_ACCEPT = {Api.AUDIENCES: "terms accept", Api.DATA_MANAGER: "terms accept --api data-manager"}
_TAG = re.compile(r"<[^>]*>")


@command(app, "show", "terms show --text", "terms show --api data-manager --text")
def show_terms(
    session: Session,
    api: API = Api.AUDIENCES,
    *,
    text: Annotated[bool, typer.Option("--text", help="Also print the whole text.")] = False,
) -> None:
    """Show whether the AMC terms are accepted. Otherwise Amazon rejects uploads to AMC. DSP needs no terms.

    With --api data-manager, the terms of Ads Data Manager: until they are accepted, Amazon refuses everything there.
    """
    terms = _client(session, api).terms()
    if text:
        missing = "Amazon did not send the text, which it may leave out once the terms are accepted."
        session.screen.say(readable(terms.agreement) or missing)
    session.screen.say(
        f"The {NAMES[api]} are accepted."
        if terms.accepted
        else f"The {NAMES[api]} are not accepted. Read them with --text. To agree for the company, run "
        f"`audience-sync {_ACCEPT[api]}`."
    )
    if api is Api.AUDIENCES:
        session.screen.say(f"Only uploads to AMC need them. The {NAMES[Api.DATA_MANAGER]}: --api data-manager.")
    session.screen.result({"accepted": terms.accepted} | ({"agreement": terms.agreement} if text else {}))


@command(app, "accept", "terms accept", "terms accept --api data-manager")
def accept_terms(
    session: Session,
    confirm: Annotated[
        str,
        typer.Option(
            help=f"Confirm without a question by passing '{ACCEPTANCES[Api.AUDIENCES]}' or, with --api data-manager, "
            f"'{ACCEPTANCES[Api.DATA_MANAGER]}'.",
            metavar="TEXT",
        ),
    ] = "",
    api: API = Api.AUDIENCES,
) -> None:
    """Accept the AMC terms for the company of the login. Prints the terms, and asks to type a sentence.

    With --api data-manager, the terms of Ads Data Manager for the account that the stack names.
    """
    if confirm and confirm != ACCEPTANCES[api]:
        raise WrongUsage("--confirm does not match.", f"To agree, use --confirm '{ACCEPTANCES[api]}'.")
    client = _client(session, api)
    terms = client.terms()
    if terms.accepted:
        session.screen.say(f"The {NAMES[api]} are already accepted.")
        session.screen.result({"accepted": True})
        return
    session.screen.say(readable(terms.agreement))
    if not confirm:
        session.screen.confirm_by_typing("These terms bind the company of this login.", ACCEPTANCES[api])
    with session.log.line(_ACCEPT[api]):
        client.accept_terms(terms)
    session.screen.say(f"The {NAMES[api]} are accepted.", style="green")
    session.screen.result({"accepted": True})


def _client(session: Session, api: Api) -> "AmazonAds | DataManager":
    return session.amazon if api is Api.AUDIENCES else session.data_manager


def readable(agreement: str) -> str:
    """Return Amazon's HTML as text, without markup or control characters."""
    text = html.unescape(_TAG.sub("\n", agreement))
    printable = "".join(each for each in text if each == "\n" or each.isprintable())
    return re.sub(r"\s*\n\s*", "\n", printable).strip()
