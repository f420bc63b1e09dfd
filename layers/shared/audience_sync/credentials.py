"""Authenticates requests: event keys and signatures for events, audience keys for audiences. Refuses by default.

Two of each kind are valid at a time, so that Segment and the secret store can change at different moments. Beside them,
each source may have an event key and an audience key of its own, so that a leaked key names its source.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from audience_sync.errors import CredentialMissing, SecretUnusable, Unauthorized
from audience_sync.segment.signature import is_signed

MIN_LENGTH = 16  # bytes; shorter ones can be guessed
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "placeholder", "replaceme", "replace-me", "replace_me")


@dataclass(frozen=True, slots=True)
class Kind:
    """The stored credentials of one kind."""

    by_entry: Mapping[str, bytes] = field(repr=False)  # the usable ones, by entry of the ingest secret, current first
    is_configured: bool  # something is stored, usable or not

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The usable ones."""
        return tuple(self.by_entry.values())

    @property
    def is_usable(self) -> bool:
        """Whether a request could be authenticated at all."""
        return bool(self.by_entry)

    @property
    def is_broken(self) -> bool:
        """Whether something is stored that cannot authenticate a request."""
        return self.is_configured and not self.is_usable


class Authenticated(NamedTuple):
    """Which stored credential let a request in."""

    entry: str  # of the ingest secret, such as previousEventKey
    signature_unverified: bool = False  # beside a valid event key, the signature does not verify


@dataclass(frozen=True, slots=True)
class Keyring:
    """The ingest secret. Empty, short and placeholder entries count as absent: they fail closed."""

    event_keys: Kind
    audience_keys: Kind
    signing_secrets: Kind

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Keyring":
        """Read eventKey, audienceKey and signingSecret, each with its previous…, and the keys of sources.

        Other entries are left alone.
        """
        return cls(
            _kind(stored, "eventKey", "previousEventKey", *source_entries(stored, "eventKey")),
            _kind(stored, "audienceKey", "previousAudienceKey", *source_entries(stored, "audienceKey")),
            _kind(stored, "signingSecret", "previousSigningSecret"),
        )

    def authenticate_events(
        self, headers: Mapping[str, str], body: bytes, *, accept_first_event: bool
    ) -> Authenticated:
        """Authenticate a request with events, by event key or by signature.

        Args:
            headers: names in lower case.
            body: exactly as received.
            accept_first_event: whether a batch may be signed by its first element only.

        Raises:
            CredentialMissing: the request carries none.
            Unauthorized: no valid credential.
            SecretUnusable: no usable secret is stored to check the credential with.
        """
        signature, signing = headers.get("x-signature"), self.signing_secrets
        entry = _matching(self.event_keys, _keys(headers))
        if entry:
            unverified = (
                signature is not None
                and signing.is_usable
                and not is_signed(body, signature, signing.secrets, accept_first_event=True)
            )
            return Authenticated(entry, unverified)
        if is_signed(body, signature, signing.secrets, accept_first_event=accept_first_event):
            return Authenticated(_signing_entry(signing, body, signature, accept_first_event=accept_first_event))
        require_event_credential(headers)
        presented = ([self.event_keys] if _carries_key(headers) else []) + ([signing] if signature else [])
        if any(kind.is_broken for kind in presented) or not (self.event_keys.is_usable or signing.is_usable):
            # The deployment generates an event key: without any, the secret is damaged, which is no fault of Segment's.
            raise SecretUnusable("no usable secret is stored to check this credential with")
        raise Unauthorized("no valid credential")

    def authenticate_audiences(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Authenticated:
        """Authenticate a request about audiences, by audience key.

        Raises:
            CredentialMissing: the request carries none.
            Unauthorized: no valid credential. Also where no audience key was ever stored.
            SecretUnusable: the stored audience key is too weak to check the credential with.
        """
        keys = _keys(headers) + ([query["key"].encode("utf-8", "replace")] if "key" in query else [])
        entry = _matching(self.audience_keys, keys)
        if entry:
            return Authenticated(entry)
        require_audience_credential(headers, query)
        if self.audience_keys.is_broken:
            raise SecretUnusable("no usable secret is stored to check this credential with")
        raise Unauthorized("no valid credential")


def source_entry(entry: str, source: str) -> str:
    """Return the entry of a source's own key: eventKey.emea. It is logged, so the name of a source is no secret."""
    return f"{entry}.{source}"


def source_entries(stored: Mapping[str, Any], entry: str) -> dict[str, str]:
    """Return the sources that have a key of their own, by entry of the ingest secret."""
    prefix = source_entry(entry, "")
    return {name: name.removeprefix(prefix) for name in sorted(stored) if name.startswith(prefix)}


def require_event_credential(headers: Mapping[str, str]) -> None:
    """Raise CredentialMissing unless a request with events carries something that is meant to authenticate it."""
    if not (_carries_key(headers) or headers.get("x-signature")):
        raise CredentialMissing("no valid credential")


def require_audience_credential(headers: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Raise CredentialMissing unless a request about audiences carries something that is meant to authenticate it."""
    if not (_carries_key(headers) or query.get("key")):
        raise CredentialMissing("no valid credential")


def _carries_key(headers: Mapping[str, str]) -> bool:
    """Return whether there is a key, or what may be one: a key without its scheme is a mistake worth an alarm."""
    return any(headers.get(name, "").strip() for name in ("authorization", "x-api-key"))


def _matching(kind: Kind, keys: list[bytes]) -> str | None:
    """Return the entry that one of the keys equals, None where there is none."""
    # All pairs are compared, so that the response time does not depend on which one matched.
    matches = [entry for entry, secret in kind.by_entry.items() for key in keys if hmac.compare_digest(key, secret)]
    return matches[0] if matches else None


def _signing_entry(signing: Kind, body: bytes, signature: str | None, *, accept_first_event: bool) -> str:
    """Return the entry that a signature verifies under. It is valid, so the time shows a stranger nothing."""
    *others, last = signing.by_entry.items()
    for entry, secret in others:
        if is_signed(body, signature, [secret], accept_first_event=accept_first_event):
            return entry
    return last[0]


def _kind(stored: Mapping[str, Any], *entries: str) -> Kind:
    filled = {entry: stored[entry] for entry in entries if stored.get(entry) not in (None, "")}
    encoded = {entry: value.encode("utf-8", "replace") for entry, value in filled.items() if isinstance(value, str)}
    return Kind({entry: secret for entry, secret in encoded.items() if _is_strong(secret)}, is_configured=bool(filled))


def _is_strong(secret: bytes) -> bool:
    if len(secret) < MIN_LENGTH or len(set(secret)) < 4:
        return False
    lowered = secret.decode("utf-8", "replace").lower()
    return not any(word in lowered for word in _PLACEHOLDERS)


def _keys(headers: Mapping[str, str]) -> list[bytes]:
    """Collect the keys that the headers carry: Bearer, the password of Basic, x-api-key."""
    found = []
    scheme, _, rest = _sent_once(headers.get("authorization", "")).partition(" ")
    if scheme.lower() == "bearer":
        found.append(rest.strip().encode("utf-8", "replace"))
    elif scheme.lower() == "basic":
        found.append(_password(rest.strip()))
    if "x-api-key" in headers:
        found.append(_sent_once(headers["x-api-key"]).encode("utf-8", "replace"))
    return found


def _sent_once(value: str) -> str:
    """Take a header that was sent several times with the same value as one: API Gateway joins them with commas."""
    first, *others = (part.strip() for part in value.split(","))
    return first if all(other == first for other in others) else value.strip()


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
