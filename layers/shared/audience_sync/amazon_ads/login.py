"""Login with Amazon: access tokens from memory, from the secret shared by all workers, or fetched."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

import requests
from urllib3.exceptions import HTTPError

from audience_sync.amazon_ads.transport import TotalTimeoutAdapter, read_within
from audience_sync.errors import (
    AudienceSyncError,
    AuthorizationRefused,
    InvalidSettings,
    NotConnected,
    OutcomeUnknown,
    TokenUnavailable,
    TransientError,
)

TIMEOUT = (3.0, 10.0)  # seconds to connect, to wait for each read
TOTAL_TIMEOUT = 15.0  # seconds for the whole answer
EXPIRY_MARGIN = 120.0  # seconds before its expiry at which a token is no longer used
DEFAULT_LIFETIME = 3600.0  # seconds; Amazon's documented lifetime, for answers without a plausible one
FAILURE_BACKOFF = 30.0  # seconds before a failed login is retried: each attempt may take its whole timeout
MAX_EXPIRY = 1e11  # epoch seconds, in the year 5138: no token lives that long
REFUSAL_BACKOFF = 60.0  # seconds before a token that Amazon refused is used again
NOT_APPROVED = "Amazon refuses the token of a new login; it may not have approved the application"
CONSENT_LIFETIME = 365 * 86_400  # seconds; of a consent given on 30 July 2026 or later
MAX_ANSWER = 16_384  # bytes; a token is at most 2,048


class Secret(Protocol):
    """A JSON secret in any store."""

    def value(self, *, max_age: float = ...) -> Mapping[str, Any]:
        """Return the secret, at most `max_age` seconds old."""


def consent_ends(credentials: Mapping[str, Any]) -> float | None:
    """Return when the stored consent ends, in epoch seconds; None if it is not stored when it was given."""
    authorized = credentials.get("authorizedAt")  # an earlier version, and a person with the AWS CLI, store no time
    return authorized + CONSENT_LIFETIME if isinstance(authorized, int | float) else None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Its value never appears in its repr."""

    value: str = field(repr=False)
    expires_at: float  # epoch seconds

    def is_fresh(self, now: float) -> bool:
        """Return whether the token is valid long enough for a slow request."""
        return bool(self.value) and now < self.expires_at - EXPIRY_MARGIN

    def as_json(self) -> dict[str, Any]:
        """The token in the format of the token secret."""
        return {"accessToken": self.value, "expiresAt": self.expires_at}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Token | None":
        """Read the token secret; None if it holds no token yet."""
        value, expires_at = stored.get("accessToken"), stored.get("expiresAt")
        if not _is_token(value) or not _is_expiry(expires_at):
            return None
        return cls(value, float(expires_at))


class Login:
    """Fetches access tokens from Login with Amazon with the operator's refresh token."""

    def __init__(
        self,
        session: requests.Session,
        token_url: str,
        credentials: Secret,
        now: Callable[[], float],
    ) -> None:
        self._session = session
        self._session.trust_env = False  # no proxy and no netrc from the environment
        self._total_timeout = TotalTimeoutAdapter.mount_on(session)
        self._token_url = token_url
        self._credentials = credentials
        self._now = now

    def client_id(self) -> str:
        """Return the public id of the operator's application. Raises TokenUnavailable, Unavailable."""
        return self._credential("clientId")

    def has_authorization(self) -> bool:
        """Return whether an authorization is stored. Raises Unavailable, InvalidSettings."""
        return bool(self._credentials.value().get("refreshToken"))

    def fetch(self) -> Token:
        """Fetch a new access token. One request, no retry: the caller decides when to try again.

        Raises:
            NotConnected: no credentials are stored yet.
            AuthorizationRefused: revoked or never valid. A person must connect Amazon again.
            TokenUnavailable: Login with Amazon failed.
            Unavailable: the credentials cannot be read.
        """
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credential("refreshToken"),
            "client_id": self._credential("clientId"),
            "client_secret": self._credential("clientSecret"),
        }
        try:
            # No Authorization header: the token endpoint refuses requests that carry one.
            with (
                self._total_timeout.limit(TOTAL_TIMEOUT),
                self._session.post(
                    self._token_url, data=form, timeout=TIMEOUT, allow_redirects=False, stream=True
                ) as response,
            ):
                text = read_within(response, max_bytes=MAX_ANSWER)
        except (requests.RequestException, HTTPError, OSError, OutcomeUnknown) as error:
            raise TokenUnavailable(f"Login with Amazon does not answer: {type(error).__name__}") from None
        answer = _json_object(text)
        if response.status_code in (400, 401) and answer.get("error") in (
            "invalid_grant",
            "invalid_client",
            "unauthorized_client",
        ):
            raise AuthorizationRefused("Login with Amazon refuses the stored authorization; connect Amazon again")
        value = answer.get("access_token")
        if response.status_code != 200 or not _is_token(value):
            raise TokenUnavailable(f"Login with Amazon answered {response.status_code} without a token")
        return Token(value, self._now() + _lifetime(answer.get("expires_in")))

    def _credential(self, name: str) -> str:
        try:
            value = self._credentials.value().get(name)
        except InvalidSettings:
            raise NotConnected("the credentials secret is not a JSON object; connect Amazon again") from None
        if not isinstance(value, str) or not value:
            raise NotConnected(f"{name} is missing from the credentials secret; connect Amazon first")
        return value


class AccessTokens:
    """The current access token: from memory, else from the token secret, else fetched for this process only.

    Only `refresh` writes the secret, so that concurrent workers neither flood the login nor use up its versions.
    """

    def __init__(self, stored: Secret, login: Login, now: Callable[[], float]) -> None:
        self._stored = stored
        self._login = login
        self._now = now
        self._lock = threading.Lock()  # one fetch for all waiting threads
        self._token: Token | None = None
        self._replacement: tuple[str, float] = ("", float("-inf"))  # the token last fetched after a 401, and when
        self._refused: dict[str, float] = {}  # tokens that Amazon refused, and when, epoch seconds
        self._failure: tuple[TransientError, float] | None = None  # of the last fetch, and when to fetch again

    def client_id(self) -> str:
        """Return the application's id, which every request to Amazon carries."""
        return self._login.client_id()

    def never_connected(self) -> bool:
        """Return whether nobody has connected Amazon yet: no authorization is stored, and no token ever was."""
        try:
            return not (self._token or self._stored.value().get("accessToken") or self._login.has_authorization())
        except AudienceSyncError:
            return False

    def current(self) -> Token:
        """Return a token that is valid for at least two minutes. Raises TokenUnavailable, Unavailable."""
        with self._lock:
            if self._token is None or not self._is_usable(self._token):
                # After a failure, the next try uses what `connect` or `refresh` has stored since.
                self._token = self._read(max_age=0.0 if self._failure else 60.0) or self._fetch()
            return self._token

    def renewed(self, rejected: Token) -> tuple[Token, bool]:
        """Return a token other than the one Amazon has just refused, and whether it is of a login made for that.

        Otherwise it is the stored one, which may be as old. Raises TokenUnavailable, Unavailable.
        """
        with self._lock:
            now = self._now()
            recent = {value: at for value, at in self._refused.items() if abs(now - at) < REFUSAL_BACKOFF}
            self._refused = recent | {rejected.value: now}
            if self._token is None or not self._is_usable(self._token):
                self._token = None  # no other thread may use it
                self._token = self._read(max_age=0.0)
            if self._token is None:
                self._token = self._fetch()
                self._replacement = (self._token.value, now)
            return self._token, self._token.value == self._replacement[0]

    def _is_usable(self, token: Token) -> bool:
        refused = self._refused.get(token.value)
        is_refused = refused is not None and abs(self._now() - refused) < REFUSAL_BACKOFF
        return token.is_fresh(self._now()) and not is_refused

    def _fetch(self) -> Token:
        """Fetch a token. A fetch that has just failed is not repeated: the caller gets the same error at once."""
        if self._failure:
            error, until = self._failure
            seconds_left = until - self._now()
            if 0 < seconds_left <= FAILURE_BACKOFF:  # the clock may have been set back
                raise type(error)(str(error), retry_after=seconds_left, reason=error.reason)
            self._failure = None
        replacement, since = self._replacement
        age = self._now() - since
        if replacement in self._refused and 0 <= age < REFUSAL_BACKOFF:
            # Another would not help, and Login with Amazon limits such requests.
            raise TokenUnavailable(NOT_APPROVED, retry_after=REFUSAL_BACKOFF - age)
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
        return token if token and self._is_usable(token) else None


def _is_token(value: Any) -> TypeGuard[str]:
    """Return whether a value can be sent in a header; if not, the error would quote it."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and bool(value) and " " not in value


def _is_expiry(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_EXPIRY


def _lifetime(seconds: Any) -> float:
    valid = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= 24 * DEFAULT_LIFETIME
    return float(seconds) if valid else DEFAULT_LIFETIME


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
