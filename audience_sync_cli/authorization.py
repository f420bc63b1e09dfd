"""The authorization code grant of Login with Amazon, always with PKCE (S256) and state.

Rules: RFC 7636 and RFC 8252 (native applications, loopback redirect), RFC 6749 4.1.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from audience_sync_cli.errors import NotConfirmed, NotThere, OperatorError, TryLater

SCOPES = "advertising::campaign_management advertising::audiences"
PORT = 8765  # fixed, since Amazon compares the whole return URL with the allowed ones
PATH = "/callback"
CODE_LIFETIME = 300.0  # seconds that Amazon keeps a code
TIMEOUT = (3.0, 15.0)  # seconds to connect, seconds to wait for each read
_ANSWERED = b"""<!doctype html><meta charset="utf-8"><title>Audience Sync</title>
<body style="font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:4em auto">
<h1>Amazon has answered</h1><p>You can close this window and go back to the terminal.</p>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Application:
    """The operator's application at Amazon."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One request for consent. State and verifier are used once; the verifier leaves this process only as its hash."""

    client_id: str
    redirect_uri: str
    state: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(64))

    def url(self, consent: str) -> str:
        """Return the address of the consent page for this request."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self.client_id,
            "scope": SCOPES,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{consent}?{urlencode(query)}"

    def is_answered_by(self, answer: dict[str, str]) -> bool:
        """Return whether an answer belongs to this request and to no other."""
        return hmac.compare_digest(answer.get("state", "").encode(), self.state.encode())

    def code(self, answer: dict[str, str]) -> str:
        """Return the code of an answer.

        Raises:
            OperatorError: the answer belongs to another request, or holds no code.
            NotConfirmed: access was declined.
        """
        if not self.is_answered_by(answer):
            raise OperatorError("The answer belongs to another request.", "Start again, and use only the newest page.")
        if answer.get("error") == "access_denied":
            raise NotConfirmed("Access was declined on Amazon's page.", "Nothing was changed.")
        if answer.get("error") == "invalid_scope":
            raise OperatorError(
                "Amazon does not allow this application to request the audiences scope.",
                "Both scopes, Campaign Management and Data Provider, must be approved for the client id.",
            )
        if not answer.get("code"):
            raise OperatorError("Amazon's answer holds no code.", "Copy the whole address from the address bar.")
        return answer["code"]


def read_answer(address: str) -> dict[str, str]:
    """Read the address that the browser was sent to. The query alone suffices."""
    text = address.strip()
    return dict(parse_qsl(urlsplit(text).query or text.lstrip("?")))


class Listener:
    """Waits on 127.0.0.1 for the browser that returns from Amazon. Holds the port from the beginning."""

    def __init__(self, port: int = PORT) -> None:
        """Bind. Raises OperatorError where the port is taken."""
        self.answer: dict[str, str] | None = None
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError:
            raise OperatorError(
                f"Port {port} is in use.", f"Free it, or use --port with http://127.0.0.1:PORT{PATH} allowed at Amazon."
            ) from None
        self._server.timeout = 0.5  # seconds between two checks of the deadline

    @property
    def redirect_uri(self) -> str:
        """The return URL that must be allowed in the application's security profile."""
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def wait(self, request: AuthorizationRequest, *, seconds: float = CODE_LIFETIME) -> dict[str, str]:
        """Return the answer to the request; answers to other requests get a 404. Raises TryLater."""
        self._server.request = request
        deadline = time.monotonic() + seconds
        while self._server.answer is None:
            if time.monotonic() > deadline:
                raise TryLater("No answer came from the browser.", "Start again, or use --paste.")
            self._server.handle_request()
        return self._server.answer

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Server(HTTPServer):
    allow_reuse_address = True
    request: AuthorizationRequest | None = None
    answer: dict[str, str] | None = None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5  # seconds; a browser that opens a connection without using it must not block the next one

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        answer = dict(parse_qsl(address.query))
        request = self.server.request
        if address.path != PATH or request is None or not request.is_answered_by(answer):
            self.send_error(404)
            return
        self.server.answer = answer
        self.send_response(200)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(_ANSWERED)

    def log_message(self, *_: object) -> None:
        """Log nothing: the request line contains the code."""


def refresh_token(
    http: requests.Session, token_url: str, application: Application, request: AuthorizationRequest, code: str
) -> str:
    """Exchange a code for a refresh token. There is no second attempt, because a code works once.

    Raises:
        OperatorError, NotThere: Amazon refuses; the error says what to change.
        TryLater: Amazon does not answer.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": request.redirect_uri,
        "client_id": application.client_id,
        "client_secret": application.client_secret,
        "code_verifier": request.verifier,
    }
    http.trust_env = False  # no proxy and no netrc: the endpoint refuses any other authorization
    try:
        response = http.post(token_url, data=form, timeout=TIMEOUT, allow_redirects=False)
        answer = response.json()
    except requests.RequestException as error:
        raise TryLater(f"Login with Amazon does not answer: {type(error).__name__}.", "Start again.") from None
    fields = answer if isinstance(answer, dict) else {}
    token = fields.get("refresh_token")
    if response.status_code == 200 and isinstance(token, str) and token:
        return token
    raise _refusal(response.status_code, fields.get("error"))


def _refusal(status: int, error: object) -> OperatorError:
    match error:
        case "invalid_client":
            return NotThere("Amazon does not accept this client id with this secret.", "Copy both again from Amazon.")
        case "invalid_grant":
            return OperatorError(
                "Amazon does not accept the code.", "It is valid for five minutes and works once: start again."
            )
        case "unauthorized_client":
            return OperatorError(
                "Amazon does not allow this application to log in.", "Have it approved for the Ads API."
            )
        case _:
            return OperatorError(f"Login with Amazon answered {status} without a refresh token.", "Start again.")


def browser_opener() -> Callable[[str], bool]:
    """Return a function that opens an address in the operator's browser, and returns whether that worked."""
    import webbrowser  # noqa: PLC0415 - looks for browsers at import

    return webbrowser.open
