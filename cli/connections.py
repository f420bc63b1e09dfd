"""`audience-sync connections` and `terms`: AMC instances, DSP advertisers, and the AMC terms."""

import html
import re
from typing import Annotated

import typer

from cli.errors import NotThere, WrongUsage
from cli.screen import counted
from cli.session import Session, command

ACCEPTANCE = "I accept the AMC terms"
_TAG = re.compile(r"<[^>]*>")


def register(app: typer.Typer) -> None:
    """Add the commands for connections."""
    command(app, "list")(list_)
    command(app, "create")(create)
    command(app, "delete", asks=True)(delete)


def register_terms(terms: typer.Typer) -> None:
    """Add the commands for the terms."""
    command(terms, "show")(show_terms)
    command(terms, "accept")(accept_terms)


def list_(session: Session) -> None:
    """List the connections of this login at Amazon."""
    found = session.amazon.connections()
    if not found:
        session.screen.say("There are no connections. An audience for Amazon DSP alone needs none.")
    else:
        session.screen.table(
            ("connection", "default", "AMC instance", "DSP advertiser"),
            [
                (
                    each.get("connectionId"),
                    each.get("isDefault") is True,
                    each.get("amcInstanceName") or each.get("amcInstanceId"),
                    each.get("dspAdvertiserName") or each.get("dspAdvertiserId"),
                )
                for each in found
            ],
        )
    session.screen.result(found)


def create(
    session: Session,
    amc_instance: Annotated[str, typer.Option("--amc-instance", help="AMC instance id.", metavar="ID")] = "",
    dsp_advertiser: Annotated[str, typer.Option("--dsp-advertiser", help="DSP advertiser id.", metavar="ID")] = "",
    amc_account: Annotated[str, typer.Option("--amc-account", help="AMC account id.", metavar="ID")] = "",
    amc_marketplace: Annotated[
        str, typer.Option("--amc-marketplace", help="Marketplace id of the AMC account.", metavar="ID")
    ] = "",
    dsp_profile: Annotated[str, typer.Option("--dsp-profile", help="DSP profile id.", metavar="ID")] = "",
    *,
    default: Annotated[bool, typer.Option("--default", help="Make it the default connection.")] = False,
) -> None:
    """Create a connection: an AMC instance, a DSP advertiser, or both, that audiences can be sent to."""
    options = {
        "amcInstanceId": amc_instance,
        "amcAccountId": amc_account,
        "amcAccountMarketplaceId": amc_marketplace,
        "dspAdvertiserId": dsp_advertiser,
        "dspProfileId": dsp_profile,
    }
    if not amc_instance and not dsp_advertiser:
        raise WrongUsage("A connection needs an AMC instance, a DSP advertiser, or both.", "Give at least one id.")
    body: dict[str, object] = {name: value for name, value in options.items() if value}
    connection_id = session.amazon.create_connection(body | ({"isDefault": True} if default else {}))
    session.screen.say(f"Connection {connection_id} is created.", style="green")
    session.screen.result({"connectionId": connection_id})


def delete(
    session: Session, connection_id: Annotated[str, typer.Argument(help="Connection id, exactly as `list` shows it.")]
) -> None:
    """Delete one connection. Uploads to its audiences will fail."""
    # With a blank id Amazon would delete all connections of the advertiser.
    if not connection_id.strip():
        raise WrongUsage("The connection id is blank.", "Give the id of the one connection to delete.")
    if connection_id not in [each.get("connectionId") for each in session.amazon.connections()]:
        raise NotThere("There is no such connection at Amazon.", "`audience-sync connections list` shows them.")
    users = [each for each in session.audiences.all() if each.connection_id == connection_id]
    question = f"Delete connection {connection_id}?"
    if users:
        audiences = counted(len(users), "linked audience")
        question = f"Without connection {connection_id}, uploads to {audiences} will fail. Delete it?"
    session.screen.confirm(question)
    session.amazon.delete_connection(connection_id)
    session.screen.say("The connection is deleted.", style="green")
    session.screen.result({"connectionId": connection_id, "deleted": True})


def show_terms(
    session: Session, *, text: Annotated[bool, typer.Option("--text", help="Print the whole text, too.")] = False
) -> None:
    """Show whether the AMC terms are accepted. Until they are, Amazon refuses uploads to AMC. DSP needs no terms."""
    terms = session.amazon.terms()
    if text and terms.agreement:
        session.screen.say(readable(terms.agreement))
    session.screen.say(
        "The AMC terms are accepted."
        if terms.accepted
        else "The AMC terms are not accepted. Read them with --text. To agree for the company, run `terms accept`."
    )
    session.screen.result({"accepted": terms.accepted} | ({"agreement": terms.agreement} if text else {}))


def accept_terms(
    session: Session,
    confirm: Annotated[
        str, typer.Option(help=f"Confirm without a question, with the text '{ACCEPTANCE}'.", metavar="TEXT")
    ] = "",
) -> None:
    """Accept the AMC terms for the company that the login belongs to. Prints the text and asks to type a sentence."""
    terms = session.amazon.terms()
    if terms.accepted:
        session.screen.say("The AMC terms are accepted already.")
        session.screen.result({"accepted": True})
        return
    session.screen.say(readable(terms.agreement))
    if confirm != ACCEPTANCE:
        session.screen.confirm_by_typing("These terms bind the company that this login belongs to.", ACCEPTANCE)
    session.amazon.accept_terms(terms)
    session.screen.say("The AMC terms are accepted.", style="green")
    session.screen.result({"accepted": True})


def readable(agreement: str) -> str:
    """Return Amazon's HTML as text, without markup and without control characters."""
    text = html.unescape(_TAG.sub("\n", agreement))
    printable = "".join(each for each in text if each == "\n" or each.isprintable())
    return re.sub(r"\s*\n\s*", "\n", printable).strip()
