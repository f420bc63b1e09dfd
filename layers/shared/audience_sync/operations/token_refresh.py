"""Token refresh: keeps a fresh access token in the token secret, as its only writer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from audience_sync.amazon_ads.login import Login, Secret, Token, consent_ends
from audience_sync.clock import Clock
from audience_sync.errors import TokenUnavailable

# A token valid for fewer seconds is replaced: two runs of the schedule and a margin, so that one run may fail.
MIN_VALIDITY = 45 * 60


class TokenSecret(Secret, Protocol):
    """The token secret."""

    def write(self, value: Mapping[str, Any]) -> None:
        """Store a new version."""


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of one run. With neither a token nor a failure, the stored token was fresh enough."""

    token: Token | None = None  # the new one
    failure: TokenUnavailable | None = None


class TokenRefresh:
    """Writes a new token unless the stored one is valid until after the next run."""

    def __init__(self, login: Login, credentials: Secret, stored: TokenSecret, clock: Clock) -> None:
        self._login = login
        self._credentials = credentials
        self._stored = stored
        self._clock = clock

    def run(self) -> RefreshResult:
        """Refresh the token if due. Raises Unavailable if a secret cannot be read or written."""
        held = Token.from_json(self._stored.value(max_age=0))
        if held and held.expires_at - self._clock.now() > MIN_VALIDITY:
            return RefreshResult()
        self._credentials.value(max_age=0)  # after a new `connect`, the old authorization must not be used
        try:
            token = self._login.fetch()
        except TokenUnavailable as failure:
            return RefreshResult(failure=failure)
        self._stored.write(token.as_json())
        return RefreshResult(token)

    def consent_left(self) -> float | None:
        """Return for how many seconds Amazon's consent is still valid; None if that is not known."""
        ends = consent_ends(self._credentials.value())
        return None if ends is None else ends - self._clock.now()
