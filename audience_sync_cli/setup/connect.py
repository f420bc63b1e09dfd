"""`audience-sync connect`: authorize this stack at Amazon Ads."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Annotated, Any

import typer

from audience_sync.errors import InvalidSettings
from audience_sync.reasons import Reason
from audience_sync_cli.frame.errors import OperatorError, TryLater
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.setup.authorization import (
    CODE_LIFETIME,
    PORT,
    Application,
    AuthorizationRequest,
    browser_opener,
    check_redirect_uri,
    read_answer,
    refresh_token,
)
from audience_sync_cli.setup.callback import Answer, Listener
from audience_sync_cli.stack.blockers import after_login

app = typer.Typer()
FIRST_TOKEN_WAIT = 75.0  # seconds; a warm refresh function reads new credentials within 60
POLL_INTERVAL = 5.0  # seconds between two invocations

Opener = Callable[[str], bool]


@command(app, "connect", "connect", "connect --paste --client-id amzn1.application-oa2-client.1a2b3c", asks=True)
def connect(
    session: Session,
    client_id: Annotated[
        str,
        typer.Option(
            help="Client id of your Login with Amazon application.", envvar="AUDIENCE_SYNC_CLIENT_ID", metavar="ID"
        ),
    ] = "",
    *,
    paste: Annotated[
        bool,
        typer.Option("--paste", help="Without a browser on this machine: paste the address at which the browser ends."),
    ] = False,
    redirect_uri: Annotated[
        str, typer.Option(help="Another allowed return URL of the application; implies --paste.", metavar="URL")
    ] = "",
    port: Annotated[
        int,
        typer.Option(help="Port on 127.0.0.1 for the browser's return; 0 for any free port.", min=0, max=65_535),
    ] = PORT,
    new_client: Annotated[bool, typer.Option("--new-client", help="Ask for client id and secret again.")] = False,
) -> None:
    """Connect Amazon Ads: log in, allow access, and store the authorization in the stack's secret.

    The command asks for the client secret, or reads it from AUDIENCE_SYNC_CLIENT_SECRET; a stored one is reused. In
    the application's security profile at Amazon, allow the return URL http://127.0.0.1:8765/callback.
    """
    if redirect_uri:
        check_redirect_uri(redirect_uri)
    authorize(
        session,
        application(session, client_id, ask_again=new_client),
        port=port,
        opener=None if paste or redirect_uri else browser_opener(),
        redirect_uri=redirect_uri,
    )


def application(session: Session, client_id: str, *, ask_again: bool) -> Application:
    """Return client id and secret: from the option, the environment, the stored secret, or by asking."""
    stored = {} if ask_again else session.read_or_reset(session.secret("CredentialsSecret"))
    client_id = client_id or str(stored.get("clientId") or "")
    if not client_id:
        client_id = session.screen.ask("Client id", instead="pass --client-id or AUDIENCE_SYNC_CLIENT_ID")
    # Not an option: it would be in the shell's history, and Typer shows defaults.
    secret = os.environ.get("AUDIENCE_SYNC_CLIENT_SECRET", "")
    if not secret and stored.get("clientId") == client_id:
        secret = str(stored.get("clientSecret") or "")
    if not secret:
        secret = session.screen.ask("Client secret", hidden=True, instead="set AUDIENCE_SYNC_CLIENT_SECRET")
    if not client_id or not secret:
        raise OperatorError(
            "Client id and client secret are both needed.", "Amazon shows them in your application's settings."
        )
    return Application(client_id, secret)


def authorize(session: Session, app: Application, *, port: int, opener: Opener | None, redirect_uri: str = "") -> None:
    """Get consent, exchange the code, store the refresh token, and check it. Without an opener: by pasting."""
    # Ask now, not while the browser waits.
    session.read_or_reset(session.secret("CredentialsSecret"))
    request, answer = (
        _with_browser(session, app, port, opener) if opener else _by_pasting(session, app, port, redirect_uri)
    )
    token = refresh_token(session.http, session.stack.hosts.login, app, request, request.code(answer))
    with session.log.line("connect"):
        _store(session, app, token)
    session.screen.say("Amazon has granted access; the refresh token is in the credentials secret.")
    first = _first_token(session)
    profiles = session.amazon.profiles()
    if not profiles:
        raise OperatorError(
            "Connected, but this login has no advertiser in the stack's Amazon region.",
            "Log in as a user of the advertiser, or deploy the stack with another Region.",
        )
    session.screen.say(f"An access token is stored; Amazon answers with {counted(len(profiles), 'profile')}:")
    session.screen.table(
        ("profile", "country", "account", "type"),
        [(each.get("profileId"), each.get("countryCode"), *_account(each)) for each in profiles],
    )
    for blocker in after_login(session.stack, session.now()):
        session.screen.say(blocker.text)
    session.screen.say("Connected. All functions use it within a minute. Next: `audience-sync test`.", style="green")
    session.screen.result({"connected": True, "refreshed": first.get("refreshed") is True, "profiles": profiles})


def _with_browser(session: Session, app: Application, port: int, opener: Opener) -> tuple[AuthorizationRequest, Answer]:
    with closing(Listener(port)) as listener:
        request = AuthorizationRequest(app.client_id, listener.redirect_uri)
        address = request.url(session.stack.hosts.consent)
        minutes = f"{CODE_LIFETIME / 60:.0f} minutes"
        session.screen.note(f"Your browser opens Amazon's page. If it does not, open this address within {minutes}:")
        session.screen.note(address)
        # In a thread: a browser in the terminal returns only after the listener below has answered.
        threading.Thread(target=opener, args=(address,), daemon=True).start()
        with session.screen.progress(label := "waiting for your answer at Amazon") as bar:
            return request, listener.wait(request, on_wait=partial(bar.count_down, label))


def _by_pasting(
    session: Session, app: Application, port: int, redirect_uri: str
) -> tuple[AuthorizationRequest, Answer]:
    request = AuthorizationRequest(app.client_id, redirect_uri or f"http://127.0.0.1:{port}/callback")
    session.screen.note("Open this address in any browser and allow access:")
    session.screen.note(request.url(session.stack.hosts.consent))
    session.screen.note(
        f"The browser then ends at an address that begins with {request.redirect_uri}. That page may not exist. "
        f"The address is valid for {CODE_LIFETIME / 60:.0f} minutes."
    )
    while True:
        answer = read_answer(session.screen.ask("Paste that address", hidden=True, instead="run it without --paste"))
        if answer.keys() & {"code", "error"}:
            return request, answer
        session.screen.note("That is not the address: the one to paste contains `code=`.", style="yellow")


def _store(session: Session, app: Application, token: str) -> None:
    """Store the authorization, and clear the access token of the previous one; refresh would keep using it."""
    credentials, access_token = session.secret("CredentialsSecret"), session.secret("TokenSecret")
    try:
        stored = dict(credentials.value())
    except InvalidSettings:  # the operator has agreed to replace it
        stored = {}
    credentials.write(
        stored
        | {
            "clientId": app.client_id,
            "clientSecret": app.client_secret,
            "refreshToken": token,
            "authorizedAt": int(session.now()),  # a consent at Amazon expires
        }
    )
    access_token.write({"accessToken": "", "expiresAt": 0})


def _first_token(session: Session) -> Mapping[str, Any]:
    """Invoke the refresh function for a token. It may use cached former credentials for a minute."""
    deadline = time.monotonic() + FIRST_TOKEN_WAIT
    with session.screen.progress("getting the first access token"):
        while True:
            answer = _invoke(session)
            if answer.get("refreshed") or answer.get("reason") == Reason.FRESH:
                return answer
            if time.monotonic() + POLL_INTERVAL > deadline:
                raise TryLater(
                    f"The refresh function got no access token: {answer.get('reason', 'it failed')}.",
                    "The authorization is stored; the function runs every 20 minutes. See its log, then run "
                    "`audience-sync test`.",
                )
            time.sleep(POLL_INTERVAL)


def _invoke(session: Session) -> Mapping[str, Any]:
    answer = session.stack.service("lambda").invoke(FunctionName=session.stack["RefreshFunction"], Payload=b"{}")
    result = json.loads(answer["Payload"].read() or b"{}")
    return result if isinstance(result, dict) and not answer.get("FunctionError") else {}


def _account(profile: Mapping[str, Any]) -> tuple[Any, Any]:
    account = profile.get("accountInfo")
    return (account.get("name"), account.get("type")) if isinstance(account, dict) else (None, None)
