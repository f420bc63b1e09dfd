"""The authorization code grant of Login with Amazon, always with PKCE (S256) and state.

Rules: RFC 7636 and RFC 8252 (native applications, loopback redirect), RFC 6749 4.1.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from audience_sync_cli.frame.errors import NotConfirmed, NotThere, OperatorError, TryLater, WrongUsage

SCOPES = "advertising::campaign_management advertising::audiences"
PORT = 8765  # fixed: Amazon compares the whole return URL with the allowed ones
PATH = "/callback"
CODE_LIFETIME = 300.0  # seconds for which a code is valid
TIMEOUT = (3.0, 15.0)  # seconds to connect, seconds to wait for each read


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
        """Return whether an answer belongs to this request."""
        return hmac.compare_digest(answer.get("state", "").encode(), self.state.encode())

    def code(self, answer: dict[str, str]) -> str:
        """Return the code from an answer to this request. Raises OperatorError, NotConfirmed if access was declined."""
        if not self.is_answered_by(answer):
            raise OperatorError("The answer belongs to another request.", "Start again, and use only the latest page.")
        if answer.get("error") == "access_denied":
            raise NotConfirmed("Access was declined on Amazon's page.", "Nothing was changed.")
        if answer.get("error") == "invalid_scope":
            raise OperatorError(
                "Amazon does not allow this application to request the audiences scope.",
                "Both scopes, Campaign Management and Data Provider, must be approved for the client id.",
            )
        if not answer.get("code"):
            raise OperatorError("Amazon's answer contains no code.", "Copy the whole address from the address bar.")
        return answer["code"]


def read_answer(address: str) -> dict[str, str]:
    """Parse the address at which the browser ended, or its query alone."""
    text = address.strip()
    return dict(parse_qsl(urlsplit(text).query or text.lstrip("?")))


def check_redirect_uri(text: str) -> None:
    """Check a return URL by the rules of Login with Amazon. Raises WrongUsage."""
    try:
        address = urlsplit(text)
        is_local = address.hostname in ("127.0.0.1", "localhost")
        is_valid = address.scheme == "https" or (address.scheme == "http" and is_local)
        is_valid = is_valid and bool(address.hostname) and not address.fragment and not re.search(r"\s", text)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise WrongUsage(
            "--redirect-uri must be an https address, or an http address of this machine.",
            "Use exactly one of the application's allowed return URLs.",
        )


def refresh_token(
    http: requests.Session, token_url: str, application: Application, request: AuthorizationRequest, code: str
) -> str:
    """Exchange a code for a refresh token. Raises OperatorError, NotThere, TryLater.

    Never retries, because a code works once.
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
                "Amazon does not allow this application to log in.", "Get it approved for the Ads API."
            )
        case _:
            return OperatorError(f"Login with Amazon answered {status} without a refresh token.", "Start again.")


def browser_opener() -> Callable[[str], bool]:
    """Return a function that opens an address in the operator's browser, and returns whether that worked."""
    import webbrowser  # noqa: PLC0415 - looks for browsers at import

    return webbrowser.open
