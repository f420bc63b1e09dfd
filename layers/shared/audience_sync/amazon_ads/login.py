"""Login with Amazon: access tokens, cached where every worker finds them, refreshed once for all."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

import requests
from urllib3.exceptions import HTTPError

from audience_sync.amazon_ads.transport import TotalTimeoutAdapter, read_within
from audience_sync.errors import AudienceSyncError, InvalidSettings, OutcomeUnknown, TokenUnavailable, TransientError

TIMEOUT = (3.0, 10.0)  # seconds to connect, to wait for each read
TOTAL_TIMEOUT = 15.0  # seconds for the whole answer
MARGIN = 120.0  # seconds before its expiry from which a token is not used any more
LIFETIME = 3600.0  # seconds; Amazon's own figure, used where an answer gives none that makes sense
FAILURE_BACKOFF = 30.0  # seconds for which a login that failed is not tried again: it may take its whole time each time
REFUSAL_BACKOFF = 300.0  # seconds for which a refused authorization is not asked for again
MAX_ANSWER = 16_384  # bytes; a token is at most 2,048


class Secret(Protocol):
    """A JSON secret that someone else stores."""

    def value(self, *, max_age: float = ...) -> Mapping[str, Any]:
        """Return the secret, at most `max_age` seconds old."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Never prints itself."""

    value: str = field(repr=False)
    expires_at: float  # epoch seconds

    def is_fresh(self, now: float) -> bool:
        """Tell whether the token may still be used for a request that takes a while."""
        return bool(self.value) and now < self.expires_at - MARGIN

    def as_json(self) -> dict[str, Any]:
        """The token as the token secret holds it."""
        return {"accessToken": self.value, "expiresAt": self.expires_at}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Token | None":
        """Read the token secret; None where it holds no token yet."""
        value, expires_at = stored.get("accessToken"), stored.get("expiresAt")
        if not _is_token(value) or not isinstance(expires_at, int | float):
            return None
        return cls(value, float(expires_at))


class Login:
    """Asks Login with Amazon for access tokens, with the operator's lasting authorization."""

    def __init__(
        self,
        session: requests.Session,
        token_url: str,
        credentials: Secret,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._session.trust_env = False  # no proxy and no netrc from the environment
        self._total_timeout = TotalTimeoutAdapter.mount_on(session)
        self._token_url = token_url
        self._credentials = credentials
        self._now = now
        self._monotonic = monotonic
        self._refused: tuple[str, float] = ("", float("-inf"))  # refresh token, until when

    def client_id(self) -> str:
        """Return the public id of the operator's application. Raises TokenUnavailable, Unavailable."""
        return self._credential("clientId")

    def fetch(self) -> Token:
        """Get a new access token. One request, no retry: the caller decides when to ask again.

        Raises:
            TokenUnavailable: with reason `not_connected` (nobody has connected Amazon yet), `authorization_refused`
                (revoked or never valid: stop asking, a person must connect again), else `token_unavailable`.
            Unavailable: the credentials cannot be read.
        """
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credential("refreshToken"),
            "client_id": self._credential("clientId"),
            "client_secret": self._credential("clientSecret"),
        }
        refused, until = self._refused
        if refused == form["refresh_token"] and self._now() < until:
            raise _refusal()
        deadline = self._monotonic() + TOTAL_TIMEOUT
        try:
            # No Authorization header: the token endpoint refuses requests that carry one.
            with (
                self._total_timeout.limit(TOTAL_TIMEOUT),
                self._session.post(
                    self._token_url, data=form, timeout=TIMEOUT, allow_redirects=False, stream=True
                ) as response,
            ):
                text = read_within(response, max_bytes=MAX_ANSWER, deadline=deadline, monotonic=self._monotonic)
        except (requests.RequestException, HTTPError, OSError, OutcomeUnknown) as error:
            raise TokenUnavailable(f"Login with Amazon does not answer: {type(error).__name__}") from None
        answer = _json_object(text)
        if response.status_code in (400, 401) and answer.get("error") in (
            "invalid_grant",
            "invalid_client",
            "unauthorized_client",
        ):
            self._refused = (form["refresh_token"], self._now() + REFUSAL_BACKOFF)
            raise _refusal()
        value = answer.get("access_token")
        if response.status_code != 200 or not _is_token(value):
            raise TokenUnavailable(f"Login with Amazon answered {response.status_code} without a token")
        return Token(value, self._now() + _lifetime(answer.get("expires_in")))

    def _credential(self, name: str) -> str:
        try:
            value = self._credentials.value().get(name)
        except InvalidSettings:
            raise TokenUnavailable(
                "the credentials secret is not a JSON object; connect Amazon again", reason="not_connected"
            ) from None
        if not isinstance(value, str) or not value:
            raise TokenUnavailable(
                f"{name} is missing from the credentials secret; connect Amazon first", reason="not_connected"
            )
        return value


class AccessTokens:
    """The access token of the moment: from memory, else from the token secret, else fetched for this process alone.

    Only `refresh` writes the secret, so that concurrent workers neither stampede the login nor use up its versions.
    """

    def __init__(self, stored: Secret, login: Login, now: Callable[[], float]) -> None:
        self._stored = stored
        self._login = login
        self._now = now
        self._lock = threading.Lock()  # one fetch for all waiting threads
        self._token: Token | None = None
        self._replacement: tuple[str, float] = ("", float("-inf"))  # the last one fetched for a refused one, and when
        self._refused: dict[str, float] = {}  # tokens that Amazon does not take, and when it said so, epoch seconds
        self._failure: tuple[TransientError, float] | None = None  # of the last fetch, and until when it stands

    def client_id(self) -> str:
        """Return the application's id, which every request to Amazon carries."""
        return self._login.client_id()

    def current(self) -> Token:
        """Return a token that is good for the next two minutes at least. Raises TokenUnavailable, Unavailable."""
        with self._lock:
            if self._token is None or not self._is_good(self._token):
                self._token = self._read(max_age=60.0) or self._fetch()
            return self._token

    def renewed(self, rejected: Token) -> Token:
        """Return a token other than the one Amazon has just refused. Raises TokenUnavailable, Unavailable."""
        with self._lock:
            now = self._now()
            lately = {value: at for value, at in self._refused.items() if abs(now - at) < REFUSAL_BACKOFF}
            self._refused = lately | {rejected.value: now}
            if self._token is None or not self._is_good(self._token):
                self._token = None  # nobody else shall try it
                self._token = self._read(max_age=0.0) or self._fetch()
                self._replacement = (self._token.value, now)
            return self._token

    def _is_good(self, token: Token) -> bool:
        refused = self._refused.get(token.value)
        is_refused = refused is not None and abs(self._now() - refused) < REFUSAL_BACKOFF
        return token.is_fresh(self._now()) and not is_refused

    def _fetch(self) -> Token:
        """Ask the login, unless it has just failed: what it then cost, the next one need not pay again."""
        if self._failure:
            error, until = self._failure
            left = until - self._now()
            if 0 < left <= FAILURE_BACKOFF:  # the clock may have been set back
                raise type(error)(str(error), retry_after=left, reason=error.reason)
            self._failure = None
        instead, since = self._replacement
        age = self._now() - since
        if instead in self._refused and 0 <= age < REFUSAL_BACKOFF:
            # Amazon takes not even what came instead: another would fare no better, and the login counts them.
            raise TokenUnavailable(
                "Amazon refuses a fresh token; check the application's approval", retry_after=REFUSAL_BACKOFF - age
            )
        try:
            return self._login.fetch()
        except TransientError as error:
            self._failure = (error, self._now() + FAILURE_BACKOFF)
            raise

    def _read(self, *, max_age: float) -> Token | None:
        try:
            token = Token.from_json(self._stored.value(max_age=max_age))
        except AudienceSyncError:
            return None  # the login can still help
        return token if token and self._is_good(token) else None


def _refusal() -> TokenUnavailable:
    return TokenUnavailable(
        "Login with Amazon refuses the stored authorization; connect Amazon again", reason="authorization_refused"
    )


def _is_token(value: Any) -> TypeGuard[str]:
    """Tell whether a value can stand in a header. What cannot would be quoted by the error that says so."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and bool(value) and " " not in value


def _lifetime(told: Any) -> float:
    valid = isinstance(told, int | float) and not isinstance(told, bool) and 0 < told <= 24 * LIFETIME
    return float(told) if valid else LIFETIME


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
