"""Login with Amazon: grants of access, and the token endpoint."""

import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from local.amazon.refusals import STRICT

CODE_LIFETIME = 300.0  # seconds
TOKEN_LIFETIME = 3600.0  # seconds
SCOPES = frozenset(
    {"advertising::campaign_management", "advertising::audiences", "cpc_advertising:campaign_management", "profile"}
)


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class TokenFault:
    """Effects of a fault rule on new access tokens."""

    lifetime: float | None = None  # seconds; the token's real lifetime, also stated in the answer
    expires_in: Any = None  # stated in the answer instead, of any type
    refuse_after: int | None = None  # requests after which the API refuses the token


NO_TOKEN_FAULT = TokenFault()


class LoginRefusal(Exception):
    """An OAuth error answer."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.answer = {"error": error, "error_description": description}


@dataclass(slots=True)
class _AccessToken:
    expires_at: float  # epoch seconds
    requests_left: int | None


@dataclass(frozen=True, slots=True)
class Grant:
    """Access that a person allowed on the consent page."""

    redirect_uri: str
    challenge: str | None
    challenge_method: str
    expires_at: float  # epoch seconds


class Login:
    """The application that Amazon knows, the authorizations it holds, and the tokens in circulation."""

    def __init__(self, *, client_id: str, client_secret: str, refresh_token: str, seed: int) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._refresh_tokens = {refresh_token}
        self._revoked: set[str] = set()
        self._random = random.Random(f"login {seed}")
        self._grants: dict[str, Grant] = {}
        self._access_tokens: dict[str, _AccessToken] = {}

    @property
    def is_revoked(self) -> bool:
        """Whether no authorization is left."""
        return not self._refresh_tokens

    def revoke(self) -> None:
        """Refuse all existing authorizations and tokens. A new consent is valid."""
        self._revoked |= self._refresh_tokens
        self._refresh_tokens.clear()
        self._access_tokens.clear()

    def restore(self) -> None:
        """Make revoked authorizations valid again."""
        self._refresh_tokens |= self._revoked
        self._revoked.clear()

    def admits(self, token: str, now: float) -> bool:
        """Return whether the API accepts this access token for one more request."""
        known = self._access_tokens.get(token)
        if known is None or now >= known.expires_at:
            return False
        if known.requests_left is not None:
            known.requests_left -= 1
            return known.requests_left >= 0
        return True

    def allow(self, redirect_uri: str, challenge: str | None, challenge_method: str, now: float) -> str:
        """Grant access and return a code, valid once and for five minutes."""
        code = "AN" + self._text(18)
        self._grants[code] = Grant(redirect_uri, challenge, challenge_method, now + CODE_LIFETIME)
        return code

    def token(self, form: Mapping[str, str], fault: TokenFault, now: float) -> dict[str, Any]:
        """Answer a token request. Raises LoginRefusal."""
        grant_type = _required(form, "grant_type")
        if grant_type not in ("refresh_token", "authorization_code"):
            raise LoginRefusal("unsupported_grant_type", "The authorization grant type is not supported")
        known = _same(_required(form, "client_id"), self.client_id)
        if not _same(_required(form, "client_secret"), self._client_secret) or not known:
            raise LoginRefusal("invalid_client", "Client authentication failed", status=401)
        if grant_type == "refresh_token":
            refresh_token = _required(form, "refresh_token")
            if refresh_token not in self._refresh_tokens:
                raise LoginRefusal("invalid_grant", "The request has an invalid grant parameter : refresh_token")
        else:
            self._redeem(form, now)
            refresh_token = "Atzr|" + self._text(300)
            self._refresh_tokens.add(refresh_token)
        return self._issue(refresh_token, fault, now)

    def _redeem(self, form: Mapping[str, str], now: float) -> None:
        redirect_uri = _required(form, "redirect_uri")
        grant = self._grants.pop(_required(form, "code"), None)  # a failed attempt uses it up as well
        if grant is None or now >= grant.expires_at:
            raise LoginRefusal("invalid_grant", "The request has an invalid parameter : code")
        if not _same(redirect_uri, grant.redirect_uri):
            raise LoginRefusal("invalid_grant", "The request has an invalid parameter : redirect_uri")
        if grant.challenge is not None:
            answer = form.get("code_verifier", "")
            if grant.challenge_method == "S256":
                digest = hashlib.sha256(answer.encode()).digest()
                answer = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if not _same(answer, grant.challenge):
                raise LoginRefusal("invalid_grant", "The request has an invalid parameter : code_verifier")

    def _issue(self, refresh_token: str, fault: TokenFault, now: float) -> dict[str, Any]:
        lifetime = TOKEN_LIFETIME if fault.lifetime is None else fault.lifetime
        live = {token: known for token, known in self._access_tokens.items() if now < known.expires_at}
        access_token = "Atza|" + self._text(300)
        self._access_tokens = live | {access_token: _AccessToken(now + lifetime, fault.refuse_after)}
        return {
            "access_token": access_token,
            "token_type": "bearer",
            "expires_in": int(lifetime) if fault.expires_in is None else fault.expires_in,
            "refresh_token": refresh_token,
        }

    def _text(self, length: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(length)).decode().rstrip("=")


def read_form(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Read a form in which every field occurs once. Raises LoginRefusal."""
    form = dict(fields)
    if len(form) < len(fields):
        raise LoginRefusal("invalid_request", "A parameter is repeated")
    return form


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise LoginRefusal("invalid_request", f"The request is missing a required parameter : {name}")
    return value


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
