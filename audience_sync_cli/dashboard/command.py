"""`audience-sync dashboard`: serve the page of a deployed stack, or print the address of a local one's."""

import sys
import webbrowser
from typing import Annotated

import requests
import typer

from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.dashboard.server import DashboardServer
from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.session import Session, command

app = typer.Typer()
NOTE = "CloudWatch is read once a minute and queues every ten seconds, only while this page is visible."


@command(app, "dashboard", "dashboard --open", "--stack prod dashboard --port 8090")
def dashboard(
    session: Session,
    port: Annotated[
        int,
        typer.Option(help="Port on this machine; 0 for any free one. A local stack has its own.", min=0, max=65_535),
    ] = 0,
    *,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Serve a page with flow, counts, audiences, rejections, dead letters and alarms, on this machine only.

    Reads AWS with your credentials while the page is open, for about one cent an hour. Ctrl-C ends it. The address
    contains a token; anyone who has it can redrive dead letters and pause delivery as you.
    """
    if session.stack.local:
        if port:
            raise WrongUsage(
                "A local stack serves its page itself, at its own port.",
                "Leave --port out; `.venv/bin/python -m local --port` chooses it.",
            )
        _announce(session, _local_page(session.stack.local), browser=browser)
        return
    shown = DeployedStack(session.stack, session.now, NOTE)
    try:
        server = DashboardServer(shown, port)
    except OSError:
        shown.close()
        raise OperatorError(f"Port {port} is not available.", "Choose another --port, or leave it out.") from None
    with server:
        _announce(session, server.url, browser=browser)
        session.screen.note("Ctrl-C ends it.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            session.screen.note("Ended.")
        finally:
            shown.close()


def _announce(session: Session, url: str, *, browser: bool) -> None:
    session.screen.say(url)
    session.screen.result({"url": url})
    sys.stdout.flush()  # a script reads the address while the page is served
    if browser and not webbrowser.open(url):
        session.screen.note("Cannot open a browser. Open the address yourself.")


def _local_page(api: str) -> str:
    """Return the address of a local stack's own page. Raises NotThere."""
    url = f"{api}/status"
    try:
        is_there = requests.get(url, timeout=10).status_code == requests.codes.ok
    except requests.RequestException:
        is_there = False
    if not is_there:
        raise NotThere("The local stack has no status page.", "Start it without --no-status-page.")
    return url
