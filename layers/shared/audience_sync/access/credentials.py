"""Authenticates requests: event keys and signatures for events, audience keys for audiences. Refuses by default.

Two of each kind are valid at a time, so that Segment and the secret store can change at different moments. Each source
may also have its own event key and audience key, so that a leaked key identifies its source. Such a key may expire.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from audience_sync.errors import CredentialMissing, InvalidSettings, SecretUnusable, Unauthorized, Unavailable
from audience_sync.segment.signature import is_signed

MIN_LENGTH = 16  # bytes; shorter ones can be guessed
EXPIRES_SOON = 14  # days; a key in use is reported this long before its last day
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "placeholder", "replaceme", "replace-me", "replace_me")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key in the ingest secret: a string, or for a source also an object with the key and its last day.

    If the last day cannot be read, the key is refused: it was meant to expire.
    """

    value: Any = field(repr=False)
    expires_on: date | None = None  # UTC; valid through that day
    is_expiry_readable: bool = True

    @classmethod
    def from_json(cls, stored: Any) -> "StoredKey":
        """Read the entry of a source."""
        if not isinstance(stored, dict):
            return cls(stored)
        try:
            return cls(stored.get("key"), expiry_date(stored.get("expiresOn")))
        except ValueError:
            return cls(stored.get("key"), is_expiry_readable=False)

    def as_json(self) -> Any:
        """Return the entry of a source."""
        return {"key": self.value, "expiresOn": self.expires_on.isoformat()} if self.expires_on else self.value

    def days_left(self, now: float) -> int | None:
        """Return the days left, negative after the last day, None if the key does not expire. `now`: epoch seconds."""
        return (self.expires_on - utc_date(now)).days if self.expires_on else None


@dataclass(frozen=True, slots=True)
class CredentialKind:
    """The stored credentials of one kind."""

    by_entry: Mapping[str, bytes] = field(repr=False)  # the usable ones, by entry of the ingest secret, current first
    expiring: Mapping[str, StoredKey] = field(repr=False)  # keys with a last day
    is_configured: bool  # something is stored, usable or not

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The usable secrets."""
        return tuple(self.by_entry.values())

    @property
    def is_usable(self) -> bool:
        """Whether a request could be authenticated at all."""
        return bool(self.by_entry)

    @property
    def is_broken(self) -> bool:
        """Whether a stored entry was never usable. An expired key was."""
        return self.is_configured and not self.is_usable

    def days_left(self, entry: str, now: float) -> int | None:
        """Return the days left for a key, None if it does not expire."""
        return self.expiring[entry].days_left(now) if entry in self.expiring else None

    def expires_soon(self, entry: str, now: float) -> bool:
        """Return whether a key should be replaced now."""
        left = self.days_left(entry, now)
        return left is not None and left <= EXPIRES_SOON


class Authenticated(NamedTuple):
    """The stored credential that let a request in."""

    entry: str  # of the ingest secret, such as previousEventKey
    signature_unverified: bool = False  # beside a valid event key, the signature does not verify
    expires_soon: bool = False


@dataclass(frozen=True, slots=True)
class Keyring:
    """The ingest secret. Empty, short and placeholder entries count as absent: they fail closed."""

    event_keys: CredentialKind
    audience_keys: CredentialKind
    signing_secrets: CredentialKind

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Keyring":
        """Read eventKey, audienceKey and signingSecret, each with its previous…, and the keys of sources.

        Ignores other entries.
        """
        return cls(
            _kind(stored, "eventKey", "previousEventKey", sources=source_entries(stored, "eventKey")),
            _kind(stored, "audienceKey", "previousAudienceKey", sources=source_entries(stored, "audienceKey")),
            _kind(stored, "signingSecret", "previousSigningSecret"),
        )

    def authenticate_events(self, headers: Mapping[str, str], body: bytes, *, now: float) -> Authenticated:
        """Authenticate a request with events, by event key or by a signature over the whole body.

        Args:
            headers: names in lower case.
            body: exactly as received.
            now: epoch seconds. An expired key is a wrong one.

        Raises:
            CredentialMissing: the request carries none.
            Unauthorized: no valid credential.
            SecretUnusable: no usable secret is stored to check the credential with.
        """
        signature, signing = headers.get("x-signature"), self.signing_secrets
        entry = _matching(self.event_keys, _keys(headers), now)
        if entry:
            unverified = (
                signature is not None
                and signing.is_usable
                and not is_signed(body, signature, signing.secrets, accept_first_event=True)
            )
            return Authenticated(entry, unverified, self.event_keys.expires_soon(entry, now))
        if is_signed(body, signature, signing.secrets):
            return Authenticated(_signing_entry(signing, body, signature))
        require_event_credential(headers)
        presented = ([self.event_keys] if _carries_key(headers) else []) + ([signing] if signature else [])
        if any(kind.is_broken for kind in presented) or not (self.event_keys.is_usable or signing.is_usable):
            # The deployment generates an event key: without one, the secret is damaged, which is not Segment's fault.
            raise SecretUnusable("no usable secret is stored to check this credential with")
        raise Unauthorized("no valid credential")

    def authenticate_audiences(
        self, headers: Mapping[str, str], query: Mapping[str, str], *, now: float
    ) -> Authenticated:
        """Authenticate a request about audiences, by audience key, at `now` in epoch seconds.

        Raises:
            CredentialMissing: the request carries none.
            Unauthorized: no valid credential, or no audience key was ever stored.
            SecretUnusable: the stored audience key is too weak to check the credential with.
        """
        keys = _keys(headers) + ([query["key"].encode("utf-8", "replace")] if "key" in query else [])
        entry = _matching(self.audience_keys, keys, now)
        if entry:
            return Authenticated(entry, expires_soon=self.audience_keys.expires_soon(entry, now))
        require_audience_credential(headers, query)
        if self.audience_keys.is_broken:
            raise SecretUnusable("no usable secret is stored to check this credential with")
        raise Unauthorized("no valid credential")


def authenticate_with_newest(
    read: Callable[..., Mapping[str, Any]],
    with_keys: Callable[[Keyring], Authenticated],
    require_credential: Callable[[], None],
) -> Authenticated:
    """Authenticate a request. Keys that do not let it in may just have been rotated, so they are read again.

    Args:
        read: returns the ingest secret, with `max_age=0` the newest one.
        with_keys: authenticates the request.
        require_credential: raises CredentialMissing if it carries none.

    Raises:
        Unauthorized, Unavailable, InvalidSettings: from all three.
    """
    try:
        keyring = Keyring.from_json(read())  # no time to ask an unavailable store twice
    except InvalidSettings:
        require_credential()  # strangers are refused whatever is stored
        raise
    try:
        return with_keys(keyring)
    except CredentialMissing:
        raise  # newer keys would not let it in
    except (Unauthorized, Unavailable):
        newer = Keyring.from_json(read(max_age=0))
        if newer == keyring:
            raise
        return with_keys(newer)


def source_entry(entry: str, source: str) -> str:
    """Return the entry of a source's own key: eventKey.emea. It is logged, so a source's name is not secret."""
    return f"{entry}.{source}"


def source_entries(stored: Mapping[str, Any], entry: str) -> dict[str, str]:
    """Return the sources with a key of their own, by entry of the ingest secret."""
    prefix = source_entry(entry, "")
    return {name: name.removeprefix(prefix) for name in sorted(stored) if name.startswith(prefix)}


def expiry_date(text: object) -> date:
    """Read the last day of a key, such as 2027-03-31. Raises ValueError."""
    day = date.fromisoformat(str(text))
    if day.isoformat() != text:  # Python also reads other forms, such as a week
        raise ValueError("not a date")
    return day


def utc_date(now: float) -> date:
    """Return the day of an epoch second, in UTC."""
    return datetime.fromtimestamp(now, UTC).date()


def require_event_credential(headers: Mapping[str, str]) -> None:
    """Raise CredentialMissing unless a request with events carries a credential of any kind."""
    if not (_carries_key(headers) or headers.get("x-signature")):
        raise CredentialMissing("no valid credential")


def require_audience_credential(headers: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Raise CredentialMissing unless a request about audiences carries a credential of any kind."""
    if not (_carries_key(headers) or query.get("key")):
        raise CredentialMissing("no valid credential")


def _carries_key(headers: Mapping[str, str]) -> bool:
    """Return whether there is a key or a possible one: a key without its scheme is a mistake worth an alarm."""
    return any(headers.get(name, "").strip() for name in ("authorization", "x-api-key"))


def _matching(kind: CredentialKind, keys: list[bytes], now: float) -> str | None:
    """Return the entry that one of the keys matches, None if none is still valid."""
    # All pairs are compared, so that the response time does not depend on which one matched.
    matches = [entry for entry, secret in kind.by_entry.items() for key in keys if hmac.compare_digest(key, secret)]
    return next((entry for entry in matches if (kind.days_left(entry, now) or 0) >= 0), None)


def _signing_entry(signing: CredentialKind, body: bytes, signature: str | None) -> str:
    """Return the entry whose secret verifies a signature. It is valid, so timing tells a stranger nothing."""
    *others, last = signing.by_entry.items()
    for entry, secret in others:
        if is_signed(body, signature, [secret]):
            return entry
    return last[0]


def _kind(stored: Mapping[str, Any], *entries: str, sources: Iterable[str] = ()) -> CredentialKind:
    keys = {entry: StoredKey(stored.get(entry)) for entry in entries}
    keys |= {entry: StoredKey.from_json(stored[entry]) for entry in sources}
    filled = {entry: key for entry, key in keys.items() if key.value not in (None, "")}
    encoded = {
        entry: key.value.encode("utf-8", "replace")
        for entry, key in filled.items()
        if isinstance(key.value, str) and key.is_expiry_readable
    }
    usable = {entry: secret for entry, secret in encoded.items() if _is_strong(secret)}
    expiring = {entry: keys[entry] for entry in usable if keys[entry].expires_on}
    return CredentialKind(usable, expiring, is_configured=bool(filled))


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
    """Return one value of a header sent several times with the same value: API Gateway joins them with commas."""
    first, *others = (part.strip() for part in value.split(","))
    return first if all(other == first for other in others) else value.strip()


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
