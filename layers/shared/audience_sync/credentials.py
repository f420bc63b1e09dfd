"""Authenticates requests: event keys and signatures for events, audience keys for audiences. Refuses by default.

Two of each kind are valid at a time, so that Segment and the secret store can change at different moments.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from audience_sync.errors import SecretUnusable, Unauthorized
from audience_sync.segment.signature import is_signed

MIN_LENGTH = 16  # bytes; shorter ones can be guessed
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "placeholder", "replaceme", "replace-me", "replace_me")


class Kind(NamedTuple):
    """The stored credentials of one kind."""

    secrets: tuple[bytes, ...]
    is_configured: bool  # something is stored, usable or not

    @property
    def is_usable(self) -> bool:
        """Whether a request could be authenticated at all."""
        return bool(self.secrets)

    @property
    def is_broken(self) -> bool:
        """Whether something is stored that cannot authenticate a request."""
        return self.is_configured and not self.is_usable


@dataclass(frozen=True, slots=True)
class Keyring:
    """The ingest secret. Empty, short and placeholder entries count as absent: they fail closed."""

    event_keys: Kind
    audience_keys: Kind
    signing_secrets: Kind

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Keyring":
        """Read eventKey, audienceKey and signingSecret, each with its previous…; other entries are left alone."""
        return cls(
            _kind(stored.get("eventKey"), stored.get("previousEventKey")),
            _kind(stored.get("audienceKey"), stored.get("previousAudienceKey")),
            _kind(stored.get("signingSecret"), stored.get("previousSigningSecret")),
        )

    def authenticate_events(self, headers: Mapping[str, str], body: bytes, *, accept_first_event: bool) -> bool:
        """Authenticate a request with events, by event key or by signature.

        Args:
            headers: names in lower case.
            body: exactly as received.
            accept_first_event: whether a batch may be signed by its first element only.

        Returns:
            Whether the request carries a signature that does not verify, beside a valid event key.

        Raises:
            Unauthorized: no valid credential.
            SecretUnusable: no usable secret is stored to check the credential with.
        """
        keys = _keys(headers)
        signature = headers.get("x-signature")
        if self._matches(self.event_keys, keys):
            return (
                signature is not None
                and self.signing_secrets.is_usable
                and not is_signed(body, signature, self.signing_secrets.secrets, accept_first_event=True)
            )
        if is_signed(body, signature, self.signing_secrets.secrets, accept_first_event=accept_first_event):
            return False
        presented = ([self.event_keys] if keys else []) + ([self.signing_secrets] if signature is not None else [])
        raise _refusal(presented, accepted=[self.event_keys, self.signing_secrets])

    def authenticate_audiences(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Authenticate a request about audiences, by audience key. Raises Unauthorized, SecretUnusable."""
        keys = _keys(headers) + ([query["key"].encode("utf-8", "replace")] if "key" in query else [])
        if not self._matches(self.audience_keys, keys):
            raise _refusal([self.audience_keys], accepted=[self.audience_keys])

    @staticmethod
    def _matches(kind: Kind, keys: list[bytes]) -> bool:
        # All pairs are compared, so that the time does not tell which one matched.
        matches = [hmac.compare_digest(key, secret) for key in keys for secret in kind.secrets]
        return any(matches)


def _refusal(presented: list[Kind], *, accepted: list[Kind]) -> Unauthorized | SecretUnusable:
    """Return the error: a wrong credential, or our own fault where no usable secret is stored."""
    if any(kind.is_broken for kind in presented) or not any(kind.is_usable for kind in accepted):
        return SecretUnusable("no usable secret is stored to check this credential with")
    return Unauthorized("no valid credential")


def _kind(*values: Any) -> Kind:
    stored = [value for value in values if value not in (None, "")]
    secrets = [value.encode("utf-8", "replace") for value in stored if isinstance(value, str)]
    return Kind(tuple(secret for secret in secrets if _is_strong(secret)), is_configured=bool(stored))


def _is_strong(secret: bytes) -> bool:
    if len(secret) < MIN_LENGTH or len(set(secret)) < 4:
        return False
    lowered = secret.decode("utf-8", "replace").lower()
    return not any(word in lowered for word in _PLACEHOLDERS)


def _keys(headers: Mapping[str, str]) -> list[bytes]:
    """Collect the keys that the headers carry: Bearer, the password of Basic, x-api-key."""
    found = []
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        found.append(rest.strip().encode("utf-8", "replace"))
    elif scheme.lower() == "basic":
        found.append(_password(rest.strip()))
    if "x-api-key" in headers:
        found.append(headers["x-api-key"].strip().encode("utf-8", "replace"))
    return found


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
