"""`audience-sync connections`: AMC instances and DSP advertisers as targets of audiences."""

from typing import Annotated

import typer

from audience_sync.amazon_ads.destination import connection_of
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.usage import did_you_mean

app = typer.Typer()


@command(app, "list", "connections list")
def list_(session: Session) -> None:
    """List the connections of this login at Amazon."""
    found = session.amazon.connections()
    if not found:
        session.screen.say("There are no connections. Audiences for Amazon DSP alone do not need one.")
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


@command(
    app,
    "create",
    "connections create --amc-instance amcabc1 \\\n      --amc-account ENTITY1 --amc-marketplace ATVPDKIKX0DER",
    "connections create --dsp-advertiser 590071284455661234",
)
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
        raise WrongUsage(
            "A connection needs an AMC instance, a DSP advertiser, or both.", "Use --amc-instance or --dsp-advertiser."
        )
    body: dict[str, object] = {name: value for name, value in options.items() if value}
    with session.log.line("connections create") as line:
        connection_id = session.amazon.create_connection(body | ({"isDefault": True} if default else {}))
        line["connectionId"] = connection_id
    session.screen.say(f"Connection {connection_id} was created.", style="green")
    session.screen.result({"connectionId": connection_id})


@command(app, "delete", "connections delete amc-1a2b", asks=True)
def delete(
    session: Session, connection_id: Annotated[str, typer.Argument(help="Connection id, exactly as in `list`.")]
) -> None:
    """Delete one connection. Uploads to its audiences will fail."""
    # With a blank id Amazon would delete all connections of the advertiser.
    if not connection_id.strip():
        raise WrongUsage("The connection id is blank.", "Pass the id of the connection to delete.")
    known = [str(each.get("connectionId")) for each in session.amazon.connections()]
    if connection_id not in known:
        remedy = f"{did_you_mean(connection_id, known)}`audience-sync connections list` shows them."
        raise NotThere("There is no such connection at Amazon.", remedy)
    users = [each for each in session.audiences.with_unlinked() if connection_of(each.destination) == connection_id]
    question = f"Delete connection {connection_id}?"
    if users:  # deletions must still reach members of unlinked ones
        unlinked = sum(each.unlinked_at is not None for each in users)
        audiences = counted(len(users), "audience") + (f", {unlinked} of them unlinked," if unlinked else "")
        question = f"Without connection {connection_id}, uploads to {audiences} will fail. Delete it?"
    session.screen.confirm(question)
    with session.log.line("connections delete", connectionId=connection_id):
        session.amazon.delete_connection(connection_id)
    session.screen.say("The connection was deleted.", style="green")
    session.screen.result({"connectionId": connection_id, "deleted": True})
