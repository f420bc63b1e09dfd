"""`audience-sync terms`: the terms of Amazon Marketing Cloud."""

import html
import re
from typing import Annotated

import typer

from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.session import Session, command

app = typer.Typer()
ACCEPTANCE = "I accept the AMC terms"
_TAG = re.compile(r"<[^>]*>")


@command(app, "show", "terms show --text")
def show_terms(
    session: Session, *, text: Annotated[bool, typer.Option("--text", help="Also print the whole text.")] = False
) -> None:
    """Show whether the AMC terms are accepted. Otherwise Amazon rejects uploads to AMC. DSP needs no terms."""
    terms = session.amazon.terms()
    if text and terms.agreement:
        session.screen.say(readable(terms.agreement))
    session.screen.say(
        "The AMC terms are accepted."
        if terms.accepted
        else "The AMC terms are not accepted. Read them with --text. To agree for the company, run "
        "`audience-sync terms accept`."
    )
    session.screen.result({"accepted": terms.accepted} | ({"agreement": terms.agreement} if text else {}))


@command(app, "accept", "terms accept")
def accept_terms(
    session: Session,
    confirm: Annotated[
        str, typer.Option(help=f"Confirm without a question by passing '{ACCEPTANCE}'.", metavar="TEXT")
    ] = "",
) -> None:
    """Accept the AMC terms for the company of the login. Prints the terms, and asks to type a sentence."""
    if confirm and confirm != ACCEPTANCE:
        raise WrongUsage("--confirm does not match.", f"To agree, use --confirm '{ACCEPTANCE}'.")
    terms = session.amazon.terms()
    if terms.accepted:
        session.screen.say("The AMC terms are already accepted.")
        session.screen.result({"accepted": True})
        return
    session.screen.say(readable(terms.agreement))
    if not confirm:
        session.screen.confirm_by_typing("These terms bind the company of this login.", ACCEPTANCE)
    with session.log.line("terms accept"):
        session.amazon.accept_terms(terms)
    session.screen.say("The AMC terms are accepted.", style="green")
    session.screen.result({"accepted": True})


def readable(agreement: str) -> str:
    """Return Amazon's HTML as text, without markup or control characters."""
    text = html.unescape(_TAG.sub("\n", agreement))
    printable = "".join(each for each in text if each == "\n" or each.isprintable())
    return re.sub(r"\s*\n\s*", "\n", printable).strip()
